from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, RandomSampler

import napari_tileseg as nts
from napari_tileseg.errors import ModelFitError, SettingsError
from stubs import echo, small_conv


def _write(folder: Path, sizes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    for index, size in enumerate(sizes):
        mask = rng.choice([0, 1, 2, 255], size).astype(np.uint8)
        pixels = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
        for part, values in (("images", pixels), ("masks", mask)):
            (folder / part).mkdir(exist_ok=True)
            Image.fromarray(values).save(folder / part / f"{index}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _write(tmp_path, [(30, 41), (52, 23)])
    return tmp_path


def test_an_item_is_a_float_image_and_an_integer_mask_of_its_size(folder: Path) -> None:
    data = nts.Dataset(folder / "images", folder / "masks")
    assert len(data) == 2
    assert data.names == ("0", "1")
    for index, size in enumerate([(30, 41), (52, 23)]):
        image, mask = data[index]
        assert image.dtype == torch.float32
        assert image.shape == (3, *size)
        assert abs(float(image.mean())) < 1e-3
        assert float(image.std()) == pytest.approx(1, abs=0.05)
        assert mask.dtype == torch.int64
        written = np.asarray(Image.open(folder / f"masks/{index}.png"))
        assert (mask.numpy() == written).all()
    assert len(list(data)) == 2
    assert torch.equal(data[-1][1], data[1][1])


def test_whole_images_go_through_a_loader_one_by_one(folder: Path) -> None:
    data = nts.Dataset(folder / "images", folder / "masks")
    shapes = [(tuple(image.shape), tuple(mask.shape)) for image, mask in DataLoader(data)]
    assert shapes == [((1, 3, 30, 41), (1, 30, 41)), ((1, 3, 52, 23), (1, 52, 23))]


def test_patches_of_images_of_any_size_make_batches(folder: Path) -> None:
    data = nts.Dataset(folder / "images", folder / "masks", patch=48, augmentation=0.5)
    chance = RandomSampler(data, replacement=True, num_samples=8)
    batches = list(DataLoader(data, batch_size=4, sampler=chance))
    assert [tuple(images.shape) for images, _ in batches] == [(4, 3, 48, 48)] * 2
    assert [tuple(masks.shape) for _, masks in batches] == [(4, 48, 48)] * 2
    values = set(torch.cat([masks for _, masks in batches]).unique().tolist())
    assert values == {0, 1, 2, 255}


def test_chance_comes_from_torch(folder: Path) -> None:
    data = nts.Dataset(folder / "images", folder / "masks", patch=16, augmentation=1.0)
    torch.manual_seed(3)
    first = [data[0] for _ in range(3)]
    torch.manual_seed(3)
    again = [data[0] for _ in range(3)]
    for (image, mask), (other, same) in zip(first, again, strict=True):
        assert torch.equal(image, other)
        assert torch.equal(mask, same)
    assert not torch.equal(first[0][0], first[1][0])


def test_patches_are_scaled_like_the_whole_image(folder: Path) -> None:
    whole = nts.Dataset(folder / "images", folder / "masks")[1][0]
    data = nts.Dataset(folder / "images", folder / "masks", patch=8)
    values = torch.cat([data[1][0].flatten() for _ in range(3)])
    assert set(values.tolist()) <= set(whole.flatten().tolist())


def test_a_model_says_what_is_read_and_which_classes_there_are() -> None:
    images = [np.random.default_rng(0).integers(0, 255, (20, 24, 3), dtype=np.uint8)]
    data = nts.Dataset(images, [np.full((20, 24), 2)], model=echo(), axes="YXC")
    assert (data[0][0].movedim(0, -1).numpy() == images[0]).all()  # it reads them as they are
    assert data.classes == echo().classes
    with pytest.raises(ModelFitError, match="holds 3, but the model has 3 classes"):
        nts.Dataset(images, [np.full((20, 24), 3)], model=echo(), axes="YXC")[0]
    with pytest.raises(ModelFitError):
        nts.Dataset(images, [np.full((20, 24), 2)], model=small_conv(), axes="YXC")[0]


def test_colours_and_layouts_are_understood(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        values = np.asarray(Image.open(path))
        colours = np.stack([values, np.zeros_like(values), np.zeros_like(values)], -1)
        Image.fromarray(colours).save(path)
    (folder / "t.txt").write_text("0,0,0 a\n1,0,0 b\n2,0,0 c\n255,0,0 unknown\n")
    data = nts.Dataset(folder / "images", folder / "masks", colours=folder / "t.txt")
    assert set(data[0][1].unique().tolist()) == {0, 1, 2, 255}
    assert data.classes is not None
    assert [one.name for one in data.classes] == ["a", "b", "c"]


def test_what_makes_no_sense_is_refused(folder: Path) -> None:
    images, masks = folder / "images", folder / "masks"
    with pytest.raises(SettingsError, match="patch=256"):
        nts.Dataset(images, masks, augmentation=1.0)
    with pytest.raises(SettingsError, match="at least 1"):
        nts.Dataset(images, masks, patch=0)
    with pytest.raises(SettingsError, match="zscore"):
        nts.Dataset(images, masks, normalise="zscores")
    with pytest.raises(IndexError):
        nts.Dataset(images, masks)[2]
    (masks / "1.png").unlink()
    with pytest.raises(ModelFitError, match=r"no mask for 1\.png"):
        nts.Dataset(images, masks)
