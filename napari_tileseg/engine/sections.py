"""Very wide planes, cut into sections so that the sums along a row of tiles stay small.

In raster order one line of overlap across the plane waits for the next row of tiles. Where
that line would take too much memory, the plane is computed in sections from left to right.
Each ends where a tile begins; the tiles that reach across are computed in both.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

from napari_tileseg.engine.tiles import TileGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_tileseg.engine.tiles import Cut

CARRY_BYTES = 96 * 2**20
"""What waits for the next row of tiles takes no more memory than this ..."""

WIDEST_PX = 16384
"""... and is never wider than this, so that wider images need no more."""

_FEWEST_TILES = 8
"""Narrower sections would compute too many tiles twice."""

_BYTES = 4


def sections_of(grid: TileGrid, n_outputs: int, *, crop: bool = False) -> tuple[TileGrid, ...]:
    """Cut a grid along its last axis into grids that together answer for every pixel once.

    Parameters
    ----------
    grid
        All tiles of a plane or volume.
    n_outputs
        How many sums each pixel has.
    crop
        Whether tiles are not merged at all; then nothing waits, and there is one section.
    """
    last = grid.axes[-1]
    widest = section_width(grid, n_outputs)
    if crop or len(grid.axes) < 2 or last.size <= widest:
        return (grid,)
    borders = [0]
    while last.size - borders[-1] > widest:
        # the last tile that begins in time
        begin = last.starts[bisect_right(last.starts, borders[-1] + widest) - 1]
        if begin <= borders[-1]:
            return (grid,)
        borders.append(begin)
    borders.append(last.size)
    return tuple(
        TileGrid((*grid.axes[:-1], _between(last, first, stop)))
        for first, stop in pairwise(borders)
    )


def section_width(grid: TileGrid, n_outputs: int) -> int:
    """Return how wide a section may be, in pixels of the last axis."""
    line = max(1, carry_bytes(grid, n_outputs, 1))
    fewest = _FEWEST_TILES * grid.axes[-1].tile
    return max(fewest, min(WIDEST_PX, CARRY_BYTES // line))


def carry_bytes(grid: TileGrid, n_outputs: int, width: int) -> int:
    """Return how much memory waits for the next row of tiles, `width` pixels wide."""
    first, *middle = grid.axes[:-1] or grid.axes
    overlaps = [core[1] - following[0] for core, following in pairwise(first.cores)]
    # all but the last overlap are alike; the last can be nearly a whole tile
    overlap = max(overlaps[:-1] or overlaps or [0])
    return n_outputs * _BYTES * overlap * prod(axis.size for axis in middle) * width


def sweep_width(sections: Sequence[TileGrid], *, crop: bool) -> int:
    """Return how far a sweep reaches along the last axis before it comes back, in pixels.

    Tiles that are not merged are in one section, and need no other order than what is stored of
    them: rows across all of a wide plane would begin too many of its blocks.
    """
    widest = max(grid.axes[-1].edges[-1] - grid.axes[-1].edges[0] for grid in sections)
    return min(widest, WIDEST_PX) if crop else widest


def _between(axis: Cut, first: int, stop: int) -> Cut:
    """Keep the tiles that have a share in pixels [first, stop), and of their cores that part."""
    kept = [
        (start, length, (max(core[0], first), min(core[1], stop)))
        for start, length, core in zip(axis.starts, axis.lengths, axis.cores, strict=True)
        if core[0] < stop and core[1] > first
    ]
    starts, lengths, cores = zip(*kept, strict=True)
    return replace(axis, starts=starts, lengths=lengths, cores=cores)


def near_tiles(grid: TileGrid, n_outputs: int) -> int | None:
    """Return how many tiles around a focus can be finished before the rest; None for all.

    At the border of a patch of finished tiles sums wait for the tiles around it. A patch of n
    tiles in d dimensions has 2 d sides of n^((d - 1) / d) tiles.
    """
    dims = len(grid.axes)
    line = carry_bytes(TileGrid((grid.axes[0],)), n_outputs, 1)
    step = max(max(axis.starts[1:2] or (axis.tile,)) - axis.starts[0] for axis in grid.axes)
    if line == 0 or dims == 1:
        return None
    side = CARRY_BYTES / 4 / (line * 2 * dims)  # pixels (or areas) of border that fit
    return max(_FEWEST_TILES, int((side ** (1 / (dims - 1)) / step) ** dims))
