"""Where a model is unsure: kept by the cell, and asked for the worst place that is left."""

from itertools import pairwise

import numpy as np
import pytest

from napari_tileseg.annotation.doubts import CELL_PX, PLACE_CELLS, DoubtMap

STEP = 8


def samples(pixels, region):
    """Return what of some pixels is told of a region."""
    rows, columns = (np.arange(at.start, at.stop) for at in region[-2:])
    block = pixels[region]
    return block[..., rows % STEP == 0, :][..., columns % STEP == 0]


def told(shape, pixels, borders):
    found = DoubtMap(shape, STEP)
    rows, columns = borders
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            region = (slice(top, bottom), slice(left, right))
            found.add(region, samples(pixels, region))
    return found


def test_cells_have_the_sum_of_their_pixels_however_these_come():
    pixels = np.random.default_rng(0).random((200, 333)).astype(np.float32)
    whole = told(pixels.shape, pixels, ([0, 200], [0, 333])).sums
    pieces = told(pixels.shape, pixels, ([0, 3, 7, 64, 101, 200], [0, 65, 66, 190, 333])).sums
    assert whole.shape == (4, 6)
    np.testing.assert_allclose(whole, pieces, rtol=1e-5)
    few = pixels[64:128:STEP, 128:192:STEP]
    assert whole[1, 2] == pytest.approx(few.sum(), rel=1e-5)


def test_a_new_run_replaces_what_it_tells_and_nothing_else():
    known = told((128, 128), np.ones((128, 128), np.float32), ([0, 128], [0, 128]))
    known.restart()
    for left in (0, 24):
        region = (slice(0, 64), slice(left, left + (24 if not left else 40)))
        known.add(region, samples(np.zeros((128, 128), np.float32), region))
    np.testing.assert_array_equal(known.sums, [[0, 64], [64, 64]])


def test_the_worst_place_is_where_doubt_is_and_nobody_has_been():
    pixels = np.zeros((1000, 1200), np.float32)
    pixels[700:900, 300:500], pixels[100:200, 1000:1100] = 0.9, 0.8
    known = told(pixels.shape, pixels, ([0, 1000], [0, 1200]))
    nothing = np.zeros(known.shape, bool)
    first = known.worst(nothing, nothing)
    assert pixels[first].mean() > 0.4
    assert [axis.stop - axis.start for axis in first] == [CELL_PX * PLACE_CELLS] * 2
    below = nothing.copy()
    below[9:] = True
    second = known.worst(nothing, below)
    assert second[0].stop <= 9 * CELL_PX
    assert pixels[second].max() == np.float32(0.8)
    # what is reviewed counts no more, but a place may reach into it
    assert pixels[known.worst(below, nothing)].max() == np.float32(0.8)
    assert known.worst(nothing, ~nothing) is None
    assert known.worst(~nothing, nothing) is None
    assert DoubtMap((300, 300), STEP).worst(*np.zeros((2, 5, 5), bool)) is None


def test_a_place_that_is_reviewed_in_part_is_still_a_place():
    known = told((256, 256), np.ones((256, 256), np.float32), ([0, 256], [0, 256]))
    reviewed = np.zeros(known.shape, bool)
    reviewed[1, 2] = True
    assert known.worst(reviewed, np.zeros(known.shape, bool)) == (slice(0, 256), slice(0, 256))


def test_planes_and_small_images_have_places_too():
    known = DoubtMap((3, 100, 90), STEP)
    region = (slice(1, 2), slice(0, 100), slice(0, 90))
    known.add(region, samples(np.ones((3, 100, 90), np.float32), region))
    place = known.worst(*np.zeros((2, *known.shape), bool))
    assert place == (slice(1, 2), slice(0, 128), slice(0, 128))


def test_a_thin_strip_at_the_border_is_no_place_of_its_own():
    pixels = np.full((771, 822), 0.1, np.float32)
    pixels[-3:] = 1  # many a network is unsure there
    pixels[200:500, 300:600] = 0.3
    known = told(pixels.shape, pixels, ([0, 771], [0, 822]))
    assert pixels[known.worst(*np.zeros((2, *known.shape), bool))].mean() > 0.25
