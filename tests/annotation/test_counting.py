"""Counting labels: the same numbers as one pass over everything, in little memory."""

import tracemalloc

import numpy as np
import pytest

from napari_tileseg.annotation.counting import histogram
from napari_tileseg.annotation.sheet import Sheet
from napari_tileseg.annotation.values import NOT_COMPUTED


def _noise(shape, labels):
    return np.random.default_rng(0).choice(np.array(labels, np.uint8), shape)


@pytest.mark.parametrize("shape", [(0, 5), (7,), (3, 1, 700, 900), (1, 2, 3), (600, 3, 300)])
@pytest.mark.parametrize("labels", [[255], [0, 1, 2], [1, 255, 40], range(256)])
def test_a_histogram_is_that_of_one_pass(shape, labels):
    pixels = _noise(shape, list(labels))
    expected = np.bincount(pixels.ravel(), minlength=256)
    np.testing.assert_array_equal(histogram(pixels), expected)
    np.testing.assert_array_equal(
        histogram(pixels[..., ::2]), np.bincount(pixels[..., ::2].ravel(), minlength=256)
    )


def test_a_sheet_that_is_born_empty_knows_its_counts():
    sheet = Sheet.empty((2, 30, 40))
    assert (sheet.shown == NOT_COMPUTED).all()
    np.testing.assert_array_equal(sheet.counts, np.bincount(sheet.shown.ravel(), minlength=256))


def test_a_large_patch_over_vouched_pixels_takes_less_memory_than_the_patch():
    sheet = Sheet.empty((1, 4096, 1024))
    corner = (slice(0, 1), slice(0, 10), slice(0, 10))
    sheet.apply(sheet.painting(corner, np.ones((1, 10, 10), bool), 1))
    patch = _noise((1, 4096, 1024), [0, 1, 2])
    tracemalloc.start()
    try:
        sheet.write_model((slice(0, 1), slice(0, 4096), slice(0, 1024)), patch)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < patch.nbytes
    expected = patch.copy()
    expected[corner] = 1
    np.testing.assert_array_equal(sheet.shown, expected)
    np.testing.assert_array_equal(sheet.counts, np.bincount(expected.ravel(), minlength=256))
