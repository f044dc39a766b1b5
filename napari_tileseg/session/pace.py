"""How long it still takes, guessed from the tiles of the last moments."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S = 20.0
"""Older tiles do not count: the machine may have been busier, or the image emptier."""


class Pace:
    """Counts tiles and guesses the time left, leaving pauses out.

    Parameters
    ----------
    total
        How many tiles there are.
    clock
        Gives seconds; replaced in tests.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._began = clock()
        self._marks: deque[tuple[float, int]] = deque([(self._working_s(), 0)])

    def advance(self, done: int) -> None:
        """Say how many tiles are done by now."""
        if done <= self.done:
            return
        self.done = done
        now = self._working_s()
        self._marks.append((now, done))
        while len(self._marks) > 2 and self._is_stale(self._marks[0], now):
            self._marks.popleft()

    @staticmethod
    def _is_stale(mark: tuple[float, int], now: float) -> bool:
        # the first tile also pays for warming up, so it is no guide to the others
        return mark[1] == 0 or now - mark[0] > WINDOW_S

    def pause(self) -> None:
        """Stop the clock."""
        if self._paused_at is None:
            self._paused_at = self._clock()

    def resume(self) -> None:
        """Let the clock run on."""
        if self._paused_at is not None:
            self._paused_s += self._clock() - self._paused_at
            self._paused_at = None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last tile; None before there is anything to go by."""
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        if after == before or end <= start:
            return None
        per_tile = (end - start) / (after - before)
        waited = self._working_s() - end
        late = max(0.0, waited - per_tile)
        per_tile += late / (after - before)
        return max(0.0, per_tile * (self.total - self.done) - min(waited, per_tile))

    @property
    def tiles_per_s(self) -> float:
        """How quickly tiles were done of late, pauses left out; 0 while that is not known."""
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start else 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds spent working, pauses left out."""
        return self._working_s() - self._began

    def _working_s(self) -> float:
        now = self._clock() if self._paused_at is None else self._paused_at
        return now - self._paused_s
