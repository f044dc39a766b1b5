"""Where tiles lie: one axis is cut, then the axes are multiplied.

    blended: size 10, tile 4, step 3              cropped: size 10, tile 6, step 4, halo 1
    |----------|                                  |----------|
    tile 0 [0..4)    contributes all of it        tile 0 [0..6)    core [0..5)
    tile 1    [3..7)                              tile 1     [4..10)  core  [5..10)
    tile 2       [6..10)  flush with the end      with size 9 tile 1 ends at 9: it is trimmed

Tiles begin on multiples of the network's stride, counted from the image's own border, so
that every pixel meets the same phase of the network as it would in the whole image. The first
and the last tile end where the image does: there the network's own padding acts as it would
on the whole image.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Cut:
    """One axis of an image, cut into overlapping tiles.

    Attributes
    ----------
    size
        Length of the axis in pixels.
    starts
        Where tiles begin, rising.
    lengths
        How long each tile is; the last one may reach past the end by less than a stride.
    cores
        The pixels [first, last) that each tile contributes to, inside the image.
    """

    size: int
    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    cores: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def tile(self) -> int:
        """Length of the longest tile, in pixels."""
        return max(self.lengths)

    @property
    def seen(self) -> int:
        """How many pixels the network sees along this axis, shared ones counted each time."""
        return sum(self.lengths)

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """Where cells begin and end: inside a cell every pixel has the same tiles over it."""
        return tuple(sorted({edge for core in self.cores for edge in core}))

    @cached_property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """The range of cells [first, last) that each tile covers."""
        position = {edge: index for index, edge in enumerate(self.edges)}
        return tuple((position[first], position[last]) for first, last in self.cores)

    @cached_property
    def cover(self) -> NDArray[np.int32]:
        """How many tiles cover each cell."""
        counts = np.zeros(len(self.edges) - 1, np.int32)
        for first, last in self.cells:
            counts[first:last] += 1
        return counts

    def neighbours(self, index: int) -> tuple[int, ...]:
        """Return where tiles that overlap a tile begin, relative to it; itself included."""
        here, end = self.starts[index], self.starts[index] + self.lengths[index]
        return tuple(
            start - here
            for start, length in zip(self.starts, self.lengths, strict=True)
            if start < end and here < start + length
        )


def round_up(size: int, multiple: int) -> int:
    """Return the smallest multiple that is at least `size`."""
    return -(-size // multiple) * multiple


def cut_axis(
    size: int, tile: int, step: int, *, stride: int = 1, crop: bool = False, align: int = 0
) -> Cut:
    """Cut one axis into tiles.

    Parameters
    ----------
    size
        Length of the axis in pixels.
    tile
        Length of a tile; a multiple of `stride`. A shorter axis gets one shorter tile.
    step
        Distance between tiles; a multiple of `stride`, at most `tile`.
    stride
        The network's total stride in pixels.
    crop
        Whether tiles share the axis out among them: each pixel goes to one tile, which sees at
        least (tile - step) / 2 pixels around it or the border of the image, and the last tile
        is trimmed to what is left. Otherwise all tiles are of one length, the last one is
        moved back until it is flush with the end, and a tile contributes to all its pixels.
    align
        When cropping, let the cores begin on multiples of this many pixels, if `step` is one.

    Raises
    ------
    SettingsError
        If the sizes do not fit each other.
    """
    if tile % stride or step % stride or not 0 < step <= tile:
        raise SettingsError(
            f"Tiles of {tile} px every {step} px do not lie on the network's grid: both have to "
            f"be multiples of {stride} px, and the step at most the tile."
        )
    padded = round_up(size, stride)
    if crop:
        return _cropped(size, padded, tile, step, stride, align)
    tile = min(tile, padded)
    last = padded - tile
    starts = (*range(0, last, step), last)
    cores = tuple((start, min(start + tile, size)) for start in starts)
    return Cut(size, starts, (tile,) * len(starts), cores)


def _cropped(size: int, padded: int, tile: int, step: int, stride: int, align: int) -> Cut:
    halo = (tile - step) // 2
    aligned = align > 0 and step % align == 0 and halo % stride == 0
    second = step - halo if aligned and step > halo else step
    # one that begins within the last `tile - step` pixels has no core
    starts = (0, *range(second, padded - (tile - step), step)) if padded > tile else (0,)
    lengths = tuple(min(tile, padded - start) for start in starts)
    borders = (0, *(start + halo for start in starts[1:]), size)
    return Cut(size, starts, lengths, tuple(pairwise(borders)))


@dataclass(frozen=True)
class Tile:
    """One tile of an image, in pixels of the image.

    Attributes
    ----------
    index
        Its place on each axis of the grid.
    outer
        What the network sees; may reach past the end of the image.
    core
        What it contributes to, inside the image.
    """

    index: tuple[int, ...]
    outer: tuple[slice, ...]
    core: tuple[slice, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of what the network sees, in pixels."""
        return tuple(part.stop - part.start for part in self.outer)

    @property
    def core_within(self) -> tuple[slice, ...]:
        """The core in the pixels of the tile itself."""
        return tuple(
            slice(inner.start - part.start, inner.stop - part.start)
            for inner, part in zip(self.core, self.outer, strict=True)
        )


