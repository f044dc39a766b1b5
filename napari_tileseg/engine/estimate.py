"""What a run will cost, before it: tiles, time, memory, disk.

Time is measured: a few tiles of the image are computed just as the run would do it. Memory is
added up (`engine.footprint`), and how well labels can be packed is tried on those tiles.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from napari_tileseg.engine.amounts import duration, size_of, tile_size
from napari_tileseg.engine.context import bank_memory, shown_network
from napari_tileseg.engine.device import memory_errors_explained
from napari_tileseg.engine.footprint import footprint
from napari_tileseg.engine.frozen_norm import FrozenNorms
from napari_tileseg.engine.interrupt import Interrupt
from napari_tileseg.engine.sections import carry_bytes, section_width, sections_of
from napari_tileseg.engine.settle import settle
from napari_tileseg.engine.spec import Task
from napari_tileseg.engine.trial import try_out
from napari_tileseg.engine.tta import variants
from napari_tileseg.settings import Blend, Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source

_WINDOWS = 9
"""So many windows are kept at once: of tiles in the middle, at the borders, in the corners."""

_ENCODED_AGAIN = 0.8
"""What finding out the context takes, in runs over all tiles: nearly all is in the encoder."""

_PROBABILITY_BYTES = 2
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Estimate:
    """What a run will cost.

    Attributes
    ----------
    tiles
        How many the network will see.
    tile
        The size of the largest of them, in pixels on each axis.
    seconds
        How long the run takes, without `settling_s`.
    settling_s
        How long it took to decide what has to be measured on the image; a run that is given
        the settled plan does not pay for it.
    memory_bytes
        What the run takes at most: of a GPU; on a CPU in addition to what this program holds.
    on_gpu
        Which of the two it is.
    disk_bytes
        What labels, and probabilities if they are wanted, take in a file, about.
    plan
        The settled plan that was trial.
    """

    tiles: int
    tile: tuple[int, ...]
    seconds: float
    settling_s: float
    memory_bytes: int
    on_gpu: bool
    disk_bytes: int
    plan: Plan

    @property
    def memory(self) -> str:
        """How much memory, for a person."""
        return f"{size_of(self.memory_bytes)} {'GPU ' if self.on_gpu else ''}memory"

    @property
    def sentence(self) -> str:
        """All of it in one line: "About 2,310 tiles of 512 px · 40 s · 1.1 GB memory · ..."."""
        tiles = f"{self.tiles:,} {'tile' if self.tiles == 1 else 'tiles'} of {tile_size(self.tile)}"
        whole = duration(self.seconds + self.settling_s)
        return f"About {tiles} · {whole} · {self.memory} · {size_of(self.disk_bytes)} disk"


def estimate(
    plan: Plan,
    source: Source,
    network: Network,
    *,
    should_stop: Callable[[], bool] | None = None,
    keeps_labels: bool = True,
    watched: bool = False,
) -> Estimate:
    """Find out what a plan costs by computing a few of its tiles.

    Parameters
    ----------
    plan
        From `make_plan`; it is settled first if it is not.
    source, network
        What it was made for.
    should_stop
        Asked often; True raises `Cancelled`.
    keeps_labels
        Whether the run keeps all labels in memory.
    watched
        Whether a person waits for the first labels; see `settle`.

    Raises
    ------
    Cancelled, ImageError, NetworkError, DeviceError
        From reading the image and running the network.
    """
    began = time.perf_counter()
    plan = settled(plan, source, network, should_stop, watched=watched)
    settling_s = time.perf_counter() - began
    trial = try_out(replace(plan, further_devices=()), source, network, should_stop)
    work_px = _seen_px(plan, network) * (1 + _passes(plan, network))
    pixels = prod(source.label_shape)
    classes = len(network.classes)
    layers = classes if network.spec.task is Task.MULTILABEL else 1
    disk = pixels * layers * trial.packed
    if plan.probabilities:
        disk += pixels * classes * _PROBABILITY_BYTES
    return Estimate(
        tiles=plan.n_tiles,
        tile=plan.tile,
        seconds=trial.first_s + trial.per_px_s * work_px / len(plan.devices),
        settling_s=settling_s,
        memory_bytes=memory_of(plan, source, network) + pixels * layers * keeps_labels,
        on_gpu=plan.device.type != "cpu",
        disk_bytes=round(disk),
        plan=plan,
    )


def settled(
    plan: Plan,
    source: Source,
    network: Network,
    should_stop: Callable[[], bool] | None = None,
    *,
    watched: bool = False,
) -> Plan:
    """Decide what has to be measured on the image, so that a run of the plan begins at once.

    Raises
    ------
    Cancelled, ImageError, NetworkError, DeviceError
        From reading the image and running the network.
    """
    if plan.settled:
        return plan
    interrupt = Interrupt(should_stop)
    with (
        memory_errors_explained(plan.device),
        interrupt.within(network.module),
        interrupt.computing(),
    ):
        return settle(plan, source, network, check=interrupt.check, watched=watched)


def memory_of(plan: Plan, source: Source, network: Network) -> int:
    """Add up what a run of a settled plan takes at most, without its labels, in bytes."""
    outputs, dims = network.spec.n_outputs, network.spec.spatial_dims
    at_once = plan.batch * len(variants(plan.tta, dims))
    forward = footprint(
        shown_network(network, plan.mode),
        plan.tile,
        batch=at_once,
        device=plan.device,
        precision=plan.precision,
    )
    tile_px = prod(plan.tile)
    merging = 0 if plan.blend is Blend.CROP else 2 * outputs * _FLOAT_BYTES * tile_px
    if plan.probabilities:
        merging += 2 * outputs * _FLOAT_BYTES * tile_px
    read = 2 * plan.batch * tile_px * len(plan.channels) * source.dtype.itemsize
    waiting = 0
    if plan.blend is not Blend.CROP:
        width = min(plan.grid.axes[-1].size, section_width(plan.grid, outputs))
        waiting = carry_bytes(plan.grid, outputs, width)
        waiting += min(_WINDOWS, plan.n_tiles) * tile_px * _FLOAT_BYTES
    banks = 0
    if plan.mode is Mode.CONTEXT:
        banks = bank_memory(network, source.spatial_shape, prod(plan.leading_shape))
    # a CPU holds the weights already
    weights = 0 if plan.device.type == "cpu" else forward.weights
    return weights + forward.peak + merging + read + waiting + banks


def _seen_px(plan: Plan, network: Network) -> int:
    """Return how many pixels the network is shown in all, some of them several times."""
    sections = sections_of(plan.grid, network.spec.n_outputs, crop=plan.blend is Blend.CROP)
    return sum(grid.seen_px for grid in sections) * prod(plan.leading_shape)


def _passes(plan: Plan, network: Network) -> float:
    """Return how often the network goes over all tiles before it computes a label."""
    if plan.mode is Mode.CONTEXT:
        return _ENCODED_AGAIN
    return FrozenNorms(network).cost if plan.mode is Mode.FROZEN_NORM else 0.0
