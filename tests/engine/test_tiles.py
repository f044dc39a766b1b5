from __future__ import annotations

from collections import Counter
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.engine.tiles import cut_axis, cut_image
from napari_tileseg.errors import SettingsError


@st.composite
def cuts(draw: st.DrawFn, crop: bool | None = None):
    stride = draw(st.sampled_from([1, 2, 4, 8, 32]))
    tile = stride * draw(st.integers(1, 12))
    step = stride * draw(st.integers(1, tile // stride))
    size = draw(st.integers(1, 400))
    cropped = draw(st.booleans()) if crop is None else crop
    align = draw(st.sampled_from([0, 8, 32, 64]))
    cut = cut_axis(size, tile, step, stride=stride, crop=cropped, align=align)
    return cut, stride, (tile, step)


@given(cuts())
def test_every_pixel_is_covered_and_cores_stay_inside(made):
    cut, _, _ = made
    seen = np.zeros(cut.size, int)
    for start, length, (first, last) in zip(cut.starts, cut.lengths, cut.cores, strict=True):
        assert 0 <= first < last <= cut.size
        assert start <= first
        assert last <= start + length
        seen[first:last] += 1
    assert seen.min() >= 1


@given(cuts(crop=True))
def test_cropped_cores_share_the_axis_out_exactly(made):
    cut, _, _ = made
    borders = [first for first, _ in cut.cores] + [cut.cores[-1][1]]
    assert borders[0] == 0
    assert borders[-1] == cut.size
    assert [last for _, last in cut.cores] == borders[1:]


@given(cuts(crop=True))
def test_cropped_cores_see_their_halo_or_the_border_of_the_image(made):
    cut, stride, (tile, step) = made
    halo = (tile - step) // 2
    for start, length, (first, last) in zip(cut.starts, cut.lengths, cut.cores, strict=True):
        end = start + length
        assert first - start >= halo or start == 0
        assert end - last >= halo or 0 <= end - cut.size < stride
        assert length == tile or start == cut.starts[-1]


@given(cuts())
def test_tiles_lie_on_the_stride_grid_and_are_flush_with_the_borders(made):
    cut, stride, (tile, _) = made
    assert all(length % stride == 0 and 0 < length <= tile for length in cut.lengths)
    assert all(start % stride == 0 for start in cut.starts)
    assert cut.starts[0] == 0
    assert 0 <= cut.starts[-1] + cut.lengths[-1] - cut.size < stride
    assert list(cut.starts) == sorted(set(cut.starts))
    assert cut.tile == max(cut.lengths)


@given(cuts(crop=False))
def test_blended_tiles_are_of_one_length(made):
    assert len(set(made[0].lengths)) == 1


@given(cuts())
def test_cells_count_the_tiles_over_each_pixel(made):
    cut, _, _ = made
    counted = np.zeros(cut.size, int)
    for first, last in cut.cores:
        counted[first:last] += 1
    from_cells = np.repeat(cut.cover, np.diff(cut.edges))
    np.testing.assert_array_equal(from_cells, counted)


def test_the_last_cropped_tile_is_trimmed_to_what_is_left():
    cut = cut_axis(4096, 1024, 1024 - 2 * 64, stride=32, crop=True)
    assert cut.lengths == (1024, 1024, 1024, 1024, 512)
    assert cut.starts == (0, 896, 1792, 2688, 3584)
    assert cut.cores[-1] == (3648, 4096)
    assert cut.seen == 4 * 1024 + 512


def test_cores_follow_the_chunks_of_the_output_where_that_is_free():
    cut = cut_axis(4000, 1024 + 2 * 64, 1024, stride=32, crop=True, align=512)
    assert [first for first, _ in cut.cores] == [0, 1024, 2048, 3072]
    assert cut_axis(4000, 1024, 896, crop=True, align=512) == cut_axis(4000, 1024, 896, crop=True)


def test_an_image_smaller_than_a_tile_gets_one_tile_trimmed_to_the_stride():
    cut = cut_axis(50, 512, 384, stride=32)
    assert cut.starts == (0,)
    assert cut.tile == 64
    assert cut.cores == ((0, 50),)
    assert cut_axis(50, 512, 384, stride=32, crop=True) == cut


def test_a_single_pixel_is_an_image():
    assert cut_axis(1, 512, 384, stride=32).cores == ((0, 1),)


def test_sizes_off_the_grid_are_refused_with_the_reason():
    with pytest.raises(SettingsError, match="multiples of 32 px"):
        cut_axis(100, 100, 64, stride=32)
    with pytest.raises(SettingsError, match="step at most the tile"):
        cut_axis(100, 64, 96, stride=32)


@given(st.lists(st.integers(1, 14), min_size=1, max_size=3), st.integers(1, 9), st.data())
def test_a_grid_is_the_product_of_its_axes(shape, tile, data):
    step = data.draw(st.integers(1, tile))
    crop = data.draw(st.booleans())
    grid = cut_image(shape, [tile] * len(shape), [step] * len(shape), stride=1, crop=crop)
    tiles = list(grid)
    assert len(tiles) == len(grid) == len(grid.centres)
    assert len({one.index for one in tiles}) == len(tiles)
    for one, centre in zip(tiles, grid.centres, strict=True):
        assert [(p.start + p.stop) / 2 for p in one.outer] == list(centre)
        assert one.shape == grid.tile_shape or crop
    assert grid.shapes == dict(Counter(one.shape for one in tiles))
    assert grid.seen_px == sum(prod(one.shape) for one in tiles)
