import numpy as np
import pytest
import torch

from napari_tileseg.engine.spec import Normalisation, NormalisationKind
from napari_tileseg.errors import ImageError, ModelFitError
from napari_tileseg.training.samples import PatchSampler, Sample
from stubs import small_conv


def _sample(height: int = 40, width: int = 50, **mask: object) -> Sample:
    pixels = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    classes = (pixels % 3).astype(np.uint8)
    return Sample.of(pixels, classes, small_conv().spec)


def test_a_crop_inside_is_the_image_and_its_mask() -> None:
    sample = _sample()
    image, mask = sample.crop((3, 5), 16)
    assert (image[0].numpy() == np.arange(2000).reshape(40, 50)[3:19, 5:21]).all()
    assert (mask.numpy() == sample.mask[3:19, 5:21]).all()


@pytest.mark.parametrize("origin", [(-10, -10), (30, 45), (-30, 20)])
def test_beyond_the_border_the_mask_is_unknown(origin: tuple[int, int]) -> None:
    sample = _sample()
    image, mask = sample.crop(origin, 48)
    assert image.shape == (1, 48, 48)
    ys = np.arange(48) + origin[0]
    xs = np.arange(48) + origin[1]
    inside = ((ys >= 0) & (ys < 40))[:, None] & ((xs >= 0) & (xs < 50))[None]
    assert ((mask.numpy() != 255) == inside).all()


def test_an_image_of_one_pixel_can_be_cropped() -> None:
    sample = Sample.of(np.ones((1, 1), np.uint8), np.zeros((1, 1), np.uint8), small_conv().spec)
    image, mask = sample.crop((-4, -4), 9)
    assert (image == 1).all()
    assert (mask != 255).sum() == 1


def test_intensities_are_scaled_by_the_whole_image() -> None:
    spec = small_conv(normalisation=Normalisation(NormalisationKind.ZSCORE)).spec
    pixels = np.random.default_rng(0).normal(900, 30, (60, 60)).astype(np.float32)
    sample = Sample.of(pixels, np.zeros((60, 60), np.uint8), spec)
    whole, _ = sample.crop((0, 0), 60)
    part, _ = sample.crop((0, 0), 20)
    assert abs(float(whole.mean())) < 1e-4
    assert float(whole.std()) == pytest.approx(1, abs=1e-2)
    assert (whole[:, :20, :20] == part).all()


def test_patches_come_from_every_part_of_every_image() -> None:
    samples = [_sample(), _sample(120, 120)]
    sampler = PatchSampler(samples, torch.Generator().manual_seed(0))
    images, masks = sampler.draw(200, 16)
    assert images.shape == (200, 1, 16, 16)
    assert masks.shape == (200, 16, 16)
    assert (masks != 255).flatten(1).float().mean(1).min() > 0.5
    assert len(torch.unique(images)) > 0.8 * 120 * 120


def test_where_little_is_known_patches_are_drawn_there() -> None:
    mask = np.full((200, 200), 255, np.uint8)
    mask[150:156, 20:26] = 1
    sample = Sample.of(np.zeros((200, 200), np.uint8), mask, small_conv().spec)
    _, masks = PatchSampler([sample], torch.Generator().manual_seed(0)).draw(50, 32)
    assert ((masks == 1).flatten(1).sum(1) > 0).all()


def test_equal_seeds_give_equal_patches() -> None:
    draws = [
        PatchSampler([_sample()], torch.Generator().manual_seed(5)).draw(4, 16)[0] for _ in "ab"
    ]
    assert (draws[0] == draws[1]).all()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ModelFitError, match="40 × 50 px, but its mask is 40 × 40 px"):
        Sample.of(np.zeros((40, 50)), np.zeros((40, 40), np.uint8), small_conv().spec)


def test_a_mask_with_classes_that_the_model_lacks_is_refused() -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[0, 0], mask[1, 1] = 7, 255
    with pytest.raises(ModelFitError, match="holds 7, but the model has 3 classes"):
        Sample.of(np.zeros((40, 50)), mask, small_conv().spec, name="a")


def test_a_stack_is_refused() -> None:
    with pytest.raises(ImageError, match="save each as a file"):
        Sample.of(np.zeros((5, 40, 50)), np.zeros((5, 40, 50), np.uint8), small_conv().spec)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ModelFitError, match="channel"):
        Sample.of(np.zeros((40, 50, 3), np.uint8), np.zeros((40, 50), np.uint8), small_conv().spec)
