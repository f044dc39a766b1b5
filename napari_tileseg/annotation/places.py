"""Reviewed regions that hang together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.annotation.vouchings import tight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.annotation.vouchings import Vouchings

    Cell = tuple[int, ...]

_CELLS_PX = (16, 64, 256)
_MANY_PX = 4_000_000


@dataclass(frozen=True)
class Place:
    """Reviewed pixels that hang together, or nearly so.

    Attributes
    ----------
    boxes
        Around all of them, in label coordinates; no other place has a reviewed pixel in them.
    pixels
        How many there are.
    classes
        Which labels they have.
    """

    boxes: tuple[Region, ...]
    pixels: int
    classes: frozenset[int]


def places(vouchings: Vouchings) -> list[Place]:
    """Return the places that are reviewed, in order; pixels closer than 16 px are one place."""
    boxes = vouchings.reviewed_boxes()
    rough = sum((box[-1].stop - box[-1].start) * (box[-2].stop - box[-2].start) for box in boxes)
    edge = _CELLS_PX[(rough > _MANY_PX) + (rough > 16 * _MANY_PX)]
    cells = {cell for box in boxes for cell in _cells(vouchings, box, edge)}
    found = []
    for group in _connected(cells):
        runs = tuple(_fitted(vouchings, run) for run in _runs(group, edge))
        counts = sum((_count(vouchings, run) for run in runs), np.zeros(256, np.int64))
        classes = frozenset(np.flatnonzero(counts).tolist())
        found.append(Place(runs, int(counts.sum()), classes))
    return found


def _cells(vouchings: Vouchings, box: Region, edge: int) -> Iterator[Cell]:
    """Yield the squares of side `edge` in which a pixel of `box` is reviewed."""
    plane = tuple(axis.start for axis in box[:-2])
    mask = vouchings.reviewed(box)[(0,) * len(plane)]
    ys, xs = np.nonzero(mask)
    pairs = np.stack([(ys + box[-2].start) // edge, (xs + box[-1].start) // edge], 1)
    for y, x in np.unique(pairs, axis=0).tolist():
        yield (*plane, y, x)


def _connected(cells: set[Cell]) -> Iterator[list[Cell]]:
    """Yield groups of cells that touch one another, corners included, on one plane."""
    left = set(cells)
    for first in sorted(cells):
        if first not in left:
            continue
        left.remove(first)
        group, front = [first], [first]
        while front:
            *plane, y, x = front.pop()
            for near_y in (y - 1, y, y + 1):
                for near_x in (x - 1, x, x + 1):
                    cell = (*plane, near_y, near_x)
                    if cell in left:
                        left.remove(cell)
                        group.append(cell)
                        front.append(cell)
        yield sorted(group)


def _runs(cells: list[Cell], edge: int) -> Iterator[Region]:
    """Yield the boxes of sorted cells, neighbours in a row put together."""
    start = last = cells[0]
    for cell in [*cells[1:], None]:
        if cell is not None and cell == (*last[:-1], last[-1] + 1):
            last = cell
            continue
        plane = tuple(slice(index, index + 1) for index in start[:-2])
        rows = slice(start[-2] * edge, (start[-2] + 1) * edge)
        yield (*plane, rows, slice(start[-1] * edge, (last[-1] + 1) * edge))
        if cell is not None:
            start = last = cell


def _fitted(vouchings: Vouchings, run: Region) -> Region:
    """Return the smallest box around what is reviewed in cells, which reach beyond it."""
    inside = tuple(
        slice(axis.start, min(axis.stop, size))
        for axis, size in zip(run, vouchings.shape, strict=True)
    )
    return tight(inside, vouchings.reviewed(inside))


def _count(vouchings: Vouchings, region: Region) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    labels = vouchings.labels(region)[vouchings.reviewed(region)]
    return np.bincount(labels, minlength=256).astype(np.int64)
