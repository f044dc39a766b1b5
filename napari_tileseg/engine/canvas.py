"""Where tiles are merged: sums exist only for pixels that are begun and not yet final.

Sums are fixed-point integers. Adding integers gives the same bits in every order, so the
order of tiles cannot show in the result, not even where two classes tie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_tileseg.engine.tiles import split_by_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.tiles import Tile, TileGrid

UNIT = float(2**22)
"""Fixed-point steps for one unit of evidence: a step is 2.4e-7."""

LIMIT = 500.0
"""Evidence beyond this, either way, counts as this: a probability of 0 or 1 to all digits."""

Box = tuple[slice, ...]


@dataclass(frozen=True)
class Merged:
    """What is known of the core of a tile once that tile has been added.

    Attributes
    ----------
    sums
        (outputs, *core) int32: evidence times `UNIT`, complete where final.
    final
        The parts of the core that no further tile will touch, in pixels of the image.
    """

    sums: torch.Tensor
    final: tuple[Box, ...]

    @property
    def all_final(self) -> bool:
        """Whether the whole core is final."""
        sizes = [np.prod([part.stop - part.start for part in box]) for box in self.final]
        return int(sum(sizes)) == self.sums[0].numel()


class Canvas:
    """The sums of one plane or volume, kept in blocks that come and go.

    Parameters
    ----------
    grid
        All the tiles that will be added, each once, in any order.
    n_outputs
        How many sums each pixel has.
    device
        Where the sums are kept.
    wanted
        (tiles,) bool: those that will come; all of them if None. Pixels under a tile that
        does not come are never final.
    """

    def __init__(
        self,
        grid: TileGrid,
        n_outputs: int,
        device: torch.device | str = "cpu",
        wanted: NDArray[np.bool_] | None = None,
    ) -> None:
        self._grid = grid
        self._n_outputs = n_outputs
        self._device = torch.device(device)
        if wanted is None:
            wanted = np.ones(len(grid), bool)
        self._to_come = int(wanted.sum())
        self._wanted = wanted.reshape([len(axis) for axis in grid.axes])
        self._waiting: NDArray[np.int32] = _outer_product([axis.cover for axis in grid.axes])
        self._alone = self._waiting.max() == 1
        self._block = grid.tile_shape
        self._sums: dict[tuple[int, ...], torch.Tensor] = {}
        self._visits: dict[tuple[int, ...], int] = {}

    @property
    def live_bytes(self) -> int:
        """Memory that sums take now."""
        return sum(block.nbytes for block in self._sums.values())

    @property
    def complete(self) -> bool:
        """Whether every tile that was to come has come."""
        return self._to_come == 0

    def add(self, tile: Tile, evidence: torch.Tensor, share: torch.Tensor) -> Merged:
        """Add a tile.

        Parameters
        ----------
        tile
            A tile of the grid that was not added before.
        evidence
            (outputs, *tile) float32, finite: `Network.evidence`.
        share
            (*core) float32; the shares of all tiles over a pixel sum to 1.
        """
        core = evidence[(slice(None), *tile.core_within)]
        steps = (core.clamp(-LIMIT, LIMIT) * (share * UNIT)).round_().to(torch.int32)
        sums = steps if self._alone else self._added(tile, steps)
        self._to_come -= 1
        return Merged(sums, tuple(self._newly_final(tile)))

    def _added(self, tile: Tile, steps: torch.Tensor) -> torch.Tensor:
        for key, in_block, in_core in split_by_blocks(tile.core, self._block):
            block = self._sums.get(key)
            if block is None:
                block = self._sums[key] = self._new_block(key)
                self._visits[key] = self._tiles_over(key)
            part = block[(slice(None), *in_block)]
            part += steps[(slice(None), *in_core)]
            steps[(slice(None), *in_core)] = part
            self._visits[key] -= 1
            if not self._visits[key]:
                del self._sums[key], self._visits[key]
        return steps

    def _new_block(self, key: tuple[int, ...]) -> torch.Tensor:
        sizes = [
            min(length, axis.size - place * length)
            for place, length, axis in zip(key, self._block, self._grid.axes, strict=True)
        ]
        return torch.zeros((self._n_outputs, *sizes), dtype=torch.int32, device=self._device)

    def _tiles_over(self, key: tuple[int, ...]) -> int:
        over = []
        for place, length, axis in zip(key, self._block, self._grid.axes, strict=True):
            first, last = place * length, (place + 1) * length
            over.append([start < last and stop > first for start, stop in axis.cores])
        return int(self._wanted[np.ix_(*over)].sum())

    def _newly_final(self, tile: Tile) -> Iterator[Box]:
        cells = tuple(
            slice(*axis.cells[index])
            for axis, index in zip(self._grid.axes, tile.index, strict=True)
        )
        waiting = self._waiting[cells]
        waiting -= 1
        for box in boxes(waiting == 0):
            yield tuple(
                slice(axis.edges[cell.start + part.start], axis.edges[cell.start + part.stop])
                for axis, cell, part in zip(self._grid.axes, cells, box, strict=True)
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


def _outer_product(lines: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    total = np.ones((1,) * len(lines), np.int32)
    for axis, line in enumerate(lines):
        along = [1] * len(lines)
        along[axis] = len(line)
        total = total * line.reshape(along)
    return total
