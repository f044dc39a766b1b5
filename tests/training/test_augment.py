import pytest
import torch

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
