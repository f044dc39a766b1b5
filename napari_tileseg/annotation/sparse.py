"""An array of any size that costs only what differs from its fill value."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

Region = tuple[slice, ...]
"""A box in an array: one slice an axis, each with explicit start and stop, step 1."""

CHUNK_PX = 256

BAND_PX = 1 << 20
"""Large regions are worked through in parts of about this size, so that masks stay small."""


def shape_of(region: Region) -> tuple[int, ...]:
    """Return the shape of what a region covers."""
    return tuple(axis.stop - axis.start for axis in region)


def bounding(regions: Iterable[Region]) -> Region:
    """Return the smallest region around all of `regions` (at least one)."""
    return tuple(
        slice(min(axis.start for axis in axes), max(axis.stop for axis in axes))
        for axes in zip(*regions, strict=True)
    )


def box_around(mask: npt.NDArray[np.bool_]) -> Region:
    """Return the smallest region around the true pixels of `mask` (at least one)."""
    region = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        region.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(region)


def bands(region: Region) -> Iterator[tuple[Region, Region]]:
    """Cut a region along its longest axis into parts of at most about `BAND_PX` pixels.

    Yields
    ------
    Each part twice: in the coordinates of the array, and relative to the region.
    """
    shape = shape_of(region)
    axis = int(np.argmax(shape))
    step = max(1, BAND_PX * shape[axis] // max(1, prod(shape)))
    for low in range(0, shape[axis], step):
        high = min(shape[axis], low + step)
        inside = [slice(0, size) for size in shape]
        inside[axis] = slice(low, high)
        part = tuple(
            slice(whole.start + cut.start, whole.start + cut.stop)
            for whole, cut in zip(region, inside, strict=True)
        )
        yield part, tuple(inside)


def overlap(one: Region, other: Region) -> Region | None:
    """Return what two regions have in common; None if that is nothing."""
    both = tuple(
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return None if any(axis.start >= axis.stop for axis in both) else both


def relative(region: Region, frame: Region) -> Region:
    """Return a region in the coordinates of a frame around it."""
    return tuple(
        slice(axis.start - whole.start, axis.stop - whole.start)
        for axis, whole in zip(region, frame, strict=True)
    )


def chunk_edges(ndim: int) -> tuple[int, ...]:
    """Return (ndim,) the size of a chunk: a plane of `CHUNK_PX` squared over the last two axes."""
    return (1,) * (ndim - 2) + (CHUNK_PX,) * min(2, ndim)


def chunks_under(region: Region) -> Iterator[tuple[int, ...]]:
    """Yield the index of every chunk that has pixels in `region`."""
    return product(
        *(
            range(axis.start // edge, -(-axis.stop // edge))
            for axis, edge in zip(region, chunk_edges(len(region)), strict=True)
        )
    )


def chunk_region(index: tuple[int, ...], shape: tuple[int, ...]) -> Region:
    """Return what a chunk of an array of `shape` covers."""
    return tuple(
        slice(i * edge, min(size, (i + 1) * edge))
        for i, edge, size in zip(index, chunk_edges(len(shape)), shape, strict=True)
    )


class SparseArray:
    """A chunked array whose untouched chunks, and chunks of one single value, cost nothing.

    Parameters
    ----------
    shape
        Of the whole array; chunks are planes of `CHUNK_PX` squared over its last two axes.
    dtype
        Of the values.
    fill
        What has never been written reads as this.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, fill: int | bool = 0) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.fill = self.dtype.type(fill)
        self._edge = chunk_edges(len(self.shape))
        self._chunks: dict[tuple[int, ...], npt.NDArray[Any]] = {}

    @property
    def n_chunks(self) -> int:
        """How many chunks have been written at all."""
        return len(self._chunks)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held by the values."""
        return sum(c.nbytes for c in self._chunks.values() if c.flags.writeable)

    def read(self, region: Region) -> npt.NDArray[Any]:
        """Return a copy of the values in `region`."""
        values = np.full(shape_of(region), self.fill)
        for index, inside, outside in self._pieces(region):
            chunk = self._chunks.get(index)
            if chunk is not None:
                values[outside] = chunk[inside]
        return values

    def write(
        self, region: Region, values: npt.ArrayLike, where: npt.NDArray[np.bool_] | None = None
    ) -> None:
        """Write `values` (of the region's shape, or one for all) where `where` is true."""
        whole = np.broadcast_to(np.asarray(values, dtype=self.dtype), shape_of(region))
        for index, inside, outside in self._pieces(region):
            chosen = None if where is None else where[outside]
            if chosen is None or chosen.any():
                self._write_chunk(index, inside, whole[outside], chosen)

    def written(self) -> list[Region]:
        """Return the chunks that hold anything but the fill value, as regions, in order."""
        return [chunk_region(index, self.shape) for index in sorted(self._chunks)]

    def touched(self, region: Region) -> bool:
        """Say whether any chunk under `region` has ever been written."""
        return bool(self._chunks) and any(i in self._chunks for i, _, _ in self._pieces(region))

    def largest(self, region: Region, steps: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return the largest value of every cell of `steps` pixels; the fill value counts as 0.

        Cells begin at whole multiples of their step, so the first and the last may reach out of
        the region; only pixels of the region count. It costs what was written.
        """
        first = [axis.start // step for axis, step in zip(region, steps, strict=True)]
        cells = [-(-axis.stop // step) for axis, step in zip(region, steps, strict=True)]
        found = np.zeros([b - a for a, b in zip(first, cells, strict=True)], self.dtype)
        for index, chunk in self._chunks.items():
            frame = chunk_region(index, self.shape)
            both = overlap(frame, region)
            if both is None:
                continue
            block = chunk[relative(both, frame)]
            there = []
            for axis, (span, step, origin) in enumerate(zip(both, steps, first, strict=True)):
                numbers = np.arange(span.start // step, -(-span.stop // step))
                if step > 1:
                    starts = np.maximum(numbers * step - span.start, 0)
                    block = np.maximum.reduceat(block, starts, axis=axis)
                there.append(slice(int(numbers[0]) - origin, int(numbers[-1]) + 1 - origin))
            target = found[tuple(there)]
            np.maximum(target, block, out=target)
        return found

    def change(self, values: npt.NDArray[Any]) -> None:
        """Put `values[old]` in the place of every value `old`, the fill value included."""
        self.fill = self.dtype.type(values[int(self.fill)])
        for index, chunk in list(self._chunks.items()):
            self._keep(index, values[chunk].astype(self.dtype, copy=False))

    def _write_chunk(
        self,
        index: tuple[int, ...],
        inside: Region,
        values: npt.NDArray[Any],
        where: npt.NDArray[np.bool_] | None,
    ) -> None:
        if where is None and values.shape == self._chunk_shape(index):
            self._keep(index, values.copy())
            return
        chunk = self._chunks.get(index)
        if chunk is None:
            chunk = np.full(self._chunk_shape(index), self.fill)
        elif not chunk.flags.writeable:
            chunk = chunk.copy()
        if where is None:
            chunk[inside] = values
        else:
            np.copyto(chunk[inside], values, where=where)
        self._keep(index, chunk)

    def _keep(self, index: tuple[int, ...], chunk: npt.NDArray[Any]) -> None:
        first = chunk.flat[0]
        if not (chunk == first).all():
            self._chunks[index] = chunk
        elif first == self.fill:
            self._chunks.pop(index, None)
        else:
            # a read-only view of one value stands for a chunk full of it
            self._chunks[index] = np.broadcast_to(self.dtype.type(first), chunk.shape)

    def _chunk_shape(self, index: tuple[int, ...]) -> tuple[int, ...]:
        return shape_of(chunk_region(index, self.shape))

    def _pieces(self, region: Region) -> Iterator[tuple[tuple[int, ...], Region, Region]]:
        """Yield (chunk index, part inside the chunk, part inside the region)."""
        if len(region) != len(self.shape):
            raise ValueError(f"a region of {len(region)} axes in an array of {len(self.shape)}")
        axes = [
            list(_cut(axis, edge, size))
            for axis, edge, size in zip(region, self._edge, self.shape, strict=True)
        ]
        for cuts in product(*axes):
            yield (
                tuple(index for index, _, _ in cuts),
                tuple(inside for _, inside, _ in cuts),
                tuple(outside for _, _, outside in cuts),
            )


def _cut(axis: slice, edge: int, size: int) -> Iterator[tuple[int, slice, slice]]:
    if not 0 <= axis.start <= axis.stop <= size:
        raise ValueError(f"{axis} does not lie within 0 to {size}")
    for index in range(axis.start // edge, -(-axis.stop // edge)):
        low = max(axis.start, index * edge)
        high = min(axis.stop, (index + 1) * edge)
        if low < high:
            origin = index * edge
            yield (
                index,
                slice(low - origin, high - origin),
                slice(low - axis.start, high - axis.start),
            )
