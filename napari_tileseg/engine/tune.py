"""Tile size and batch, so that the run as a whole is short.

On a CPU the time of a tile goes with its pixels, so the tiles are those that show the network
the fewest; a GPU is asked for its time with a few sizes.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import torch

from napari_tileseg.engine.device import autocast, in_fast_layout, is_out_of_memory, release_memory
from napari_tileseg.engine.folding import folded
from napari_tileseg.engine.footprint import footprint
from napari_tileseg.engine.geometry import crop_sizes, cropped_grid
from napari_tileseg.engine.half_decoder import computing_in
from napari_tileseg.engine.tiles import round_up
from napari_tileseg.engine.tta import variants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.tiles import TileGrid

_LOG = logging.getLogger(__name__)

_LONGEST_S, _LONGEST_WHILE_WATCHED_S = 4.0, 1.0
"""On a CPU a tile takes no longer, so that a run shows where it is, and labels come soon."""

_MOST_PARTS = 12
"""An axis is cut into up to so many tiles of equal size; more are near the usual sizes anyway."""

_TIMINGS = 3
_BATCHES = (1, 2, 4, 8)
_GAIN = 0.97
"""A larger batch has to take at most this share of the time a tile took before."""

_USABLE = 0.8
"""The share of the memory that tiles may take; the rest is for merging and reading."""


@dataclass(frozen=True)
class _Try:
    grid: TileGrid
    batch: int
    seconds: float
    """What all tiles of a plane would take."""


def tuned(
    plan: Plan,
    source: Source,
    network: Network,
    halo_for: Callable[[int], int | None],
    check: Callable[[], None] | None = None,
    *,
    watched: bool = False,
) -> Plan:
    """Choose tile size and batch, as far as a person left them open.

    Parameters
    ----------
    plan
        With cropped tiles and a halo; its precision is decided.
    source
        Its size alone matters.
    network
        On the device of the plan.
    halo_for
        Returns the context that tiles of a size need in pixels; None if they are too small.
    check
        Called before each forward; may raise `Cancelled`.
    watched
        Whether a person waits for the first labels.
    """
    if plan.halo is None:
        return plan
    check = check or (lambda: None)
    wanted = plan.settings.tile
    if plan.device.type == "cpu":
        if wanted:
            return plan
        return _with_fewest_pixels(plan, source, network, halo_for, check, watched)
    sizes = [plan.tile[0]] if wanted else crop_sizes(network.spec, plan.halo)
    grids = [plan.grid] if wanted else _grids(source, network, sizes, halo_for)
    batches = (plan.batch,) if plan.settings.batch else _BATCHES
    network = computing_in(folded(network), plan.precision)
    tries = list(_tries(plan, network, grids, batches, check))
    if not tries:
        return plan
    best = min(tries, key=lambda one: one.seconds)
    _LOG.info("tiles of %s px, %d at once, by timing", best.grid.tile_shape, best.batch)
    return _with_grid(replace(plan, batch=best.batch), best.grid, halo_for)


def _with_fewest_pixels(
    plan: Plan,
    source: Source,
    network: Network,
    halo_for: Callable[[int], int | None],
    check: Callable[[], None],
    watched: bool,
) -> Plan:
    stride = network.spec.stride
    shape = tuple(
        min(side, round_up(network.spec.tile // 2, stride)) for side in plan.grid.tile_shape
    )
    # the quickest of some: another program may be busy for a moment
    computing = computing_in(folded(network), plan.precision)
    timed = [_timed(plan, computing, shape, 1, check) for _ in range(_TIMINGS)]
    seconds = [one for one in timed if one is not None]
    if not seconds:
        return plan
    longest = _LONGEST_WHILE_WATCHED_S if watched else _LONGEST_S
    most_px = longest / min(seconds) * prod(shape)
    sizes = {
        *crop_sizes(network.spec, plan.halo or 0),
        *_even_sizes(plan, source, stride, halo_for),
    }
    grids = _grids(source, network, sorted(sizes), halo_for)
    for grid in sorted(grids, key=lambda one: one.seen_px):
        if prod(grid.tile_shape) <= most_px and _fits(plan, network, grid.tile_shape, plan.batch):
            return _with_grid(plan, grid, halo_for)
    return plan


def _even_sizes(
    plan: Plan, source: Source, stride: int, halo_for: Callable[[int], int | None]
) -> Iterator[int]:
    """Yield sizes of tiles that divide the longest axis among them without a remainder."""
    longest = max(source.spatial_shape)
    for parts in range(1, _MOST_PARTS + 1):
        halo = plan.halo
        for _ in range(2):  # larger tiles need less context, and then are smaller
            if halo is None:
                break
            tile = round_up(-(-(longest + 2 * halo * (parts - 1)) // parts), stride)
            halo = halo_for(tile)
        if halo is not None:
            yield tile


def _grids(
    source: Source,
    network: Network,
    sizes: Sequence[int],
    halo_for: Callable[[int], int | None],
) -> list[TileGrid]:
    halos = [(size, halo_for(size)) for size in sizes]
    return [
        cropped_grid(source, network, halo, size)
        for size, halo in halos
        if halo is not None and size >= 2 * halo + network.spec.stride
    ]


def _with_grid(plan: Plan, grid: TileGrid, halo_for: Callable[[int], int | None]) -> Plan:
    return replace(plan, grid=grid, halo=halo_for(max(grid.tile_shape)))


def _tries(
    plan: Plan,
    network: Network,
    grids: list[TileGrid],
    batches: tuple[int, ...],
    check: Callable[[], None],
) -> Iterator[_Try]:
    """Time tiles from small to large, for as long as larger ones can be had."""
    known = None
    for grid in grids:
        shape = grid.tile_shape
        if shape == known:
            return
        fastest = float("inf")
        for batch in batches:
            if not _fits(plan, network, shape, batch):
                break
            seconds = _timed(plan, network, shape, batch, check)
            if seconds is None or seconds / batch > fastest * _GAIN:
                break
            fastest = seconds / batch
            yield _Try(grid, batch, fastest * grid.seen_px / prod(shape))
        if fastest == float("inf"):
            return
        known = shape


def _fits(plan: Plan, network: Network, shape: tuple[int, ...], batch: int) -> bool:
    at_once = batch * len(variants(plan.tta, len(shape)))
    needed = footprint(network, shape, batch=at_once, device=plan.device, precision=plan.precision)
    return needed.weights + needed.peak <= _USABLE * plan.memory_bytes


def _timed(
    plan: Plan,
    network: Network,
    shape: tuple[int, ...],
    batch: int,
    check: Callable[[], None],
) -> float | None:
    """Return the seconds of one forward after another; None if memory is short after all."""
    margin, at_once = network.spec.margin, batch * len(variants(plan.tta, len(shape)))
    sides = [size + 2 * margin for size in shape]
    try:
        tiles = torch.zeros((at_once, len(network.spec.channels), *sides), device=plan.device)
        with torch.inference_mode(), autocast(plan.device, plan.precision):
            for again in (True, False):
                check()
                start = time.perf_counter()
                answer = network.logits(in_fast_layout(tiles))
                float(answer[(0,) * answer.ndim])  # waits for the device
                if not again:
                    return time.perf_counter() - start
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        release_memory(plan.device)
    return None
