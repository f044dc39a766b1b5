"""What a person reads while a command works: notes and a progress bar on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

_SECONDS_BETWEEN_LINES = 10.0


def note(args: argparse.Namespace, message: str) -> None:
    """Print a sentence for the person at the terminal, unless she asked for quiet."""
    if not args.quiet:
        print(message, file=sys.stderr, flush=True)


class Advance(Protocol):
    """Is called with (done, total)."""

    def __call__(self, done: int, total: int) -> None:
        """Say how far the job is."""

    def survey(self, share: float) -> None:
        """Say how much of the image was gone over, 0 to 1, before the job itself begins."""


@contextmanager
def progress(args: argparse.Namespace, what: str, unit: str = "tiles") -> Iterator[Advance]:
    """Show how far a long job is and how much time is left, on stderr.

    Yields
    ------
    In a terminal it moves a bar; in a log file it writes a line every ten seconds; with `--quiet`
    it does nothing.
    """
    if args.quiet:
        yield _Silent()
    elif not sys.stderr.isatty():
        yield _Lines(what, unit)
    else:
        with _bar(what, unit) as advance:
            yield advance


@contextmanager
def _bar(what: str, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("·"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, bar.add_task(what, total=None), what)


class _Silent:
    def __call__(self, done: int, total: int) -> None:
        pass

    def survey(self, share: float) -> None:
        pass


class _Bar:
    def __init__(self, bar: Progress, task: TaskID, what: str) -> None:
        self._bar = bar
        self._task = task
        self._what = what

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total, description=self._what)

    def survey(self, share: float) -> None:
        self._bar.update(self._task, description=f"{self._what}: {_surveyed(share)}")


class _Lines:
    def __init__(self, what: str, unit: str) -> None:
        self._what = what
        self._unit = unit
        self._start = self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if done and self._is_due():
            left = (self._last - self._start) * (total - done) / done
            self._say(f"{done} of {total} {self._unit}, {left:.0f} s left")

    def survey(self, share: float) -> None:
        if share and self._is_due():
            left = (self._last - self._start) * (1 - share) / share
            self._say(f"{_surveyed(share)}, {left:.0f} s left")
        if share == 1:
            self._start = time.monotonic()  # what comes now goes at another pace

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN_LINES:
            return False
        self._last = now
        return True

    def _say(self, text: str) -> None:
        print(f"{self._what}: {text}", file=sys.stderr, flush=True)


def _surveyed(share: float) -> str:
    return f"going over the whole image first, {100 * share:.0f} %"
