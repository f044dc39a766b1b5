"""Where tiles are merged: sums exist only for pixels that are begun and not yet final.

The borders of all tiles cut a plane into cells; inside a cell every pixel has the same tiles
over it, so a cell is begun, summed up and finished as one. Pixels under a single tile are
never stored, and a tile that shares none with another is not even copied. What lives in
raster order is one line of overlap across the plane.

Sums are fixed-point integers. Adding integers gives the same bits in every order, so the
order of tiles cannot show in the result, not even where two classes tie.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import reduce
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_tileseg.engine.tiles import Tile, TileGrid

UNIT = float(2**24)
"""Fixed-point steps for one unit of evidence: a step is 6e-8."""

LIMIT = 127.0
"""Evidence beyond this, either way, counts as this: a probability of 0 or 1 to all digits."""

_SLAB_BYTES = 4 * 2**20
"""Buffers for what waits are made by the dozen: single ones would lie scattered in memory."""

Box = tuple[slice, ...]


@dataclass(frozen=True)
class Merged:
    """What is known of the core of a tile once that tile has been added.

    Attributes
    ----------
    evidence
        (outputs, *core) numbers, complete where final. Good until the next tile is added.
    unit
        What one unit of evidence is in these numbers.
    final
        The parts of the core that no further tile will touch, in pixels of the image.
    """

    evidence: torch.Tensor
    unit: float
    final: tuple[Box, ...]

    @property
    def all_final(self) -> bool:
        """Whether the whole core is final."""
        sizes = [prod(part.stop - part.start for part in box) for box in self.final]
        return bool(sum(sizes) == self.evidence[0].numel())


class Canvas:
    """The sums of one plane or volume, kept in cells that come and go.

    Parameters
    ----------
    grid
        All the tiles that will be added, each once, in any order.
    device
        Where the sums are kept.
    wanted
        (tiles,) bool: those that will come; all of them if None. Pixels under a tile that
        does not come are never final.
    """

    def __init__(
        self,
        grid: TileGrid,
        device: torch.device | str = "cpu",
        wanted: NDArray[np.bool_] | None = None,
    ) -> None:
        self._grid = grid
        self._device = torch.device(device)
        self._to_come = len(grid) if wanted is None else int(wanted.sum())
        self._cover = cover(grid)
        self._coming = self._cover.copy() if wanted is None else tiles_over(grid, wanted)
        self._whole = self._coming == self._cover
        self._sums: dict[tuple[int, ...], torch.Tensor] = {}
        self._scratch = _Scratch(self._device)

    @property
    def live_bytes(self) -> int:
        """Memory that sums take now."""
        return sum(cell.nbytes for cell in self._sums.values())

    @property
    def held_bytes(self) -> int:
        """Memory that sums take now, or have taken and that is kept for others."""
        return self._scratch.slab_bytes

    @property
    def complete(self) -> bool:
        """Whether every tile that was to come has come."""
        return self._to_come == 0

    def add(
        self, tile: Tile, evidence: torch.Tensor, steps: torch.Tensor, *, within_limit: bool = False
    ) -> Merged:
        """Add a tile.

        Parameters
        ----------
        tile
            A tile of the grid that was not added before.
        evidence
            (outputs, *tile) float32, finite: `Network.evidence`. Left as it is.
        steps
            (*core) float32: the share of the tile times `UNIT`; the shares of all tiles over a
            pixel sum to 1.
        within_limit
            Whether it is known that no evidence is beyond `LIMIT`.
        """
        core, unit = evidence[(slice(None), *tile.core_within)], 1.0
        cells = tuple(
            slice(*axis.cells[index])
            for axis, index in zip(self._grid.axes, tile.index, strict=True)
        )
        self._coming[cells] -= 1
        self._to_come -= 1
        if (self._cover[cells] > 1).any():
            core, unit = self._in_steps(core, steps, within_limit=within_limit), UNIT
            self._merge(core, cells)
        finished = (self._coming[cells] == 0) & self._whole[cells]
        corner = tuple(part.start for part in cells)
        final = tuple(in_pixels(_moved(box, corner), self._grid) for box in boxes(finished))
        return Merged(core, unit, final)

    def _in_steps(
        self, core: torch.Tensor, steps: torch.Tensor, *, within_limit: bool
    ) -> torch.Tensor:
        """Return the share of a tile, as integers."""
        weighted = self._scratch.lend(core.shape, torch.float32)
        if within_limit:
            torch.mul(core, steps, out=weighted)
        else:
            torch.clamp(core, -LIMIT, LIMIT, out=weighted).mul_(steps)
        return self._scratch.lend(core.shape, torch.int32).copy_(weighted)

    def _merge(self, sums: torch.Tensor, cells: tuple[slice, ...]) -> None:
        """Add what earlier tiles have left in each cell, and leave it for later ones."""
        corner = self._pixel_corner(cells)
        for key in product(*(range(part.start, part.stop) for part in cells)):
            if self._cover[key] == 1:
                continue
            inside = tuple(
                slice(axis.edges[place] - first, axis.edges[place + 1] - first)
                for axis, place, first in zip(self._grid.axes, key, corner, strict=True)
            )
            part = sums[(slice(None), *inside)]
            before = self._sums.pop(key, None)
            if before is not None:
                part += before
            if self._coming[key]:
                kept = self._scratch.lend_apart(part.shape) if before is None else before
                self._sums[key] = kept.copy_(part)
            elif before is not None:
                self._scratch.take_back(before)

    def _pixel_corner(self, cells: tuple[slice, ...]) -> tuple[int, ...]:
        axes = self._grid.axes
        return tuple(axis.edges[part.start] for axis, part in zip(axes, cells, strict=True))


class _Scratch:
    """Memory that is used again and again: fresh pages cost more than the sums in them.

    Attributes
    ----------
    slab_bytes
        What all buffers take that stay a borrower's, lent or not.
    """

    def __init__(self, device: torch.device) -> None:
        self.slab_bytes = 0
        self._device = device
        self._lent: dict[torch.dtype, torch.Tensor] = {}
        self._spare: dict[tuple[int, ...], list[torch.Tensor]] = defaultdict(list)

    def lend(self, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
        """Return the one buffer of a type, cut to a shape; what was lent before is void."""
        count = prod(shape)
        buffer = self._lent.get(dtype)
        if buffer is None or buffer.numel() < count:
            buffer = self._lent[dtype] = torch.empty(count, dtype=dtype, device=self._device)
        return buffer[:count].view(shape)

    def lend_apart(self, shape: torch.Size) -> torch.Tensor:
        """Return an int32 buffer that stays the borrower's until it is taken back."""
        spare = self._spare[shape]
        if not spare:
            count = max(1, _SLAB_BYTES // (4 * prod(shape)))
            slab = torch.empty(count * prod(shape), dtype=torch.int32, device=self._device)
            self.slab_bytes += slab.nbytes
            spare.extend(slab.view(count, *shape).unbind())
        return spare.pop()

    def take_back(self, buffer: torch.Tensor) -> None:
        """Keep a buffer for the next borrower."""
        self._spare[buffer.shape].append(buffer)


def cover(grid: TileGrid) -> NDArray[np.int32]:
    """Count how many tiles cover each cell of a grid."""
    counts: NDArray[np.int32] = reduce(np.multiply.outer, [axis.cover for axis in grid.axes])
    return counts


def in_pixels(box: Box, grid: TileGrid) -> Box:
    """Turn a box of cells of a grid into pixels of the image."""
    return tuple(
        slice(axis.edges[part.start], axis.edges[part.stop])
        for axis, part in zip(grid.axes, box, strict=True)
    )


def tiles_over(grid: TileGrid, wanted: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Count how many of the wanted tiles, (tiles,) bool, cover each cell of a grid."""
    # each tile adds 1 at its corner and takes it away behind its end; the sums spread that
    lengths = [len(axis.edges) for axis in grid.axes]
    change = np.zeros(lengths, np.int32)
    places = np.nonzero(wanted.reshape([len(axis) for axis in grid.axes]))
    ranges = [
        np.array(axis.cells, np.intp).reshape(-1, 2)[place].T
        for axis, place in zip(grid.axes, places, strict=True)
    ]
    for ends in product((0, 1), repeat=len(ranges)):
        corner = tuple(pair[end] for pair, end in zip(ranges, ends, strict=True))
        np.add.at(change, corner, (-1) ** sum(ends))
    for axis in range(change.ndim):
        np.cumsum(change, axis=axis, out=change)
    return change[(slice(-1),) * change.ndim].copy()


def _moved(box: Box, by: tuple[int, ...]) -> Box:
    return tuple(
        slice(part.start + first, part.stop + first) for part, first in zip(box, by, strict=True)
    )


def boxes(mask: NDArray[np.bool_]) -> Iterator[Box]:
    """Cut the True part of a small mask into few boxes that do not overlap."""
    left = mask.copy()
    while left.any():
        corner = np.unravel_index(int(left.argmax()), left.shape)
        box = [slice(int(place), int(place) + 1) for place in corner]
        for axis in reversed(range(left.ndim)):
            _grow(left, box, axis)
        left[tuple(box)] = False
        yield tuple(box)


def _grow(mask: NDArray[np.bool_], box: list[slice], axis: int) -> None:
    """Extend a box along one axis for as long as all of it is True."""
    while box[axis].stop < mask.shape[axis]:
        further = list(box)
        further[axis] = slice(box[axis].stop, box[axis].stop + 1)
        if not mask[tuple(further)].all():
            return
        box[axis] = slice(box[axis].start, box[axis].stop + 1)
