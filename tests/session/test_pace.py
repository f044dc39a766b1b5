from __future__ import annotations

import pytest

from napari_tileseg.session.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_guessed_before_the_first_tile() -> None:
    assert Pace(10, Clock()).seconds_left is None


def test_time_left_is_what_the_remaining_tiles_take_at_the_recent_pace() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    for done in range(1, 5):
        clock.now += 2
        pace.advance(done)
    assert pace.seconds_left == pytest.approx(12)


def test_warming_up_is_not_counted_once_there_is_more_to_go_by() -> None:
    clock = Clock()
    pace = Pace(101, clock)
    clock.now += 30
    pace.advance(1)
    for done in (2, 3):
        clock.now += 1
        pace.advance(done)
    assert pace.seconds_left == pytest.approx(98)


def test_a_pause_does_not_count() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    for done in (1, 2, 3):
        clock.now += 2
        pace.advance(done)
    pace.pause()
    clock.now += 1000
    pace.resume()
    clock.now += 2
    pace.advance(4)
    assert pace.seconds_left == pytest.approx(12)
    assert pace.elapsed_s == pytest.approx(8)


def test_waiting_longer_than_usual_never_promises_less_than_nothing() -> None:
    clock = Clock()
    pace = Pace(4, clock)
    for done in (1, 2, 3):
        clock.now += 1
        pace.advance(done)
    clock.now += 50
    assert pace.seconds_left is not None
    assert pace.seconds_left >= 0


def test_old_tiles_are_forgotten() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    for done in range(1, 101):
        clock.now += 0.1
        pace.advance(done)
    for done in range(101, 141):
        clock.now += 1
        pace.advance(done)
    assert pace.seconds_left == pytest.approx(860, rel=0.05)
