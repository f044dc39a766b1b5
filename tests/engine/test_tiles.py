from __future__ import annotations

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
    return cut_axis(size, tile, step, stride=stride, crop=cropped), stride


@given(cuts())
def test_every_pixel_is_covered_and_cores_stay_inside(made):
    cut, _ = made
    seen = np.zeros(cut.size, int)
    for start, (first, last) in zip(cut.starts, cut.cores, strict=True):
        assert 0 <= first < last <= cut.size
        assert start <= first
        assert last <= start + cut.tile
        seen[first:last] += 1
    assert seen.min() >= 1


@given(cuts(crop=True))
def test_cropped_cores_share_the_axis_out_exactly(made):
    cut, _ = made
    borders = [first for first, _ in cut.cores] + [cut.cores[-1][1]]
    assert borders[0] == 0
    assert borders[-1] == cut.size
    assert [last for _, last in cut.cores] == borders[1:]


@given(cuts())
def test_tiles_lie_on_the_stride_grid_and_are_flush_with_the_borders(made):
    cut, stride = made
    assert cut.tile % stride == 0
    assert all(start % stride == 0 for start in cut.starts)
    assert cut.starts[0] == 0
    assert 0 <= cut.starts[-1] + cut.tile - cut.size < stride
    assert list(cut.starts) == sorted(set(cut.starts))


@given(cuts())
def test_cells_count_the_tiles_over_each_pixel(made):
    cut, _ = made
    counted = np.zeros(cut.size, int)
    for first, last in cut.cores:
        counted[first:last] += 1
    from_cells = np.repeat(cut.cover, np.diff(cut.edges))
    np.testing.assert_array_equal(from_cells, counted)


def test_an_image_smaller_than_a_tile_gets_one_tile_trimmed_to_the_stride():
    cut = cut_axis(50, 512, 384, stride=32)
    assert cut.starts == (0,)
    assert cut.tile == 64
    assert cut.cores == ((0, 50),)


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
    grid = cut_image(shape, [tile] * len(shape), [step] * len(shape), stride=1, crop=False)
    tiles = list(grid)
    assert len(tiles) == len(grid) == len(grid.centres)
    assert len({one.index for one in tiles}) == len(tiles)
    for one, centre in zip(tiles, grid.centres, strict=True):
        assert [(p.start + p.stop) / 2 for p in one.outer] == list(centre)
        assert one.shape == grid.tile_shape
