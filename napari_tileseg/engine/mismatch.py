"""How much neighbouring tiles disagree where they meet: what a seam would be, counted.

Where two tiles overlap, both have an answer for the same pixels. If they give them different
labels, the label depends on where tiles happen to lie (the "tile mismatch" of Buglakova et
al., ICCV 2025). A sample of places, spread over the image, is enough to know how often.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_tileseg.engine.spec import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.tiles import Tile, TileGrid

BAND = 8
"""Pixels to either side of the place where two tiles meet that are compared."""

Index = tuple[int, ...]
Corner = tuple[int, ...]
Band = tuple[slice, ...]

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class MismatchReport:
    """What was counted.

    Attributes
    ----------
    pixels, differing
        How many pixels were compared, and how many have another label in the other tile.
    pairs
        How many pairs of neighbouring tiles were compared.
    """

    pixels: int = 0
    differing: int = 0
    pairs: int = 0

    @property
    def share(self) -> float | None:
        """The share of pixels that differ, 0-1; None if nothing was compared."""
        return self.differing / self.pixels if self.pixels else None

    @property
    def sentence(self) -> str:
        """The same for a person."""
        if not self.pixels:
            return "No two tiles overlap, so there was nothing to compare at their borders."
        if not self.differing:
            return "Where tiles meet, both give every pixel the same label."
        percent = 100 * self.differing / self.pixels
        shown = "less than 0.01 %" if percent < 0.01 else f"{percent:.2f} %"
        return (
            f"Where tiles meet, {shown} of pixels would be labelled differently by the other tile."
        )


class SeamWatch:
    """Compares what tiles say about the pixels that they share with a neighbour.

    Nothing waits for the device before `result` is asked for.

    Parameters
    ----------
    grid
        The tiles of one plane.
    network
        Turns logits into labels.
    leading_shape
        How many planes there are along each leading axis.
    wanted
        (*leading_shape, tiles) bool: the tiles that will be computed; all of them if None.
    at_most
        How many pairs of tiles are compared in all planes together.
    """

    def __init__(
        self,
        grid: TileGrid,
        network: Network,
        *,
        leading_shape: tuple[int, ...] = (),
        wanted: NDArray[np.bool_] | None = None,
        at_most: int = 64,
    ) -> None:
        self._network = network
        self._places: dict[tuple[Index, Corner], list[tuple[int, Band]]] = {}
        self._waiting: dict[int, torch.Tensor] = {}
        self._differing: list[torch.Tensor] = []
        self._pixels = 0
        for pair, (plane, left, right, band) in enumerate(
            _chosen_pairs(grid, leading_shape, wanted, at_most)
        ):
            for corner in (left, right):
                self._places.setdefault((plane, corner), []).append((pair, band))

    def saw(self, plane: Index, tile: Tile, logits: torch.Tensor) -> None:
        """Take note of the answer to one tile, in any order; nothing of it is kept but labels.

        Parameters
        ----------
        plane
            An index on each leading axis.
        tile
            A tile of the grid, or of a part of it.
        logits
            (outputs, *tile): what the network says about all of the tile.
        """
        corner = tuple(part.start for part in tile.outer)
        for pair, band in self._places.pop((plane, corner), ()):
            within = tuple(
                slice(part.start - outer.start, part.stop - outer.start)
                for part, outer in zip(band, tile.outer, strict=True)
            )
            labels = self._labels(logits[(slice(None), *within)])
            other = self._waiting.pop(pair, None)
            if other is None:
                self._waiting[pair] = labels
            else:
                self._pixels += labels[0].numel()
                self._differing.append((labels != other.to(labels.device)).any(0).sum())

    @property
    def result(self) -> MismatchReport:
        """What was counted so far."""
        differing = sum(int(count) for count in self._differing)
        return MismatchReport(self._pixels, differing, len(self._differing))

    def _labels(self, logits: torch.Tensor) -> torch.Tensor:
        """Return (1 or classes, *band) uint8."""
        with torch.inference_mode():
            labels = self._network.decide(self._network.evidence(logits)).to(torch.uint8)
        return labels if self._network.spec.task is Task.MULTILABEL else labels[None]


@dataclass(frozen=True)
class _Line:
    """One axis of a grid: what tiles see and contribute to, and where each meets the next."""

    outers: tuple[slice, ...]
    meets: tuple[int, ...]
    homes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, grid: TileGrid, axis: int) -> _Line:
        step = prod(len(later) for later in grid.axes[axis + 1 :])
        tiles = [grid[place * step] for place in range(len(grid.axes[axis]))]
        cores = [tile.core[axis] for tile in tiles]
        meets = tuple((left.stop + right.start) // 2 for left, right in pairwise(cores))
        borders = (cores[0].start, *meets, cores[-1].stop)
        return cls(tuple(tile.outer[axis] for tile in tiles), meets, tuple(pairwise(borders)))

    def band(self, left: int) -> slice:
        """Return what a tile and the next both see, near where they meet."""
        first = max(self.outers[left + 1].start, self.meets[left] - BAND)
        last = min(self.outers[left].stop, self.meets[left] + BAND, self.homes[-1][1])
        return slice(first, max(first, last))

    def overlapping(self) -> list[int]:
        """Return the tiles that share pixels with the next one."""
        bands = [self.band(left) for left in range(len(self.meets))]
        return [left for left, band in enumerate(bands) if band.stop > band.start]


def _chosen_pairs(
    grid: TileGrid, leading: Index, wanted: NDArray[np.bool_] | None, at_most: int
) -> Iterator[tuple[Index, Corner, Corner, Band]]:
    """Yield plane, corners of the left and the right tile, and the pixels to compare."""
    lines = [_Line.of(grid, axis) for axis in range(len(grid.axes))]
    lefts = [line.overlapping() for line in lines]
    shape = [len(line.outers) for line in lines]
    counts = [(*shape[:axis], len(lefts[axis]), *shape[axis + 1 :]) for axis in range(len(shape))]
    ends = np.cumsum([prod(leading) * prod(one) for one in counts])
    candidates: Sequence[int] | NDArray[np.intp] = range(int(ends[-1]))
    if wanted is not None:
        there = wanted.reshape(-1, *shape)
        both = [
            there.take(left, axis + 1) & there.take([one + 1 for one in left], axis + 1)
            for axis, left in enumerate(lefts)
        ]
        candidates = np.flatnonzero(np.concatenate([one.ravel() for one in both]))
    for number in _spread(candidates, at_most):
        axis = int(np.searchsorted(ends, number, side="right"))
        place = number - int(ends[axis] - prod(leading) * prod(counts[axis]))
        found = [int(i) for i in np.unravel_index(place, (*leading, *counts[axis]))]
        plane, index = tuple(found[: len(leading)]), found[len(leading) :]
        index[axis] = lefts[axis][index[axis]]
        band = [slice(*line.homes[i]) for line, i in zip(lines, index, strict=True)]
        band[axis] = lines[axis].band(index[axis])
        left = tuple(line.outers[i].start for line, i in zip(lines, index, strict=True))
        following = lines[axis].outers[index[axis] + 1].start
        yield plane, left, (*left[:axis], following, *left[axis + 1 :]), tuple(band)


def _spread(candidates: Sequence[int] | NDArray[np.intp], at_most: int) -> Iterator[int]:
    """Take one from each of equally long stretches, each at another place of its stretch."""
    count = min(len(candidates), at_most)
    for part in range(count):
        first, last = part * len(candidates) // count, (part + 1) * len(candidates) // count
        # steps of the golden ratio never fall in with the rows of a grid
        yield int(candidates[first + int((part * _GOLDEN) % 1 * (last - first))])
