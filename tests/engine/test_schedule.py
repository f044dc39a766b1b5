from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.engine.schedule import Focus, Schedule
from napari_tileseg.engine.sections import sections_of
from napari_tileseg.engine.tiles import cut_image

GRID = cut_image((100, 160), (20, 20), (20, 20), stride=1, crop=False)


def _all(schedule: Schedule, batch: int = 1) -> list[tuple[tuple[int, ...], int]]:
    taken = []
    while True:
        one = schedule.take(batch)
        if one is None:
            return taken
        taken += [(one.plane, number) for number in one.numbers]


ROWS, COLUMNS = (len(axis) for axis in GRID.axes)
SWEPT = [
    *range((ROWS - 2) * COLUMNS),
    *(row * COLUMNS + column for column in range(COLUMNS) for row in (ROWS - 2, ROWS - 1)),
]


def test_without_a_focus_tiles_come_row_by_row_and_the_last_two_rows_in_turn():
    assert [number for _, number in _all(Schedule([GRID]))] == SWEPT


def test_tiles_come_by_their_distance_to_the_focus():
    order = [number for _, number in _all(Schedule([GRID], (), Focus((30, 110))))]
    away = np.linalg.norm(GRID.centres[order] - (30, 110), axis=1)
    assert (np.diff(away) >= 0).all()


def test_moving_the_focus_reorders_what_is_left():
    focus = Focus((10, 10))
    schedule = Schedule([GRID], (), focus)
    first = list(schedule.take(1).numbers)
    focus.move((90, 150))
    second = list(schedule.take(1).numbers)
    assert first == [0]
    assert second == [len(GRID) - 1]


def test_a_wide_view_finds_tiles_beside_it_nearer_than_tiles_above():
    schedule = Schedule([GRID], (), Focus((50, 70), (10, 200)))
    first = [GRID[number].index for number in schedule.take(8).numbers]
    assert {row for row, _ in first} == {2}


def test_the_plane_that_is_looked_at_comes_first_then_the_nearest():
    planes = [plane for plane, _ in _all(Schedule([GRID], (5,), Focus((3, 50, 50))), 7)]
    visited = list(dict.fromkeys(planes))
    assert visited[0] == (3,)
    assert set(visited[1:3]) == {(2,), (4,)}
    assert visited[-1] == (0,)


def test_only_so_many_tiles_come_by_distance_and_the_rest_row_by_row():
    order = [number for _, number in _all(Schedule([GRID], (), Focus((50, 80)), near=6))]
    away = np.linalg.norm(GRID.centres - (50, 80), axis=1)
    assert away[order[:6]].max() <= away[order[6:]].min()
    assert order[6:] == [number for number in SWEPT if number not in order[:6]]


def test_a_wide_grid_is_swept_band_by_band():
    order = [number for _, number in _all(Schedule([GRID], band_px=60))]
    assert sorted(order) == list(range(len(GRID)))
    bands = [GRID[number].core[1].start // 60 for number in order]
    assert bands == sorted(bands)
    first = [number for number in order if number % COLUMNS < 3]
    assert first == [number for number in SWEPT if number % COLUMNS < 3]


def test_no_patch_is_begun_while_memory_is_short():
    schedule = Schedule([GRID], (), Focus((50, 80)), near=6, crowded=lambda: True)
    assert [number for _, number in _all(schedule)] == SWEPT


def test_tiles_that_were_given_back_are_handed_out_again():
    focus = Focus((0, 10, 10))
    schedule = Schedule([GRID], (2,), focus)
    given_back = schedule.take(3)
    focus.move((1, 90, 150))
    schedule.give_back(given_back)
    rest = _all(schedule)
    assert len(rest) == len(set(rest)) == 2 * len(GRID) == schedule.total


def test_the_last_tiles_can_be_given_back():
    schedule = Schedule([GRID])
    last = schedule.take(len(GRID))
    assert schedule.take(1) is None
    schedule.give_back(last)
    assert len(_all(schedule)) == len(GRID)


def test_a_batch_has_tiles_of_one_shape():
    grid = cut_image((100, 100), (48, 48), (32, 32), stride=4, crop=True)
    shapes = {tile.shape for tile in grid}
    assert len(shapes) == 4
    schedule, taken = Schedule([grid]), []
    while (batch := schedule.take(4)) is not None:
        assert len({grid[number].shape for number in batch.numbers}) == 1
        taken += batch.numbers
    assert sorted(taken) == list(range(len(grid)))


def test_the_section_that_is_looked_at_comes_first():
    left = cut_image((40, 80), (20, 20), (20, 20), stride=1, crop=False)
    sections = sections_of(cut_image((40, 40_000), (20, 1000), (20, 800), stride=1, crop=False), 2)
    assert len(sections) == 3
    assert Schedule(sections, (), Focus((10, 39_000))).take(1).section == 2
    assert Schedule([left]).take(1).section == 0


def test_a_plane_that_was_left_is_taken_up_again():
    focus = Focus((0, 10, 10))
    schedule = Schedule([GRID], (2,), focus)
    schedule.take(3)
    focus.move((1, 10, 10))
    assert schedule.take(1).plane == (1,)
    assert len(_all(schedule)) == 2 * len(GRID) - 4


@given(
    st.lists(st.tuples(st.floats(-50, 300), st.floats(-50, 300)), max_size=30), st.integers(1, 9)
)
def test_every_tile_is_handed_out_once_however_the_focus_moves(points, batch):
    focus = Focus()
    schedule = Schedule([GRID], (2,), focus)
    taken = []
    for y, x in points:
        focus.move((x % 2, y, x))
        one = schedule.take(batch)
        taken += [(one.plane, number) for number in (one.numbers if one else ())]
    taken += _all(schedule, batch)
    assert len(taken) == len(set(taken)) == 2 * len(GRID)
