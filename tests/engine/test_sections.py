from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.engine import sections
from napari_tileseg.engine.blend import Shares
from napari_tileseg.engine.canvas import Canvas
from napari_tileseg.engine.schedule import Focus, Schedule
from napari_tileseg.engine.tiles import cut_image
from napari_tileseg.settings import Blend


@st.composite
def wide_grids(draw):
    tile = draw(st.integers(4, 12))
    step = draw(st.integers(-(-tile // 4), tile))
    shape = (draw(st.integers(1, 30)), draw(st.integers(30, 300)))
    return cut_image(shape, (tile, tile), (step, step), stride=1, crop=False)


def test_an_image_that_is_narrow_enough_is_one_section():
    grid = cut_image((2000, 16384), (512, 512), (384, 384), stride=32, crop=False)
    assert sections.sections_of(grid, 4) == (grid,)


def test_nothing_waits_where_tiles_are_cropped_so_there_is_one_section():
    grid = cut_image((2000, 65536), (512, 512), (384, 384), stride=32, crop=True)
    assert sections.sections_of(grid, 20, crop=True) == (grid,)


def test_a_sweep_is_never_wider_than_a_section_may_be():
    for crop in (False, True):
        grid = cut_image((2000, 65536), (512, 512), (384, 384), stride=32, crop=crop)
        cut = sections.sections_of(grid, 4, crop=crop)
        assert sections.sweep_width(cut, crop=crop) <= sections.WIDEST_PX
    narrow = cut_image((2000, 5000), (512, 512), (384, 384), stride=32, crop=True)
    assert sections.sweep_width((narrow,), crop=True) == 5000


def test_a_wide_image_is_cut_and_few_tiles_are_computed_twice():
    grid = cut_image((65536, 65536), (512, 512), (384, 384), stride=32, crop=False)
    cut = sections.sections_of(grid, 4)
    assert len(cut) == 5
    assert sum(map(len, cut)) / len(grid) < 1.03


def test_more_classes_make_narrower_sections():
    grid = cut_image((65536, 65536), (512, 512), (384, 384), stride=32, crop=False)
    width = sections.section_width(grid, 40)
    assert width < sections.section_width(grid, 4)
    assert sections.carry_bytes(grid, 40, width) <= sections.CARRY_BYTES


@given(wide_grids(), st.integers(20, 120))
def test_sections_answer_for_every_pixel_once_with_all_tiles_over_it(grid, widest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "WIDEST_PX", widest)
        patch.setattr(sections, "_FEWEST_TILES", 1)
        cut = sections.sections_of(grid, 3)
    shares = Shares(grid, Blend.GAUSSIAN)
    total, owners = torch.zeros(grid.shape), np.zeros(grid.shape, int)
    for section in cut:
        here = np.zeros(grid.shape, bool)
        for tile in section:
            total[tile.core] += shares.of(tile)
            here[tile.core] = True
        owners += here
    assert (owners == 1).all()
    assert (total - 1).abs().max() < 1e-6


def _live(grid, focus_moves, outputs=2):
    """Run a schedule whose focus moves, and return the most memory that sums took."""
    shares, canvas = Shares(grid, Blend.CONSTANT), Canvas(grid)
    focus = Focus()
    schedule = Schedule(
        [grid],
        (),
        focus,
        near=sections.near_tiles(grid, outputs),
        crowded=lambda: canvas.live_bytes > sections.CARRY_BYTES,
    )
    most, logits = 0, torch.zeros((outputs, *grid.tile_shape))
    moves = iter(focus_moves)
    while True:
        move = next(moves, None)
        if move is not None:
            focus.move(move, (50, 50))
        batch = schedule.take(3)
        if batch is None:
            return most
        for number in batch.numbers:
            tile = grid[number]
            canvas.add(tile, logits, shares.of(tile))
        most = max(most, canvas.live_bytes)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 600)), max_size=60))
def test_sums_stay_within_the_budget_wherever_somebody_looks(moves):
    grid = cut_image((600, 600), (24, 24), (18, 18), stride=2, crop=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "CARRY_BYTES", 64_000)
        patch.setattr(sections, "_FEWEST_TILES", 2)
        row = sections.carry_bytes(grid, 2, 600)
        patch_of_tiles = 64_000 // 2
        assert _live(grid, moves) <= 64_000 + row + patch_of_tiles
