"""Chunks of an image, each decoded once while neighbouring tiles need it."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate, pairwise, product
from math import prod
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.arrays import ArrayLike


class ChunkCache:
    """An array read chunk by chunk; the chunks last used stay in memory.

    Threads may read at the same time: a chunk that one of them decodes is waited for, not
    decoded again.

    Parameters
    ----------
    data
        What is read; see `chunk_edges` for what counts as chunked.
    edges
        Where chunks begin and end on each axis.
    limit_bytes
        How much is kept.
    """

    def __init__(self, data: ArrayLike, edges: Sequence[tuple[int, ...]], limit_bytes: int) -> None:
        self.shape = tuple(int(size) for size in data.shape)
        self.dtype = data.dtype
        self._data = data
        self._edges = tuple(edges)
        self._limit = limit_bytes
        self._kept: OrderedDict[tuple[int, ...], NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        self._decoding: dict[tuple[int, ...], Lock] = {}

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a region given by an int or a slice without a step on each axis."""
        parts = [
            slice(part, part + 1) if isinstance(part, int) else slice(*part.indices(size)[:2])
            for part, size in zip(key, self.shape, strict=True)
        ]
        block = np.empty([part.stop - part.start for part in parts], self.dtype)
        places = [
            range(bisect_right(edges, part.start) - 1, bisect_right(edges, part.stop - 1))
            for part, edges in zip(parts, self._edges, strict=True)
        ]
        for place in product(*places):
            chunk = self._chunk(place)
            to, fro = [], []
            for part, edges, index in zip(parts, self._edges, place, strict=True):
                first, last = max(part.start, edges[index]), min(part.stop, edges[index + 1])
                to.append(slice(first - part.start, last - part.start))
                fro.append(slice(first - edges[index], last - edges[index]))
            block[tuple(to)] = chunk[tuple(fro)]
        return block[tuple(0 if isinstance(part, int) else slice(None) for part in key)]

    def _chunk(self, place: tuple[int, ...]) -> NDArray[Any]:
        with self._lock:
            decoding = self._decoding.setdefault(place, Lock())
        try:
            with decoding:
                with self._lock:
                    if place in self._kept:
                        self._kept.move_to_end(place)
                        return self._kept[place]
                chunk = self._decoded(place)
                self._keep(place, chunk)
                return chunk
        finally:
            with self._lock:
                self._decoding.pop(place, None)

    def _decoded(self, place: tuple[int, ...]) -> NDArray[Any]:
        where = tuple(
            slice(edges[index], edges[index + 1])
            for edges, index in zip(self._edges, place, strict=True)
        )
        return read_block(self._data, where)

    def _keep(self, place: tuple[int, ...], chunk: NDArray[Any]) -> None:
        with self._lock:
            self._kept[place] = chunk
            self._bytes += chunk.nbytes
            while self._bytes > self._limit and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes


def read_block(data: ArrayLike, key: tuple[int | slice, ...]) -> NDArray[Any]:
    """Slice anything; a dask array is computed in this thread, which is one of several."""
    block = data[key]
    if hasattr(block, "compute"):
        block = block.compute(scheduler="synchronous")
    return np.asarray(block)


def chunk_edges(data: ArrayLike) -> tuple[tuple[int, ...], ...] | None:
    """Return where the chunks of a dask or zarr array lie on each axis; None without chunks."""
    chunks: Any = getattr(data, "chunks", None)
    if not isinstance(chunks, tuple) or len(chunks) != len(data.shape):
        return None
    edges = []
    for sizes, length in zip(chunks, data.shape, strict=True):
        if isinstance(sizes, int):
            edges.append((*range(0, length, sizes), length) if length else (0,))
        else:
            edges.append((0, *accumulate(int(size) for size in sizes)))
    return tuple(edges)


def sweep_bytes(edges: Sequence[tuple[int, ...]], window: Sequence[int], itemsize: int) -> int:
    """Return what one sweep of a window along all axes but the first of them touches.

    Parameters
    ----------
    edges
        As in `chunk_edges`.
    window
        How many pixels of each axis are needed at once: on the axis that is swept last the
        length of a tile, on those swept before it their whole length.
    itemsize
        Bytes of one pixel and channel.
    """
    touched = []
    for line, length in zip(edges, window, strict=True):
        longest = max(last - first for first, last in pairwise(line))
        # one chunk more since tiles begin inside a chunk, one since threads run ahead
        touched.append(min(line[-1], (-(-length // longest) + 2) * longest))
    return prod(touched) * itemsize
