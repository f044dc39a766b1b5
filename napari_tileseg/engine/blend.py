"""How much each tile counts at each pixel: windows, normalised before a pixel is read.

All tiles of a run are known in advance, so the sum of the windows over each pixel is too.
Each tile's window is divided by that sum; the shares then add up to 1 everywhere and merging
is plain addition: no map of weights, no final division, and any order of tiles will do.

Constant and Hann windows are products of one axis each, and so are their sums. The clamped
Gaussian (as in MONAI) and the pyramid (as in pytorch-toolbelt) are not: there the sum runs
over the neighbours of a tile, once for each way in which neighbours can lie.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache, reduce
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_tileseg.settings import Blend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.tiles import Tile, TileGrid

_KEPT = 64
"""So many normalised windows are kept; an image of any size has at most a few dozen."""

_SIGMA = 0.125
_SMALLEST = 1e-3


class Shares:
    """The share of each tile of a grid in each pixel of its core.

    Parameters
    ----------
    grid
        All tiles of a plane or volume.
    blend
        The window over a tile.
    device
        Where the shares are wanted.
    unit
        What a share of 1 is.
    """

    def __init__(
        self,
        grid: TileGrid,
        blend: Blend,
        device: torch.device | str = "cpu",
        unit: float = 1.0,
    ) -> None:
        self._unit = unit
        self._grid = grid
        self._blend = blend
        self._device = torch.device(device)
        if blend is not Blend.CROP:
            self._window = window(blend, grid.tile_shape)
        self._kept = lru_cache(_KEPT)(self._normalised)

    def of(self, tile: Tile) -> torch.Tensor:
        """Return the share of a tile, float32, in the shape of its core.

        The tile may come from a section of the grid: then its core is only a part of it.
        """
        if self._blend is Blend.CROP:
            return self._whole(tuple(part.stop - part.start for part in tile.core))
        offsets = tuple(
            axis.neighbours(bisect_left(axis.starts, part.start))
            for axis, part in zip(self._grid.axes, tile.outer, strict=True)
        )
        return self._kept(offsets, tuple((part.start, part.stop) for part in tile.core_within))

    def _whole(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.full((), self._unit, device=self._device).expand(shape)

    def _normalised(
        self, offsets: tuple[tuple[int, ...], ...], core: tuple[tuple[int, int], ...]
    ) -> torch.Tensor:
        whole = self._window
        total = np.zeros_like(whole)
        for shift in product(*offsets):
            here, there = _overlap(shift, whole.shape)
            total[here] += whole[there]
        share = (whole / total)[tuple(slice(*edges) for edges in core)]
        shares = torch.from_numpy((share * self._unit).astype(np.float32))
        return shares.to(self._device, non_blocking=True)


def _overlap(
    shift: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where a shifted copy lies in the original, and which part of the copy that is."""
    here = tuple(slice(max(0, d), min(n, n + d)) for d, n in zip(shift, shape, strict=True))
    there = tuple(slice(max(0, -d), min(n, n - d)) for d, n in zip(shift, shape, strict=True))
    return here, there


def window(blend: Blend, shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the weight over a tile of that shape before it is normalised; positive."""
    return _WINDOWS[blend](shape)


def _constant(shape: Sequence[int]) -> NDArray[np.float64]:
    return np.ones(tuple(shape))


def _gaussian(shape: Sequence[int]) -> NDArray[np.float64]:
    """Sigma an eighth of the tile, in float32 and clamped from below as MONAI does."""
    lines = [
        np.exp(-(_from_centre(size).astype(np.float32) ** 2) / (2 * (_SIGMA * size) ** 2))
        for size in shape
    ]
    bell = _multiplied([line.astype(np.float32) for line in lines])
    return np.maximum(bell, max(float(bell.min()), _SMALLEST)).astype(np.float64)


def _pyramid(shape: Sequence[int]) -> NDArray[np.float64]:
    """De / (Dc + De): the distances to the border and to the centre, as in pytorch-toolbelt."""
    to_centre = np.zeros(tuple(shape))
    to_border = np.full(tuple(shape), np.inf)
    for axis, size in enumerate(shape):
        along = [1] * len(shape)
        along[axis] = size
        centred = _from_centre(size)
        to_centre += (centred**2).reshape(along)
        nearest = size / 2 - np.abs(centred)
        to_border = np.minimum(to_border, np.sqrt(nearest**2 + 0.25).reshape(along))
    return np.asarray(to_border / (np.sqrt(to_centre) + to_border))


def _hann(shape: Sequence[int]) -> NDArray[np.float64]:
    """Sine squared at the middle of each pixel, so that no weight is 0."""
    return _multiplied([np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 for size in shape])


def _from_centre(size: int) -> NDArray[np.float64]:
    return np.arange(size, dtype=np.float64) - (size - 1) / 2


def _multiplied(lines: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    return np.asarray(reduce(np.multiply.outer, lines), dtype=np.float64)


_WINDOWS: dict[Blend, Callable[[Sequence[int]], NDArray[np.float64]]] = {
    Blend.CONSTANT: _constant,
    Blend.GAUSSIAN: _gaussian,
    Blend.PYRAMID: _pyramid,
    Blend.HANN: _hann,
    Blend.CROP: _constant,
}
