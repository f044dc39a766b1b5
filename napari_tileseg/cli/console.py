"""What a person reads while a command works: notes and a progress bar on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    Advance = Callable[[int, int], None]

_SECONDS_BETWEEN_LINES = 10.0


def note(args: argparse.Namespace, message: str) -> None:
    """Print a sentence for the person at the terminal, unless she asked for quiet."""
    if not args.quiet:
        print(message, file=sys.stderr, flush=True)


@contextmanager
def progress(args: argparse.Namespace, what: str, unit: str = "tiles") -> Iterator[Advance]:
    """Show how far a long job is and how much time is left, on stderr.

    Yields
    ------
    A function to call with (done, total). In a terminal it moves a bar; in a log file it
    writes a line every ten seconds; with `--quiet` it does nothing.
    """
    if args.quiet:
        yield lambda done, total: None
    elif not sys.stderr.isatty():
        yield _lines(what, unit)
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
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(what: str, unit: str) -> Advance:
    start = last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _SECONDS_BETWEEN_LINES or not done:
            return
        last = now
        left = (now - start) * (total - done) / done
        print(f"{what}: {done} of {total} {unit}, {left:.0f} s left", file=sys.stderr, flush=True)

    return advance
