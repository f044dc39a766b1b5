"""A few tiles of an image, computed before a run to see how long all of them will take."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.engine.reading import read_tile
from napari_tileseg.engine.run import stream_plan
from napari_tileseg.engine.tiles import cut_image, round_up
from napari_tileseg.settings import Blend, Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.tiles import TileGrid

_BATCHES = 3
"""So many batches are computed; the first also pays for warming up and is counted apart."""

_FEWER_BATCHES = 2
_SIDE_PX = {2: 1024, 3: 96}
_MUCH_LARGER = 2
"""In place of tiles much larger than this a few that are not are measured, and scaled up."""

_SPARE = 6
"""So many tiles more are looked at, in case some are the same everywhere."""


@dataclass(frozen=True)
class Trial:
    """What a few tiles took.

    Attributes
    ----------
    first_s
        How many seconds more the first batch took than any other: for warming up.
    per_px_s
        Seconds for each pixel that the network is shown.
    packed
        Bytes of packed labels for each pixel, 0 to 1.
    """

    first_s: float
    per_px_s: float
    packed: float


def try_out(
    plan: Plan,
    source: Source,
    network: Network,
    should_stop: Callable[[], bool] | None = None,
) -> Trial:
    """Compute a few tiles just as a run of a settled plan would do it.

    Raises
    ------
    Cancelled, ImageError, NetworkError, DeviceError
        From reading the image and running the network.
    """
    small = _in_small(plan, source, network)
    chosen = _chosen(small, source, _BATCHES if small.grid is plan.grid else _FEWER_BATCHES)
    wanted = _only(small, chosen)
    done_at: list[float] = []
    labels = []
    began = time.perf_counter()
    for patch in stream_plan(small, source, network, should_stop=should_stop, wanted=wanted):
        done_at += [time.perf_counter()] * (patch.tiles_done - len(done_at))
        labels.append(patch.labels.astype(np.uint8).tobytes())
    packed = sum(len(zlib.compress(one, 1)) for one in labels) / sum(map(len, labels))
    tile_px = prod(small.tile)
    first, count = min(small.batch, len(small.grid)), len(done_at)
    if count <= first:
        return Trial(0.0, (done_at[-1] - began) / (count * tile_px), packed)
    per_px_s = (done_at[-1] - done_at[first - 1]) / ((count - first) * tile_px)
    first_s = max(0.0, done_at[first - 1] - began - per_px_s * first * tile_px)
    return Trial(first_s, per_px_s, packed)


def _in_small(plan: Plan, source: Source, network: Network) -> Plan:
    """Return a plan of which a tile is quickly done and takes as long for each pixel."""
    stride, dims = network.spec.stride, network.spec.spatial_dims
    if plan.mode in (Mode.FROZEN_NORM, Mode.CONTEXT):
        # what comes before the tiles is added; with context a tile is shown by itself here
        margin = network.spec.margin
        plan = replace(plan, mode=Mode.EXACT, margin=margin)
    side = round_up(max(network.spec.tile, _SIDE_PX.get(dims, 0)), stride)
    if plan.mode is not Mode.WHOLE and prod(plan.tile) <= _MUCH_LARGER * side**dims:
        return plan
    sides = (side,) * dims
    grid = cut_image(source.spatial_shape, sides, sides, stride=stride, crop=True)
    return replace(plan, grid=grid, mode=Mode.BLEND, blend=Blend.CROP, halo=None)


def _chosen(plan: Plan, source: Source, batches: int) -> NDArray[np.bool_]:
    """Choose full tiles that lie apart and in which there is something, (*planes, tiles) bool."""
    chosen = np.zeros((*plan.leading_shape, len(plan.grid)), bool)
    full = np.flatnonzero(_are_full(plan.grid))
    missing = batches * plan.batch
    planes = list(np.ndindex(*plan.leading_shape))
    for plane in planes[len(planes) // 2 if len(full) >= missing else 0 :]:
        places = np.linspace(0, len(full) - 1, min(len(full), missing + _SPARE)).round()
        numbers = full[places.astype(int)].tolist()
        # all tiles that are the same everywhere are computed once
        numbers.sort(key=lambda number: not _is_varied(plan, source, plane, number))
        chosen[plane][numbers[:missing]] = True
        missing -= len(numbers[:missing])
        if not missing:
            break
    return chosen


def _are_full(grid: TileGrid) -> NDArray[np.bool_]:
    lines = [np.array(axis.lengths) == axis.tile for axis in grid.axes]
    return np.asarray(reduce(np.logical_and.outer, lines)).ravel()


def _is_varied(plan: Plan, source: Source, plane: tuple[int, ...], number: int) -> bool:
    raw = read_tile(source, plane, plan.grid[number], plan.channels)
    return bool((raw != raw.flat[0]).any())


def _only(plan: Plan, chosen: NDArray[np.bool_]) -> Callable[[TileGrid], NDArray[np.bool_]]:
    """Say which tiles of a section of the plan's grid are chosen."""

    def wanted(grid: TileGrid) -> NDArray[np.bool_]:
        mask = np.zeros((*plan.leading_shape, len(grid)), bool)
        sizes = [len(axis) for axis in grid.axes]
        for *plane, number in np.argwhere(chosen):
            begins = [part.start for part in plan.grid[number].outer]
            pairs = list(zip(begins, grid.axes, strict=True))
            if all(begin in axis.starts for begin, axis in pairs):
                index = [axis.starts.index(begin) for begin, axis in pairs]
                mask[(*plane, np.ravel_multi_index(index, sizes))] = True
        return mask

    return wanted
