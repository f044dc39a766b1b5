"""Empty parts of an image: no tile is computed for them, and every other pixel keeps its bits.

A tile is left out only if there is nothing in its whole core. So all tiles over a pixel that is
not empty are computed, as in a full run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_tileseg.engine.canvas import boxes, cover, in_pixels, tiles_over
from napari_tileseg.engine.occupied import occupied_mask
from napari_tileseg.engine.regions import tiles_for_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_tileseg.engine.canvas import Box
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.tiles import TileGrid

Planes: TypeAlias = "dict[tuple[int, ...], NDArray[np.bool_]]"
Wanted: TypeAlias = "Callable[[TileGrid], NDArray[np.bool_]]"


def occupied_planes(plan: Plan, source: Source, check: Callable[[], None]) -> Planes | None:
    """Return a coarse mask of what is not empty in each plane; None if nothing is skipped."""
    if not plan.skip_empty:
        return None
    found = {}
    for plane in np.ndindex(*plan.leading_shape):
        check()
        found[plane] = occupied_mask(source, plane, plan.channels, levels=source.levels)
    return found


def tiles_where(plan: Plan, occupied: Planes | None) -> Wanted | None:
    """Say which tiles of a grid are over something, (*planes, tiles) bool."""
    if occupied is None:
        return None

    def wanted(grid: TileGrid) -> NDArray[np.bool_]:
        tiles = [tiles_for_mask(grid, mask) for mask in occupied.values()]
        return np.array(tiles).reshape(*plan.leading_shape, len(grid))

    return wanted


def both(first: Wanted | None, second: Wanted | None) -> Wanted | None:
    """Want what two want; None stands for everything."""
    if first is None or second is None:
        return first or second
    one, other = first, second
    return lambda grid: one(grid) & other(grid)


def empty_boxes(grid: TileGrid, needed: NDArray[np.bool_]) -> Iterator[Box]:
    """Cut the pixels that a tile which is not needed would have had a share in into boxes.

    No box is higher than a row of cells, so that none takes much memory.
    """
    missing = tiles_over(grid, needed) < cover(grid)
    for row in range(len(missing)):
        for box in boxes(missing[row : row + 1]):
            yield in_pixels((slice(row, row + 1), *box[1:]), grid)
