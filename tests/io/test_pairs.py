from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_tileseg.errors import ImageError, ModelFitError
from napari_tileseg.io.folders import labelled_images
from napari_tileseg.io.layouts import by_name


def _write(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for index, name in enumerate(("b", "a")):
        _write(tmp_path / "images" / f"{name}.png", np.full((9, 12), 40 + index, np.uint8))
        _write(tmp_path / "masks" / f"{name}.png", np.full((9, 12), index, np.uint8))
    return tmp_path / "images", tmp_path / "masks"


def test_files_pair_up_by_name_without_suffix(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    (masks / "a.png").rename(masks / "a.ome.png")
    (masks / ".hidden").touch()
    pairs = by_name(images, masks).pairs
    assert [(one.image.name, one.mask.name) for one in pairs] == [
        ("a.png", "a.ome.png"),
        ("b.png", "b.png"),
    ]


def test_pixels_and_masks_are_read(folders: tuple[Path, Path]) -> None:
    found = {one.name: (one.read().max(), one.mask.max()) for one in labelled_images(*folders)}
    assert found == {"a": (41, 1), "b": (40, 0)}


def test_the_colours_of_a_palette_are_not_mistaken_for_classes(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    picture = Image.fromarray(np.full((9, 12), 2, np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 114, 178])
    picture.save(masks / "a.png")
    first = next(iter(labelled_images(images, masks)))
    assert (first.mask == 2).all()
    assert first.mask.dtype == np.uint8


def test_every_file_without_its_other_half_is_named(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    (masks / "a.png").rename(masks / "c.png")
    with pytest.raises(ModelFitError, match=r"no mask for a\.png; no image for c\.png"):
        by_name(images, masks)


def test_two_files_of_one_name_are_refused(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    (images / "a.tif").touch()
    with pytest.raises(ModelFitError, match=r"a\.png and a\.tif"):
        by_name(images, masks)


def test_missing_and_empty_folders_are_said(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="There is no folder"):
        by_name(tmp_path / "none", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="is empty"):
        by_name(tmp_path / "empty", tmp_path / "empty")


def test_arrays_pair_up_by_position() -> None:
    images = [np.zeros((4, 5)), np.ones((4, 5))]
    found = list(labelled_images(images, [np.zeros((4, 5), int), np.ones((4, 5), bool)]))
    assert [one.mask.max() for one in found] == [0, 1]
    assert [one.name for one in found] == ["image 0", "image 1"]


def test_lists_of_other_lengths_are_refused() -> None:
    with pytest.raises(ModelFitError, match="2 images and 1 masks"):
        labelled_images([np.zeros((4, 5))] * 2, [np.zeros((4, 5), int)])


def test_a_folder_and_a_list_do_not_go_together(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ImageError, match="two folders or two lists"):
        labelled_images(folders[0], [np.zeros((9, 12), int)])


@pytest.mark.parametrize(
    ("values", "said"),
    [(np.full((4, 5), 0.5), "whole numbers"), (np.full((4, 5), 300), "objects, not classes")],
)
def test_what_is_no_mask_is_refused(values: np.ndarray, said: str) -> None:
    with pytest.raises(ModelFitError, match=said):
        list(labelled_images([np.zeros((4, 5))], [values]))


def test_the_checksum_is_that_of_the_file(folders: tuple[Path, Path]) -> None:
    from hashlib import sha256

    first = next(iter(labelled_images(*folders)))
    assert first.sha256() == sha256((folders[0] / "a.png").read_bytes()).hexdigest()
