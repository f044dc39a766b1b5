from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_tileseg.errors import ImageError, ModelFitError, SettingsError
from napari_tileseg.io.folders import Folders
from napari_tileseg.io.known_tables import cityscapes, voc
from napari_tileseg.io.layouts import Layout

LABELS = np.array([[0, 1, 15], [20, 255, 255]], np.uint8)


def _save(values: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def _palette_of_voc() -> list[int]:
    colours = [bytes.fromhex(one.colour[1:]) for one in voc().classes]
    colours += [bytes(3)] * (255 - len(colours)) + [bytes((224, 224, 192))]
    return [number for colour in colours for number in colour]


@pytest.fixture
def voc_folder(tmp_path: Path) -> Path:
    """Lay out three images like VOC2012; two are segmented, one with RGB colours."""
    root = tmp_path / "VOC2012"
    for name in ("2007_a", "2007_b", "2007_c"):
        _save(np.zeros((2, 3, 3), np.uint8), root / "JPEGImages" / f"{name}.jpg")
    picture = Image.fromarray(LABELS, mode="P")
    picture.putpalette(_palette_of_voc())
    (root / "SegmentationClass").mkdir()
    picture.save(root / "SegmentationClass/2007_a.png")
    picture.convert("RGB").save(root / "SegmentationClass/2007_b.png")
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_b\n2007_a\n")
    (lists / "val.txt").write_text("2007_a\n")
    return root


def test_voc_is_read_by_its_lists_whether_indices_or_colours(voc_folder: Path) -> None:
    folders = Folders(voc_folder, layout=Layout.VOC)
    found = list(folders)
    assert [one.name for one in found] == ["2007_a", "2007_b"]
    assert all((one.mask == LABELS).all() for one in found)
    assert folders.classes is not None
    assert folders.classes[15].name == "person"
    assert [one.name for one in Folders(voc_folder, layout=Layout.VOC, split="val")] == ["2007_a"]


def test_what_a_list_names_and_is_not_there_is_listed(voc_folder: Path) -> None:
    names = voc_folder / "ImageSets/Segmentation/train.txt"
    names.write_text("2007_a\n2007_c\n2007_d\n")
    with pytest.raises(ModelFitError, match="no image for 2007_d; no mask for 2007_c; no mask for"):
        _ = Folders(voc_folder, layout=Layout.VOC).paired
    names.write_text("\n")
    with pytest.raises(ImageError, match="names no image"):
        _ = Folders(voc_folder, layout=Layout.VOC).paired


def test_a_split_that_is_not_there_is_said(voc_folder: Path) -> None:
    with pytest.raises(ImageError, match=r"There are: train, val\. Did you mean 'train'"):
        _ = Folders(voc_folder, layout=Layout.VOC, split="trains").paired


def test_the_folder_above_is_recognised(voc_folder: Path) -> None:
    with pytest.raises(ImageError, match=r"no folder JPEGImages.*Did you mean '.*VOC2012'"):
        _ = Folders(voc_folder.parent, layout=Layout.VOC).paired


def test_a_value_that_voc_does_not_have_is_said(voc_folder: Path) -> None:
    _save(np.full((2, 3), 30, np.uint8), voc_folder / "SegmentationClass/2007_a.png")
    with pytest.raises(ModelFitError, match="holds the value 30"):
        list(Folders(voc_folder, layout=Layout.VOC))


def test_colours_of_its_own_can_be_given_to_a_layout(voc_folder: Path) -> None:
    (voc_folder / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nglass:0,0,0::\nwing:128,0,0::\n"
        "man:192,128,128::\ntv:0,64,128::\nvoid:224,224,192::\n"
    )
    folders = Folders(voc_folder, layout=Layout.VOC, colours=voc_folder / "labelmap.txt")
    assert all((one.mask == [[0, 1, 2], [3, 255, 255]]).all() for one in folders)


@pytest.fixture
def city_folder(tmp_path: Path) -> Path:
    """Lay out an image of two cities each like Cityscapes; every kind of mask is there."""
    root = tmp_path / "cityscapes"
    for city, kind in (("bochum", "labelIds"), ("aachen", "labelTrainIds"), ("bonn", "color")):
        stem = f"{city}_000000_000019"
        _save(
            np.zeros((2, 3, 3), np.uint8),
            root / f"leftImg8bit/train/{city}/{stem}_leftImg8bit.png",
        )
        masks = {
            "labelTrainIds": np.array([[0, 13, 18], [255, 255, 255]], np.uint8),
            "labelIds": np.array([[7, 26, 33], [0, 4, 255]], np.uint8),
            "color": np.array(
                [
                    [(128, 64, 128), (0, 0, 142), (119, 11, 32)],
                    [(0, 0, 0), (111, 74, 0), (0, 0, 0)],
                ],
                np.uint8,
            ),
        }
        _save(masks[kind], root / f"gtFine/train/{city}/{stem}_gtFine_{kind}.png")
        _save(masks["labelIds"], root / f"gtFine/train/{city}/{stem}_gtFine_instanceIds.png")
    return root


def test_every_kind_of_cityscapes_mask_means_the_same(city_folder: Path) -> None:
    folders = Folders(city_folder, layout=Layout.CITYSCAPES)
    found = list(folders)
    assert [one.name.partition("_")[0] for one in found] == ["aachen", "bochum", "bonn"]
    assert all((one.mask == [[0, 13, 18], [255, 255, 255]]).all() for one in found)
    assert folders.classes == cityscapes().classes


def test_cityscapes_without_a_mask_is_listed(city_folder: Path) -> None:
    next(city_folder.glob("gtFine/train/bonn/*_color.png")).unlink()
    with pytest.raises(ModelFitError, match="no mask for bonn_000000_000019_leftImg8bit"):
        _ = Folders(city_folder, layout=Layout.CITYSCAPES).paired
    with pytest.raises(ImageError, match="There are: train"):
        _ = Folders(city_folder, layout=Layout.CITYSCAPES, split="val").paired


def test_pairs_need_a_folder_of_masks_and_the_others_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--masks"):
        Folders(tmp_path)
    with pytest.raises(SettingsError, match="leave out --masks"):
        Folders(tmp_path, tmp_path, Layout.VOC)


def test_folders_in_folders_are_said_not_skipped_silently(tmp_path: Path) -> None:
    _save(np.zeros((4, 5), np.uint8), tmp_path / "a.png")
    _save(np.zeros((4, 5), np.uint8), tmp_path / "masks/a.png")
    _save(np.zeros((4, 5), np.uint8), tmp_path / "more/b.png")
    paired = Folders(tmp_path, tmp_path / "masks").paired
    assert len(paired.pairs) == 1
    assert len(paired.notes) == 1
    assert paired.notes[0].endswith("more.")


def test_colour_masks_are_read_with_a_table(tmp_path: Path) -> None:
    _save(np.zeros((2, 3), np.uint8), tmp_path / "images/a.png")
    colours = np.zeros((2, 3, 3), np.uint8)
    colours[0, 1] = (255, 0, 0)
    _save(colours, tmp_path / "masks/a.png")
    (tmp_path / "t.csv").write_text("glass,0,0,0\ncell,255,0,0\n")
    folders = Folders(tmp_path / "images", tmp_path / "masks", colours=tmp_path / "t.csv")
    assert next(iter(folders)).mask.tolist() == [[0, 1, 0], [0, 0, 0]]
    known = Folders(tmp_path / "images", tmp_path / "masks", colours="voc")
    with pytest.raises(ModelFitError, match="nearest: "):
        list(known)
