from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_tileseg.engine import occupied
from napari_tileseg.engine.occupied import occupied_mask
from napari_tileseg.engine.regions import inside, tiles_for_mask
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.tiles import cut_image


def _slide(shape, corner, size, dtype=np.uint8):
    """An even background with a little noise, and one square of texture."""
    random = np.random.default_rng(0)
    image = random.integers(200, 204, shape)
    part = tuple(slice(first, first + size) for first in corner)
    image[part] = random.integers(0, 256, image[part].shape)
    return image.astype(dtype), part


class _Unreadable:
    """An array that must not be read."""

    def __init__(self, shape):
        self.shape, self.dtype = shape, np.dtype(np.uint8)

    def __getitem__(self, key):
        raise AssertionError("this level should not have been read")


@pytest.mark.parametrize("shape", [(1000, 777), (200, 150, 333)])
@pytest.mark.parametrize("most", [2**24, 2**17, 2**14])
@pytest.mark.parametrize("at_once", [2**22, 1])
def test_all_that_has_texture_is_kept_and_most_of_the_rest_is_not(
    shape, most, at_once, monkeypatch
):
    monkeypatch.setattr(occupied, "_MOST", most)
    monkeypatch.setattr(occupied, "_AT_ONCE", at_once)
    image, part = _slide(shape, (40,) * len(shape), 70)
    source = Source(image, axes="ZYX"[-len(shape) :], spatial_dims=len(shape))
    mask = occupied_mask(source, block=32)
    assert inside(mask, shape, part).all()
    assert mask.mean() < 0.8
    assert not mask[(-1,) * len(shape)]


def test_tiles_without_texture_are_left_out():
    image, part = _slide((1000, 1000), (100, 600), 150)
    grid = cut_image(image.shape, (128, 128), (96, 96), stride=1, crop=False)
    wanted = tiles_for_mask(grid, occupied_mask(Source(image)))
    covered = np.zeros(image.shape, bool)
    for number in np.flatnonzero(wanted):
        covered[grid[int(number)].core] = True
    assert covered[part].all()
    assert wanted.mean() < 0.25


def test_the_neighbours_of_what_is_occupied_are_kept():
    image = np.zeros((320, 320), np.uint8)
    image[128:160, 128:160] = np.random.default_rng(0).integers(0, 256, (32, 32))
    expected = np.zeros((10, 10), bool)
    expected[3:6, 3:6] = True
    np.testing.assert_array_equal(occupied_mask(Source(image), block=32), expected)


def test_the_coarsest_level_that_still_shows_small_things_is_read():
    image, part = _slide((2048, 2048), (256, 1024), 300)
    levels = [_Unreadable((2048, 2048)), image[::2, ::2], _Unreadable((512, 512))]
    mask = occupied_mask(Source(levels), levels=levels)
    assert inside(mask, image.shape, part).all()
    assert mask.shape == (32, 32)
    assert mask.mean() < 0.2


def test_a_lazy_stack_with_channels_is_looked_at_plane_by_plane():
    stack = np.full((3, 2, 256, 256), 7, np.uint16)
    stack[1, 1, :64, :64] = np.random.default_rng(0).integers(0, 60000, (64, 64))
    source = Source(da.from_array(stack, chunks=100), axes="TCYX")
    mask = occupied_mask(source, (1,), (0, 1))
    assert mask[0, 0]
    assert not mask[-1, -1]
    assert occupied_mask(source, (1,), (0,)).all()  # flat: nothing is known to be empty


def test_one_pixel_that_is_far_too_bright_hides_nothing():
    image, part = _slide((320, 320), (100, 140), 150, np.uint16)
    image[10, 10] = 65535
    assert inside(occupied_mask(Source(image)), image.shape, part).all()


def test_a_ramp_of_brightness_counts_as_occupied():
    ramp = np.linspace(0, 60000, 64 * 100).astype(np.uint16)
    assert occupied_mask(Source(np.tile(ramp, (128, 1)))).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (64, 64)])
def test_an_image_of_a_single_value_counts_as_occupied(shape):
    assert occupied_mask(Source(np.full(shape, 9, np.uint8))).all()
