from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.engine.schedule import Focus, Schedule
from napari_tileseg.engine.tiles import cut_image

GRID = cut_image((100, 160), (20, 20), (20, 20), stride=1, crop=False)


def _all(schedule: Schedule, batch: int = 1) -> list[tuple[tuple[int, ...], int]]:
    taken = []
    while True:
        plane, numbers = schedule.take(batch)
        if not numbers:
            return taken
        taken += [(plane, number) for number in numbers]


def test_without_a_focus_tiles_come_in_raster_order():
    assert [number for _, number in _all(Schedule(GRID))] == list(range(len(GRID)))


def test_tiles_come_by_their_distance_to_the_focus():
    order = [number for _, number in _all(Schedule(GRID, (), Focus((30, 110))))]
    away = np.linalg.norm(GRID.centres[order] - (30, 110), axis=1)
    assert (np.diff(away) >= 0).all()


def test_moving_the_focus_reorders_what_is_left():
    focus = Focus((10, 10))
    schedule = Schedule(GRID, (), focus)
    first = schedule.take(1)[1]
    focus.move((90, 150))
    second = schedule.take(1)[1]
    assert first == [0]
    assert second == [len(GRID) - 1]


def test_a_wide_view_finds_tiles_beside_it_nearer_than_tiles_above():
    schedule = Schedule(GRID, (), Focus((50, 70), (10, 200)))
    first = [GRID[number].index for number in schedule.take(8)[1]]
    assert {row for row, _ in first} == {2}


def test_the_plane_that_is_looked_at_comes_first_then_the_nearest():
    planes = [plane for plane, _ in _all(Schedule(GRID, (5,), Focus((3, 50, 50))), 7)]
    visited = list(dict.fromkeys(planes))
    assert visited[0] == (3,)
    assert set(visited[1:3]) == {(2,), (4,)}
    assert visited[-1] == (0,)


def test_a_plane_that_was_left_is_taken_up_again():
    focus = Focus((0, 10, 10))
    schedule = Schedule(GRID, (2,), focus)
    schedule.take(3)
    focus.move((1, 10, 10))
    assert schedule.take(1)[0] == (1,)
    assert len(_all(schedule)) == 2 * len(GRID) - 4


@given(
    st.lists(st.tuples(st.floats(-50, 300), st.floats(-50, 300)), max_size=30), st.integers(1, 9)
)
def test_every_tile_is_handed_out_once_however_the_focus_moves(points, batch):
    focus = Focus()
    schedule = Schedule(GRID, (2,), focus)
    taken = []
    for y, x in points:
        focus.move((x % 2, y, x))
        plane, numbers = schedule.take(batch)
        taken += [(plane, number) for number in numbers]
    taken += _all(schedule, batch)
    assert len(taken) == len(set(taken)) == 2 * len(GRID)
