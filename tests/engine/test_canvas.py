from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.engine.blend import Shares
from napari_tileseg.engine.canvas import LIMIT, UNIT, Canvas, boxes
from napari_tileseg.engine.tiles import cut_image
from napari_tileseg.settings import Blend


@st.composite
def cases(draw: st.DrawFn):
    blend = draw(st.sampled_from(list(Blend)))
    dims = draw(st.integers(1, 3))
    longest = {1: 120, 2: 40, 3: 14}[dims]
    shape = [draw(st.integers(1, longest)) for _ in range(dims)]
    tile = [draw(st.integers(1, longest // 2)) for _ in range(dims)]
    step = [draw(st.integers(max(1, -(-t // 4)), t)) for t in tile]
    grid = cut_image(shape, tile, step, stride=1, crop=blend is Blend.CROP)
    order = draw(st.permutations(range(len(grid)))) if len(grid) < 60 else None
    if order is None:
        order = np.random.default_rng(len(grid)).permutation(len(grid)).tolist()
    return grid, blend, list(order)


def _logits(grid, outputs=3):
    """Coarse numbers, so that classes tie often; each tile disagrees with its neighbours."""
    generator = torch.Generator().manual_seed(1)
    shape = (len(grid), outputs, *grid.tile_shape)
    return torch.randint(-2, 3, shape, generator=generator).float()


def _painted(grid, blend, order, outputs=3):
    logits, shares = _logits(grid, outputs), Shares(grid, blend, unit=UNIT)
    canvas = Canvas(grid)
    sums = torch.zeros((outputs, *grid.shape), dtype=torch.int32)
    finals = np.zeros(grid.shape, int)
    for number in order:
        tile = grid[number]
        merged = canvas.add(tile, logits[number], shares.of(tile))
        sums[(slice(None), *tile.core)] = (merged.evidence * (UNIT / merged.unit)).int()
        for box in merged.final:
            finals[box] += 1
    assert canvas.complete
    assert canvas.live_bytes == 0
    return sums, finals


@settings(max_examples=80)
@given(cases())
def test_the_order_of_tiles_changes_no_bit(case):
    grid, blend, order = case
    in_order, _ = _painted(grid, blend, range(len(grid)))
    shuffled, _ = _painted(grid, blend, order)
    assert torch.equal(in_order, shuffled)


@settings(max_examples=80)
@given(cases())
def test_final_regions_cover_every_pixel_exactly_once(case):
    grid, blend, order = case
    _, finals = _painted(grid, blend, order)
    assert (finals == 1).all()


@settings(max_examples=60)
@given(cases())
def test_sums_are_the_weighted_mean_of_the_tiles(case):
    grid, blend, order = case
    sums, _ = _painted(grid, blend, order)
    logits, shares = _logits(grid).double(), Shares(grid, blend)
    expected = torch.zeros((3, *grid.shape), dtype=torch.float64)
    for number, tile in enumerate(grid):
        core = logits[number][(slice(None), *tile.core_within)]
        expected[(slice(None), *tile.core)] += core * shares.of(tile)
    # half a step of 2.4e-7 for each tile over a pixel
    assert (sums / UNIT - expected).abs().max() <= 1.2e-7 * 4**3 + 1e-6


def test_sums_live_only_between_the_first_and_the_last_tile_over_them():
    grid = cut_image((64, 4096), (64, 64), (64, 48), stride=16, crop=False)
    canvas, shares = Canvas(grid), Shares(grid, Blend.GAUSSIAN, unit=UNIT)
    most = 0
    for tile in grid:
        canvas.add(tile, torch.zeros(2, 64, 64), shares.of(tile))
        most = max(most, canvas.live_bytes)
        assert canvas.live_bytes <= canvas.held_bytes
    assert most <= 3 * 2 * 64 * 64 * 4


def test_logits_beyond_the_limit_saturate_instead_of_wrapping_around():
    grid = cut_image((8, 12), (8, 8), (8, 4), stride=4, crop=False)
    canvas, shares = Canvas(grid), Shares(grid, Blend.CONSTANT, unit=UNIT)
    for tile in grid:
        merged = canvas.add(tile, torch.full((1, 8, 8), 1e30), shares.of(tile))
    assert merged.evidence.max() == LIMIT * merged.unit


def test_a_tile_that_shares_no_pixel_is_not_copied():
    grid = cut_image((20, 40), (16, 16), (12, 12), stride=4, crop=True)
    canvas, shares = Canvas(grid), Shares(grid, Blend.CROP, unit=UNIT)
    logits = torch.randn(3, *grid.tile_shape)
    for tile in grid:
        core = logits[(slice(None), *tile.core_within)]
        merged = canvas.add(tile, logits, shares.of(tile))
        assert merged.evidence.data_ptr() == core.data_ptr()
        assert torch.equal(merged.evidence, core)
        assert merged.all_final
    assert canvas.held_bytes == 0


@given(
    st.integers(1, 3).flatmap(
        lambda dims: st.tuples(*(st.integers(1, 5) for _ in range(dims))).flatmap(
            lambda shape: st.lists(
                st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))
            ).map(lambda bits: np.array(bits).reshape(shape))
        )
    )
)
def test_boxes_cover_a_mask_exactly_once(mask):
    seen = np.zeros(mask.shape, int)
    for box in boxes(mask):
        seen[box] += 1
    np.testing.assert_array_equal(seen, mask.astype(int))
