"""Tile size and batch from a few timed forwards, so that the run as a whole is short."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import torch

from napari_tileseg.engine.device import autocast, in_fast_layout, is_out_of_memory, release_memory
from napari_tileseg.engine.footprint import footprint
from napari_tileseg.engine.geometry import crop_sizes, cropped_grid
from napari_tileseg.engine.tta import variants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.tiles import TileGrid

_LOG = logging.getLogger(__name__)

_LONGEST_S = 2.0
"""On a CPU a tile takes no longer, so that the first labels come soon."""

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
    plan: Plan, source: Source, network: Network, check: Callable[[], None] | None = None
) -> Plan:
    """Choose tile size and batch by timing, as far as a person left them open.

    Parameters
    ----------
    plan
        With cropped tiles and a halo; its precision is decided.
    source
        Its size alone matters.
    network
        On the device of the plan.
    check
        Called before each forward; may raise `Cancelled`.
    """
    if plan.halo is None:
        return plan
    wanted = plan.settings.tile
    sizes = [plan.tile[0]] if wanted else crop_sizes(network.spec, plan.halo)
    grids = [plan.grid] if wanted else [cropped_grid(source, network, plan.halo, s) for s in sizes]
    on_cpu = plan.device.type == "cpu"
    if on_cpu and wanted:
        return plan
    batches = (plan.batch,) if plan.settings.batch or on_cpu else _BATCHES
    tries = list(_tries(plan, network, grids, batches, check or (lambda: None)))
    if not tries:
        return plan
    best = min(tries, key=lambda one: one.seconds)
    _LOG.info("tiles of %s px, %d at once, by timing", best.grid.tile_shape, best.batch)
    return replace(plan, grid=best.grid, batch=best.batch)


def _tries(
    plan: Plan,
    network: Network,
    grids: list[TileGrid],
    batches: tuple[int, ...],
    check: Callable[[], None],
) -> Iterator[_Try]:
    """Time tiles from small to large, for as long as larger ones can be had."""
    on_cpu = plan.device.type == "cpu"
    per_px, known = 0.0, None
    for grid in grids:
        shape = grid.tile_shape
        if shape == known or (on_cpu and per_px * prod(shape) > _LONGEST_S):
            return
        fastest = float("inf")
        for batch in batches:
            if not _fits(plan, network, shape, batch):
                break
            seconds = _timed(plan, network, shape, batch, check, warm=not on_cpu or known is None)
            if seconds is None or seconds / batch > fastest * _GAIN:
                break
            fastest = seconds / batch
            yield _Try(grid, batch, fastest * grid.seen_px / prod(shape))
        if fastest == float("inf"):
            return
        per_px, known = fastest / prod(shape), shape


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
    *,
    warm: bool,
) -> float | None:
    """Return the seconds of one forward; None if memory is short after all."""
    margin, at_once = network.spec.margin, batch * len(variants(plan.tta, len(shape)))
    sides = [size + 2 * margin for size in shape]
    try:
        tiles = torch.zeros((at_once, len(network.spec.channels), *sides), device=plan.device)
        with torch.inference_mode(), autocast(plan.device, plan.precision):
            for again in (True, False) if warm else (False,):
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
