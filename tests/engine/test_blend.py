from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.engine.blend import Shares, window
from napari_tileseg.engine.tiles import cut_image
from napari_tileseg.settings import Blend


@st.composite
def grids(draw: st.DrawFn, blend: Blend):
    dims = draw(st.integers(1, 3))
    longest = {1: 200, 2: 60, 3: 22}[dims]
    stride = draw(st.sampled_from([1, 2, 4]))
    shape = [draw(st.integers(1, longest)) for _ in range(dims)]
    tile = [stride * draw(st.integers(1, max(1, longest // (2 * stride)))) for _ in range(dims)]
    step = [stride * draw(st.integers(max(1, t // stride // 4), t // stride)) for t in tile]
    return cut_image(shape, tile, step, stride=stride, crop=blend is Blend.CROP)


@pytest.mark.parametrize("blend", Blend)
@settings(max_examples=60)
@given(data=st.data())
def test_shares_sum_to_one_at_every_pixel(blend, data):
    grid = data.draw(grids(blend))
    shares = Shares(grid, blend)
    total = torch.zeros(grid.shape, dtype=torch.float64)
    for tile in grid:
        share = shares.of(tile)
        assert (share > 0).all()
        total[tile.core] += share
    assert (total - 1).abs().max() <= 1e-6


@pytest.mark.parametrize("blend", Blend)
def test_where_only_one_tile_is_its_share_is_exactly_one(blend):
    grid = cut_image((40, 40), (16, 16), (12, 12), stride=4, crop=blend is Blend.CROP)
    corner = Shares(grid, blend).of(grid[0])
    assert (corner[:10, :10] == 1).all()


@pytest.mark.parametrize("blend", [Blend.GAUSSIAN, Blend.PYRAMID, Blend.HANN])
def test_a_window_is_symmetric_and_highest_in_the_middle(blend):
    weights = window(blend, (16, 24))
    np.testing.assert_allclose(weights, weights[::-1, ::-1])
    assert weights.max() == weights[8, 12]
    assert weights.min() == weights[0, 0] > 0


def test_few_distinct_windows_serve_an_image_of_any_size():
    grid = cut_image((4000, 4000), (64, 64), (48, 48), stride=16, crop=False)
    shares = Shares(grid, Blend.GAUSSIAN)
    distinct = {shares.of(tile).data_ptr() for tile in grid}
    assert len(grid) > 6000
    assert len(distinct) <= 25
