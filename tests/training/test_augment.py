import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.errors import SettingsError
from napari_tileseg.training.augment import Augmentation

STILL = Augmentation(
    scale=(1.0, 1.0),
    turn=0.0,
    bend_px=0.0,
    brightness=0.0,
    contrast=0.0,
    gamma=0.0,
    noise=0.0,
    blur_px=0.0,
)
MOVING = Augmentation(brightness=0.0, contrast=0.0, gamma=0.0, noise=0.0, blur_px=0.0)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _quarters(side: int, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images whose intensity is 20 times the class under it."""
    masks = torch.zeros(4, side, side, dtype=torch.uint8)
    masks[:, : side // 2, side // 2 :] = 1
    masks[:, side // 2 :, : side // 2] = 2
    return masks[:, None].repeat(1, channels, 1, 1).float() * 20, masks


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_image_and_mask_move_together(channels: int) -> None:
    images, masks = _quarters(160, channels)
    moved, labels = MOVING(images, masks, 64, _generator())
    assert moved.shape == (4, channels, 64, 64)
    known = labels != 255
    agree = ((moved / 20).round() == labels[:, None])[known[:, None].expand_as(moved)]
    assert agree.float().mean() > 0.97  # not at borders, where the image is interpolated
    assert known.float().mean() > 0.95


def test_mirror_images_and_quarter_turns_keep_every_pixel() -> None:
    generator = _generator(1)
    images = torch.rand(16, 1, 24, 24, generator=generator)
    masks = (images[:, 0] * 200).to(torch.uint8)
    moved, labels = STILL(images, masks, 24, generator)
    assert (labels == (moved[:, 0] * 200).long()).float().mean() > 0.98
    for before, after in zip(images, moved, strict=True):
        torch.testing.assert_close(
            before.flatten().sort().values, after.flatten().sort().values, atol=1e-4, rtol=0
        )
    variants = {tuple((one * 1000).long().flatten()[:5].tolist()) for one in moved}
    assert len(variants) == 16


def test_what_comes_from_beyond_the_border_is_unknown() -> None:
    small = Augmentation(**{**vars(STILL), "scale": (0.5, 0.5)})
    images, masks = torch.ones(2, 1, 32, 32), torch.ones(2, 32, 32, dtype=torch.uint8)
    moved, labels = small(images, masks, 32, _generator())
    assert (labels == 1).sum() == 2 * 16 * 16
    assert (labels == 255).sum() == 2 * (32 * 32 - 16 * 16)
    assert (moved == 1).all()


def test_unknown_pixels_stay_unknown() -> None:
    images, masks = torch.zeros(2, 1, 64, 64), torch.full((2, 64, 64), 255, dtype=torch.uint8)
    _, labels = Augmentation()(images, masks, 48, _generator())
    assert (labels == 255).all()


def test_scale_changes_the_size_of_things() -> None:
    large = Augmentation(**{**vars(STILL), "scale": (1.5, 1.5)})
    masks = torch.zeros(1, 96, 96, dtype=torch.uint8)
    masks[:, 32:64, 32:64] = 1
    _, labels = large(masks[:, None].float(), masks, 96, _generator())
    assert (labels == 1).sum() == 48 * 48


def test_intensities_vary_but_stay_numbers() -> None:
    images, masks = torch.randn(6, 2, 64, 64, generator=_generator()), torch.zeros(6, 64, 64)
    moved, _ = Augmentation()(images, masks.to(torch.uint8), 64, _generator())
    assert torch.isfinite(moved).all()
    assert len({round(float(one.mean()), 4) for one in moved}) == 6


def test_equal_seeds_give_equal_variants() -> None:
    images, masks = _quarters(80)
    first = Augmentation()(images, masks, 48, _generator(3))
    again = Augmentation()(images, masks, 48, _generator(3))
    other = Augmentation()(images, masks, 48, _generator(4))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not (first[0] == other[0]).all()


def test_the_margin_is_enough_for_every_variant() -> None:
    augmentation = Augmentation(**{**vars(MOVING), "bend_px": 0.0})
    side = int(64 * augmentation.margin) + 1
    images, masks = torch.zeros(32, 1, side, side), torch.ones(32, side, side, dtype=torch.uint8)
    _, labels = augmentation(images, masks, 64, _generator())
    assert (labels == 1).all()


def _smooth_classes(side: int, seed: int) -> torch.Tensor:
    """Return (2, side, side) class indices in large patches, some of them unknown."""
    coarse = torch.rand(2, 1, 5, 5, generator=_generator(seed))
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    classes = (fine[:, 0] * 4).long().clamp(0, 3)
    return torch.where(classes == 3, 255, classes).to(torch.uint8)


@settings(max_examples=25, deadline=None)
@given(
    strength=st.floats(0, 1),
    channels=st.integers(1, 6),
    size=st.sampled_from([32, 45, 64]),
    bend=st.floats(0, 8),
    seed=st.integers(0, 2**31),
)
def test_an_image_that_is_its_own_mask_stays_so(
    strength: float, channels: int, size: int, bend: float, seed: int
) -> None:
    augmentation = Augmentation(**{**vars(MOVING), "bend_px": bend, "strength": strength})
    masks = _smooth_classes(math.ceil(size * augmentation.margin), seed)
    images = masks[:, None].repeat(1, channels, 1, 1).float()
    moved, labels = augmentation(images, masks, size, _generator(seed))
    inside = labels != 255
    wrong = (moved.round() != labels[:, None])[inside[:, None].expand_as(moved)]
    # where two classes meet, the image is interpolated and the mask is not
    borders = 2 * size * 2 * 4 * channels
    assert int(wrong.sum()) <= borders
    assert set(labels.unique().tolist()) <= {0, 1, 2, 255}


@settings(max_examples=15, deadline=None)
@given(strength=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_what_is_unknown_stays_unknown_and_no_class_is_invented(strength: float, seed: int) -> None:
    augmentation = Augmentation(strength=strength)
    side = math.ceil(64 * augmentation.margin)
    masks = torch.full((2, side, side), 255, dtype=torch.uint8)
    masks[:, :, : side // 2] = 7
    images = torch.rand(2, 1, side, side, generator=_generator(seed))
    _, labels = augmentation(images, masks, 64, _generator(seed))
    assert set(labels.unique().tolist()) <= {7, 255}
    assert 0.2 < float((labels == 255).float().mean()) < 0.8


@given(channels=st.integers(1, 5), size=st.integers(1, 24), more=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_strength_0_changes_nothing(channels: int, size: int, more: int) -> None:
    side = size + more
    images = torch.randn(3, channels, side, side)
    masks = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    moved, labels = Augmentation(strength=0)(images, masks, size, _generator())
    middle = slice(more // 2, more // 2 + size)
    assert torch.equal(moved, images[..., middle, middle])
    assert torch.equal(labels, masks[:, middle, middle].long())
    assert Augmentation(strength=0).margin == 1


def test_less_strength_changes_less() -> None:
    generator = _generator(5)
    images = torch.rand(8, 1, 64, 64, generator=generator).cumsum(2).cumsum(3)
    images = (images - images.mean()) / images.std()
    masks = torch.zeros(8, 64, 64, dtype=torch.uint8)
    colours_only = {**vars(STILL), "brightness": 0.2, "contrast": 0.2, "gamma": 0.2, "noise": 0.15}

    def spread(strength: float) -> float:
        augmentation = Augmentation(**{**colours_only, "strength": strength})
        moved, _ = augmentation(images, masks, 64, _generator(1))
        means = moved.mean((1, 2, 3))
        return float(means.std())

    assert spread(0.01) < spread(0.3) < spread(1.0)
    assert Augmentation(strength=0.5).margin < Augmentation().margin


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_that_is_no_share_is_refused(strength: float) -> None:
    with pytest.raises(SettingsError, match="from 0"):
        Augmentation(strength=strength)
