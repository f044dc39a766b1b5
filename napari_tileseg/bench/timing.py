"""Two or more things timed in turn, so that a busy moment of the machine hits them alike."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def in_turn(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time every action once a round, in an order that is reversed from round to round.

    Returns
    -------
    Seconds of each round, by the name of the action.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds):
        for name in list(actions)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            actions[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(above: list[float], below: list[float]) -> float:
    """Return the median of the ratios of pairs."""
    return float(np.median(np.asarray(above) / np.asarray(below)))


def spread(above: list[float], below: list[float]) -> str:
    """Say how the ratios of pairs spread, and how long the two take."""
    ratios = np.asarray(above) / np.asarray(below)
    return (
        f"{len(ratios)} pairs, {ratios.min():.3g} to {ratios.max():.3g}; "
        f"{np.median(above):.3g} s / {np.median(below):.3g} s"
    )