@dataclass(frozen=True)
class TileGrid:
    """The product of cut axes: all tiles of one plane or volume, numbered in raster order."""

    axes: tuple[Cut, ...]

    def __len__(self) -> int:
        return prod(len(axis) for axis in self.axes)

    def __getitem__(self, number: int) -> Tile:
        index = tuple(int(i) for i in np.unravel_index(number, [len(axis) for axis in self.axes]))
        outer, core = [], []
        for axis, i in zip(self.axes, index, strict=True):
            outer.append(slice(axis.starts[i], axis.starts[i] + axis.lengths[i]))
            core.append(slice(*axis.cores[i]))
        return Tile(index, tuple(outer), tuple(core))

    def __iter__(self) -> Iterator[Tile]:
        return (self[number] for number in range(len(self)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of the image in pixels."""
        return tuple(axis.size for axis in self.axes)

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """The size of the largest tiles in pixels."""
        return tuple(axis.tile for axis in self.axes)

    @property
    def seen_px(self) -> int:
        """How many pixels the network sees in one plane, shared ones counted each time."""
        return prod(axis.seen for axis in self.axes)

    @property
    def shapes(self) -> dict[tuple[int, ...], int]:
        """How many tiles there are of each size in pixels."""
        lines = [Counter(axis.lengths).items() for axis in self.axes]
        return {
            tuple(length for length, _ in sizes): prod(count for _, count in sizes)
            for sizes in product(*lines)
        }

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """The centre of every tile in pixels, (tiles, axes)."""
        lines = [
            [start + length / 2 for start, length in zip(axis.starts, axis.lengths, strict=True)]
            for axis in self.axes
        ]
        return np.array(list(product(*lines)), dtype=np.float64)


def split_by_blocks(
    region: Sequence[slice], sides: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
    """Split a region where it crosses from one block of a regular grid into the next.

    Parameters
    ----------
    region
        A slice on each axis, in pixels.
    sides
        The size of a block on each axis, in pixels; blocks begin at 0.

    Yields
    ------
    The index of a block, and the part that it shares with the region: in pixels of the block,
    then in pixels of the region.
    """
    lines = []
    for part, side in zip(region, sides, strict=True):
        line = []
        for place in range(part.start // side, -(-part.stop // side)):
            first, last = max(part.start, place * side), min(part.stop, (place + 1) * side)
            in_block = slice(first - place * side, last - place * side)
            line.append((place, in_block, slice(first - part.start, last - part.start)))
        lines.append(line)
    for combination in product(*lines):
        key, in_block, in_region = zip(*combination, strict=True)
        yield key, in_block, in_region


def cut_image(
    shape: Sequence[int],
    tile: Sequence[int],
    step: Sequence[int],
    *,
    stride: int,
    crop: bool,
    align: int = 0,
) -> TileGrid:
    """Cut each axis of an image and multiply; see `cut_axis`."""
    return TileGrid(
        tuple(
            cut_axis(size, length, every, stride=stride, crop=crop, align=align)
            for size, length, every in zip(shape, tile, step, strict=True)
        )
    )
