"""Where a model is undecided, coarsely: enough to say which place is worth a look next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_tileseg.annotation.sparse import Region

CELL_PX = 64
"""Doubt is known by the square of this side, on the last two axes."""

PLACE_CELLS = 4
"""A place has as many cells on each side: 256 px."""


class DoubtMap:
    """The doubt in each cell of an array of labels.

    Parameters
    ----------
    shape
        Of the labels.
    step
        Every how many pixels doubt is told, on the last two axes.

    Attributes
    ----------
    labels_shape
        Of the labels.
    shape
        How many cells there are on each axis.
    sums
        (*cells) float32: the doubt of the pixels it was told of, added up, so that a cell that is
        cut off by the border of the image, or not computed to the end, is worth as much less.
    """

    def __init__(self, shape: Sequence[int], step: int) -> None:
        self.labels_shape = tuple(shape)
        self.shape = (*shape[:-2], *(-(-size // CELL_PX) for size in shape[-2:]))
        self._step = step
        self.sums = np.zeros(self.shape, np.float32)
        self._runs = np.zeros(self.shape, np.uint16)
        self._run = 0

    def restart(self) -> None:
        """Begin another run: what it tells of a cell takes the place of what is known."""
        self._run += 1

    def add(self, region: Region, doubt: NDArray[np.float32]) -> None:
        """Take the doubt of some pixels.

        Parameters
        ----------
        region
            Where, in pixels.
        doubt
            0 to 1, (*leading, rows, columns): of the pixels of the region whose row and column
            are multiples of the step.
        """
        if not doubt.size:
            return
        rows, columns = (
            np.arange(-(-part.start // self._step) * self._step, part.stop, self._step) // CELL_PX
            for part in region[-2:]
        )
        sums: NDArray[Any] = doubt
        for axis, cells in ((-2, rows), (-1, columns)):
            edges = np.flatnonzero(np.diff(cells, prepend=-1))
            sums = np.add.reduceat(sums, edges, axis=axis)
        at = (
            *region[:-2],
            slice(rows[0], rows[-1] + 1),
            slice(columns[0], columns[-1] + 1),
        )
        old = self._runs[at] != self._run
        self.sums[at][old] = 0
        self._runs[at] = self._run
        self.sums[at] += sums

    def worst(self, settled: NDArray[np.bool_], closed: NDArray[np.bool_]) -> Region | None:
        """Return the place with the most doubt; None if there is none left.

        Parameters
        ----------
        settled
            (*cells) bool: cells whose doubt does not count any more.
        closed
            (*cells) bool: cells that no place may contain.

        Returns
        -------
        A square of `PLACE_CELLS` cells on each side on one plane, in pixels of the labels, or what
        fits into a smaller image. It may reach beyond the border of the image by part of a cell.
        """
        side = tuple(min(PLACE_CELLS, size) for size in self.shape[-2:])
        most, found = 0.0, None
        for plane in np.ndindex(*self.shape[:-2]):
            if not self.sums[plane].any():
                continue
            doubt = np.where(settled[plane], 0, self.sums[plane])
            open_ = _windows(closed[plane].astype(np.float32), side) == 0
            windows = np.where(open_, _windows(doubt, side), 0)
            corner = np.unravel_index(int(windows.argmax()), windows.shape)
            if windows[corner] > most:
                most, found = float(windows[corner]), (plane, corner)
        if found is None:
            return None
        plane, corner = found
        square = (
            slice(int(first) * CELL_PX, (int(first) + count) * CELL_PX)
            for first, count in zip(corner, side, strict=True)
        )
        return (*(slice(index, index + 1) for index in plane), *square)


def _windows(cells: NDArray[np.float32], side: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the mean of each window of `side` cells."""
    found: NDArray[Any] = cells.astype(np.float64)
    for axis, count in enumerate(side):
        sums = np.cumsum(np.moveaxis(found, axis, -1), axis=-1)
        sums = np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1)
        found = np.moveaxis((sums[..., count:] - sums[..., :-count]) / count, -1, axis)
    return found.round(6).astype(np.float32)  # sums that cancel out are 0 again
