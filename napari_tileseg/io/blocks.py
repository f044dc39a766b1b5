"""Regions in, whole blocks out: what is begun is kept until it is full, within a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.tiles import TileGrid
    from napari_tileseg.io.sheets import Sheet

_BEGUN_BLOCKS, _BEGUN_BYTES = 40, 96 * 2**20
"""A sweep over the widest band of a plane, 16,384 px, has 33 blocks begun at a time, and with
tiles of 1,536 px a few more. Those at the border of a band wait for long, so they wait on disk."""


class _Begun(NamedTuple):
    values: list[NDArray[Any]]
    missing: int


class Blocks:
    """Collects the blocks of some sheets.

    Blocks that are begun and do not fit into the budget are written as they are, those first
    that were not added to for the longest time, and read again when more of them comes.

    Parameters
    ----------
    sheets
        Where the blocks go; the last one is that of the labels.
    """

    def __init__(self, sheets: Sequence[Sheet]) -> None:
        self._sheets = sheets
        self._labels = sheets[-1].array
        self._begun: dict[tuple[int, ...], _Begun] = {}
        self._set_aside: dict[tuple[int, ...], int] = {}
        self._n_bytes = 0
        whole = sum(sheet.block_bytes for sheet in sheets)
        self._budget = min(_BEGUN_BLOCKS * whole, _BEGUN_BYTES)

    def add(
        self,
        key: tuple[int, ...],
        in_block: tuple[slice, ...],
        values: Sequence[NDArray[Any]],
    ) -> NDArray[Any] | None:
        """Add pixels to a block; if it is full now, write it and return its labels.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        block = self._taken(key)
        for sheet, new in zip(block.values, values, strict=True):
            within: Any = (..., *in_block)
            sheet[within] = new
        missing = block.missing - values[-1].size
        if missing:
            self._begun[key] = _Begun(block.values, missing)
            self._n_bytes += _n_bytes(block)
            self._keep_the_budget()
            return None
        self._write(key, block.values)
        return block.values[-1]

    def where(self, key: tuple[int, ...]) -> tuple[slice, ...]:
        """Return the pixels of a block."""
        sizes = zip(key, self._labels.chunks, self._labels.shape, strict=True)
        return tuple(slice(at * side, min((at + 1) * side, n)) for at, side, n in sizes)

    def _taken(self, key: tuple[int, ...]) -> _Begun:
        """Take a block out of those that are begun, or begin it."""
        block = self._begun.pop(key, None)
        if block is not None:
            self._n_bytes -= _n_bytes(block)
            return block
        where = self.where(key)
        missing = self._set_aside.pop(key, None)
        if missing is not None:
            return _Begun([sheet.read(where) for sheet in self._sheets], missing)
        shape = [part.stop - part.start for part in where]
        return _Begun([sheet.empty(shape) for sheet in self._sheets], int(np.prod(shape)))

    def _keep_the_budget(self) -> None:
        while self._n_bytes > self._budget and len(self._begun) > 1:
            key = next(iter(self._begun))
            block = self._begun[key]
            self._write(key, block.values)
            self._set_aside[key] = block.missing
            self._n_bytes -= _n_bytes(self._begun.pop(key))

    def _write(self, key: tuple[int, ...], values: Sequence[NDArray[Any]]) -> None:
        where = self.where(key)
        for sheet, block in zip(self._sheets, values, strict=True):
            sheet.write(where, block)


def _n_bytes(block: _Begun) -> int:
    return sum(values.nbytes for values in block.values)


def touching(blocks: NDArray[np.bool_], sides: Sequence[int], grid: TileGrid) -> NDArray[np.bool_]:
    """Say which tiles touch any of some blocks.

    Parameters
    ----------
    blocks
        (*planes, *blocks) bool.
    sides
        The size of a block on each of these axes, in pixels.
    grid
        The tiles of a plane, each of which touches what its core does.

    Returns
    -------
    (*planes, tiles) bool.
    """
    n_leading = blocks.ndim - len(grid.axes)
    for axis, cut in enumerate(grid.axes, n_leading):
        blocks = _merged(blocks, axis, np.array(cut.cores), sides[axis])
    return blocks.reshape(*blocks.shape[:n_leading], -1)


def _merged(
    blocks: NDArray[np.bool_], axis: int, cores: NDArray[np.int64], side: int
) -> NDArray[np.bool_]:
    """Merge blocks along one axis into tiles: whether a tile touches any."""
    before = np.zeros([n + (place == axis) for place, n in enumerate(blocks.shape)], np.int64)
    inside = tuple(slice(1, None) if place == axis else slice(None) for place in range(blocks.ndim))
    np.cumsum(blocks, axis=axis, out=before[inside])
    first, last = cores[:, 0] // side, -(-cores[:, 1] // side)
    touched: NDArray[np.bool_] = before.take(last, axis) > before.take(first, axis)
    return touched
