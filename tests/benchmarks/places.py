"""Where somebody reviews an image: squares by chance, apart from one another."""

from __future__ import annotations

import numpy as np

PLACE_PX, GAP_PX = 256, 32


def places(shape: tuple[int, int], seed: int, count: int) -> list[tuple[slice, slice]]:
    """Choose squares of `PLACE_PX` that lie `GAP_PX` apart or more; equal seeds, equal squares."""
    random, found = np.random.default_rng(seed), []
    for number in range(10_000):
        if number % 100 == 0:
            found = []  # the first ones may have left no room for another
        y, x = (int(random.integers(0, size - PLACE_PX + 1)) for size in shape)
        if all(max(abs(y - b), abs(x - a)) >= PLACE_PX + GAP_PX for b, a in found):
            found.append((y, x))
        if len(found) == count:
            return [(slice(y, y + PLACE_PX), slice(x, x + PLACE_PX)) for y, x in found]
    raise SystemExit(f"There is no room for {count} places.")
