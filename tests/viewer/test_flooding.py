"""What the bucket fills is what it would fill if it looked at the whole image."""

import numpy as np
import pytest
from skimage import segmentation

from napari_tileseg.viewer.flooding import flooded


def spread(labels, seed, window_px):
    mask, box = flooded(labels, seed, window_px)
    whole = np.zeros(labels.shape, bool)
    whole[box] = mask
    return whole


@pytest.mark.parametrize("shape", [(60, 70), (1, 200), (12, 20, 25)])
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("window_px", [1, 50, 10**6])
def test_it_is_the_area_of_a_flood_over_everything(shape, share, window_px):
    rng = np.random.default_rng(0)
    labels = (rng.random(shape) < share).astype(np.uint8)
    for _ in range(10):
        seed = tuple(int(rng.integers(n)) for n in shape)
        expected = segmentation.flood(labels, seed, connectivity=1)
        np.testing.assert_array_equal(spread(labels, seed, window_px), expected)


def test_an_area_that_leaves_the_window_and_comes_back_is_found_whole():
    labels = np.zeros((41, 41), np.uint8)
    labels[20, 4:38] = labels[4, 4:38] = labels[4:21, 37] = labels[4:16, 4] = 1
    assert spread(labels, (20, 20), 30).sum() == labels.sum()
    labels[4, 20] = 0  # cut in two: the other half ends inside the first window
    expected = segmentation.flood(labels, (20, 20), connectivity=1)
    np.testing.assert_array_equal(spread(labels, (20, 20), 30), expected)


def test_a_small_area_is_found_without_looking_far(monkeypatch):
    looked_at, flood = [], segmentation.flood

    def watched(labels, *arguments, **options):
        looked_at.append(labels.size)
        return flood(labels, *arguments, **options)

    monkeypatch.setattr(segmentation, "flood", watched)
    labels = np.zeros((2000, 2000), np.uint8)
    labels[1000:1010, 500:520] = 1
    mask, box = flooded(labels, (1005, 510), 10_000)
    assert box == (slice(1000, 1010), slice(500, 520))
    assert mask.all()
    assert sum(looked_at) < 20_000
