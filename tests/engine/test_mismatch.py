from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.engine.mismatch import MismatchReport, SeamWatch, _spread
from napari_tileseg.engine.spec import Task
from napari_tileseg.engine.tiles import cut_image
from stubs import Echo, Ramp, network


@st.composite
def grids(draw: st.DrawFn):
    dims = draw(st.integers(1, 3))
    longest = {1: 200, 2: 70, 3: 30}[dims]
    shape = tuple(draw(st.integers(1, longest)) for _ in range(dims))
    stride = draw(st.sampled_from([1, 2, 4]))
    tile = stride * draw(st.integers(3, 10))
    step = stride * draw(st.integers(1, tile // stride))
    crop = draw(st.booleans())
    return cut_image(shape, (tile,) * dims, (step,) * dims, stride=stride, crop=crop)


def _watched(grid, model, answer, order=None, **options):
    """Show a watch what `answer` says about each tile."""
    watch = SeamWatch(grid, model, **options)
    for number in range(len(grid)) if order is None else order:
        watch.saw((), grid[number], answer(grid[number]))
    return watch


def _of_the_image(grid, outputs):
    """Return logits that depend on the place in the image alone."""
    shape = [part + 64 for part in grid.shape]
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(outputs, *shape)))
    return lambda tile: logits[(slice(None), *tile.outer)].float()


def _of_the_tile(outputs):
    """Return logits that depend on the place in the tile alone."""
    return lambda tile: Ramp(outputs)(torch.zeros(1, 1, *tile.shape))[0]


@settings(max_examples=40)
@given(grids())
def test_tiles_that_agree_differ_nowhere(grid):
    model = network(Echo(), dims=len(grid.shape))
    found = _watched(grid, model, _of_the_image(grid, 3)).result
    assert found.differing == 0
    starts = [[grid.axes[axis].starts, grid.axes[axis].tile] for axis in range(len(grid.axes))]
    overlap = any(left + tile > right for line, tile in starts for left, right in pairwise(line))
    assert (found.pairs > 0) == overlap
    assert (found.share == 0) if overlap else (found.share is None)


@settings(max_examples=40)
@given(grids(), st.randoms())
def test_the_order_of_tiles_does_not_change_the_count(grid, random):
    model = network(Ramp(3), dims=len(grid.shape))
    order = list(range(len(grid)))
    random.shuffle(order)
    raster = _watched(grid, model, _of_the_tile(3))
    mixed = _watched(grid, model, _of_the_tile(3), order)
    assert raster.result == mixed.result
    assert not mixed._waiting
    assert not mixed._places


@pytest.mark.parametrize("crop", [False, True])
def test_tiles_of_opposite_opinion_differ_everywhere(crop):
    grid = cut_image((64, 40), (32, 32), (16, 8), stride=8, crop=crop)
    model = network(Echo(), outputs=2)

    def by_parity(tile):
        sign = 1.0 if sum(tile.index) % 2 else -1.0
        return torch.stack([torch.full(tile.shape, sign), torch.full(tile.shape, -sign)])

    found = _watched(grid, model, by_parity).result
    assert found.pairs == 2 * 2 + 3 * 1
    assert found.share == 1


def test_the_pixels_compared_lie_around_the_place_where_tiles_meet():
    """Two tiles of 40 px that overlap by 24 px meet at 28 px, where one of them errs."""
    grid = cut_image((56,), (40,), (16,), stride=1, crop=True)
    model = network(Echo(), outputs=2, dims=1)

    def errs_left_of_the_seam(tile):
        wrong = torch.arange(tile.outer[0].start, tile.outer[0].stop) < 28
        wrong = wrong & (tile.index[0] == 1)
        return torch.stack([-wrong.float(), wrong.float()])

    found = _watched(grid, model, errs_left_of_the_seam).result
    assert found == MismatchReport(pixels=16, differing=8, pairs=1)


def test_a_narrow_overlap_is_compared_as_far_as_it_goes():
    grid = cut_image((20, 32), (12, 32), (8, 8), stride=4, crop=True)
    found = _watched(grid, network(Echo()), _of_the_image(grid, 3)).result
    assert found == MismatchReport(pixels=4 * 32, differing=0, pairs=1)


def test_a_pixel_of_several_labels_differs_if_any_of_them_does():
    grid = cut_image((56,), (40,), (16,), stride=1, crop=True)
    model = network(Echo(), task=Task.MULTILABEL, dims=1)

    def last_class_only(tile):
        logits = torch.ones(3, *tile.shape)
        logits[2] = 1.0 if tile.index[0] else -1.0
        return logits

    assert _watched(grid, model, last_class_only).result == MismatchReport(16, 16, 1)


@pytest.mark.parametrize("at_most", [1, 7, 64])
def test_no_more_pairs_are_compared_than_asked_for_and_they_are_spread(at_most):
    grid = cut_image((640, 640), (32, 32), (16, 16), stride=1, crop=False)
    watch = SeamWatch(grid, network(Echo()), at_most=at_most)
    rows = {index[0] for _, index in watch._places}
    columns = {index[1] for _, index in watch._places}
    assert len(watch._places) <= 2 * at_most
    assert min(len(rows), len(columns)) >= min(at_most, 15)
    found = _watched(grid, network(Echo()), _of_the_image(grid, 3), at_most=at_most).result
    assert found.pairs == at_most


def test_pairs_do_not_fall_in_with_the_rows_of_a_grid():
    columns = [number % 32 for number in _spread(range(64 * 32), 64)]
    assert len(set(columns)) > 20


def test_pairs_are_chosen_from_all_planes_and_from_the_tiles_that_come():
    grid = cut_image((40, 40), (16, 16), (8, 8), stride=1, crop=True)
    model = network(Echo())
    wanted = np.zeros((2, 3, len(grid)), bool)
    wanted[1, 2, [0, 1, 5, 15]] = True  # of these, 0-1 and 1-5 are neighbours
    watch = SeamWatch(grid, model, leading_shape=(2, 3), wanted=wanted)
    for number in (0, 1, 5, 15):
        watch.saw((1, 2), grid[number], torch.zeros(3, 16, 16))
    assert watch.result.pairs == 2
    everywhere = SeamWatch(grid, model, leading_shape=(2, 3))
    assert {plane for plane, _ in everywhere._places} == {(i, j) for i in (0, 1) for j in range(3)}


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (MismatchReport(), "nothing to compare"),
        (MismatchReport(1000, 0, 3), "the same label"),
        (MismatchReport(10_000, 12, 3), "0.12 % of pixels would be labelled differently"),
        (MismatchReport(10**6, 1, 3), "less than 0.01 %"),
    ],
)
def test_the_report_is_a_plain_sentence(report, words):
    assert words in report.sentence
    assert report.sentence.endswith(".")
