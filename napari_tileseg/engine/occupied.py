"""Where an image is not empty: found on a coarse level of it, before a tile is computed."""

from __future__ import annotations

from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.engine.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.arrays import ArrayLike

_FLAT = 0.02
"""A block whose values span less than this share of the image's range is empty."""

_ENOUGH = 2**20
"""Pixels that a pyramid level needs for small things to be still there."""

_MOST = 2**24
"""Pixels that are looked at in all, about."""

_AT_ONCE = 2**22
"""Of these, how many are in memory together, about."""

_LEAST = 8
"""Pixels along a side that are looked at in each block."""


def occupied_mask(
    source: Source,
    plane: tuple[int, ...] = (),
    channels: Sequence[int] = (0,),
    *,
    levels: Sequence[ArrayLike] = (),
    block: int = 64,
) -> NDArray[np.bool_]:
    """Return a coarse mask of where one plane is not empty.

    A block is empty if it is flat in every channel: its values span less than 2 % of the
    range of the image. The inside of a large, even thing looks the same, so this is for images
    in which all that matters has texture. Blocks beside one that is not empty are kept too.

    Parameters
    ----------
    source, plane, channels
        What is looked at.
    levels
        A pyramid of the image, its axes those of `source`. The coarsest level with at least a
        million pixels is read; without one the image itself, all of it, of which every n-th
        pixel is looked at if it has more than 16 million.
    block
        The least side of a block in pixels of the image.

    Returns
    -------
    Bool, at most as large as the plane on each axis: what `regions.tiles_for_mask` takes. All
    True if no block stands out from the others.

    Raises
    ------
    ImageError
        If the pixels cannot be read.
    """
    level = _coarse_enough(source, levels)
    sizes = level.spatial_shape
    every = max(1, ceil((prod(sizes) / _MOST) ** (1 / len(sizes))))
    counts = [
        max(1, min(full // block, size // (_LEAST * every)))
        for full, size in zip(source.spatial_shape, sizes, strict=True)
    ]
    lowest, highest = _extremes(level, plane, channels, counts, every)
    occupied = np.zeros(counts, bool)
    for low, high in zip(lowest, highest, strict=True):
        occupied |= (high > low) & (high - low >= _FLAT * _range(low, high))
    # where no block stands out, nothing is known to be empty
    return _grown(occupied) if occupied.any() else ~occupied


def _coarse_enough(source: Source, levels: Sequence[ArrayLike]) -> Source:
    found = source
    for data in levels:
        dims = len(source.spatial_shape)
        level = Source(data, axes=source.axes, spatial_dims=dims, name=source.name)
        same = (level.leading_shape, level.n_channels) == (source.leading_shape, source.n_channels)
        if same and _ENOUGH <= prod(level.spatial_shape) < prod(found.spatial_shape):
            found = level
    return found


def _extremes(
    level: Source, plane: tuple[int, ...], channels: Sequence[int], counts: list[int], every: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest value in each block, (channels, *counts)."""
    borders = [
        [-((count - 2 * place * size) // (2 * count)) for place in range(count + 1)]
        for count, size in zip(counts, level.spatial_shape, strict=True)
    ]
    lowest, highest = [], []
    for rows in _strips(borders[0], prod(level.spatial_shape[1:]) // every ** (len(counts))):
        edges = [rows, *borders[1:]]
        region = tuple(slice(line[0], line[-1], every) for line in edges)
        low = high = level.read(plane, region, channels)
        for axis, line in enumerate(edges, start=1):
            starts = [-((line[0] - border) // every) for border in line[:-1]]
            low = np.minimum.reduceat(low, starts, axis)
            high = np.maximum.reduceat(high, starts, axis)
        lowest.append(low)
        highest.append(high)
    return _joined(lowest), _joined(highest)


def _strips(borders: list[int], per_row: int) -> Iterator[list[int]]:
    """Cut the rows of blocks into strips of several, by what memory they take."""
    strip = borders[:1]
    for border in borders[1:]:
        strip.append(border)
        if (border - strip[0]) * per_row >= _AT_ONCE or border == borders[-1]:
            yield strip
            strip = [border]


def _joined(parts: list[NDArray[Any]]) -> NDArray[np.float64]:
    return np.concatenate(parts, axis=1).astype(np.float64)


def _range(low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """Return what values of a channel span, one block in a hundred at either end left out.

    Blocks of a single value (padding) do not count.
    """
    textured = high > low
    if not textured.any():
        return 0.0
    least = np.percentile(low[textured], 1, method="higher")
    most = np.percentile(high[textured], 99, method="lower")
    return float(max(most - least, 0.0))


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add every neighbour of what is True, corners too."""
    for axis in range(mask.ndim):
        line = np.moveaxis(mask, axis, 0)
        grown = line.copy()
        grown[1:] |= line[:-1]
        grown[:-1] |= line[1:]
        mask = np.moveaxis(grown, 0, axis)
    return mask
