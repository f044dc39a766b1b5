"""Amounts as a person says them: "16 s", "1.2 GB", "3.1 tiles/s"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def duration(seconds: float) -> str:
    """Write seconds as a person says them: "16 s", "4 min", "2 h 10 min"."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def size_of(n_bytes: float) -> str:
    """Write a number of bytes in the unit that reads best: "350 kB", "20 MB", "1.1 GB"."""
    n_bytes = max(0.0, n_bytes)
    for unit, one in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if n_bytes < 999.5 * one:
            return f"{_two_digits(n_bytes / one)} {unit}"
    return f"{_two_digits(n_bytes / 1e12)} TB"


def rate(tiles_per_s: float) -> str:
    """Write how quickly tiles are done: "12 tiles/s", or "7 tiles/min" where that is slow."""
    if 0 < tiles_per_s < 0.5:
        return f"{_two_digits(60 * tiles_per_s)} tiles/min"
    return f"{_two_digits(tiles_per_s)} tiles/s"


def tile_size(lengths: Sequence[int]) -> str:
    """Write the size of a tile, (rows, columns): "512 px" for a square, else "768 × 512 px"."""
    sizes = lengths[:1] if len(set(lengths)) == 1 else tuple(reversed(lengths))
    return f"{' × '.join(f'{length:,}' for length in sizes)} px"


def percent_of(share: float) -> str:
    """Say a share, 0-1, of labels: "0.052 %", "none"."""
    return f"{100 * share:.2g} %" if share else "none"


def _two_digits(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 else f"{number:,.0f}"
