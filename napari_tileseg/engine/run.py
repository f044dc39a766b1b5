"""A plan carried out: patches of labels, tile by tile, where somebody looks first."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import ExitStack, contextmanager
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_tileseg.engine.allocator import Gaps, pages_kept
from napari_tileseg.engine.blend import Shares
from napari_tileseg.engine.canvas import LIMIT, UNIT, Canvas
from napari_tileseg.engine.compiled import compiled
from napari_tileseg.engine.context import Contexts
from napari_tileseg.engine.context_worker import ContextWorker
from napari_tileseg.engine.device import (
    autocast,
    in_fast_layout,
    memory_errors_explained,
    prepared,
)
from napari_tileseg.engine.folding import folded
from napari_tileseg.engine.forward import Forward
from napari_tileseg.engine.frozen_norm import FrozenNorms, measured_core
from napari_tileseg.engine.half_decoder import computing_in
from napari_tileseg.engine.interrupt import Interrupt
from napari_tileseg.engine.meter import Meter
from napari_tileseg.engine.mismatch import SeamWatch
from napari_tileseg.engine.network import extremes
from napari_tileseg.engine.normalise import scaling_for
from napari_tileseg.engine.patches import Computed, Patch, Patches
from napari_tileseg.engine.pipeline import ReadAhead
from napari_tileseg.engine.reading import read_tile
from napari_tileseg.engine.regions import tiles_for_mask
from napari_tileseg.engine.schedule import Focus, Schedule
from napari_tileseg.engine.sections import CARRY_BYTES, near_tiles, sweep_width
from napari_tileseg.engine.settle import settle
from napari_tileseg.engine.skipping import both, empty_boxes, occupied_planes, tiles_where
from napari_tileseg.engine.spec import Task
from napari_tileseg.engine.transfer import Landing, staged
from napari_tileseg.engine.tta import variants
from napari_tileseg.engine.worker import Worker, on_another_device, together
from napari_tileseg.settings import Blend, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_tileseg.engine.canvas import Box
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.normalise import Scaling
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.schedule import Batch, Unit
    from napari_tileseg.engine.skipping import Planes
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.tiles import Tile, TileGrid

_LOG = logging.getLogger(__name__)

_READERS_BESIDE_GPU = 4
_AHEAD_OF_GPU = 3
"""Threads that read, and batches read ahead; on a CPU one of each, the network needs the rest."""


def stream_plan(
    plan: Plan,
    source: Source,
    network: Network,
    *,
    focus: Focus | None = None,
    should_stop: Callable[[], bool] | None = None,
    provisional: bool = True,
    wanted: Callable[[TileGrid], NDArray[np.bool_]] | None = None,
    doubts: bool = False,
    meter: Meter | None = None,
) -> Iterator[Patch]:
    """Run a plan.

    Parameters
    ----------
    plan, source, network
        What to do, on what, with what. What the plan leaves open is measured first.
    focus
        Where to begin; may move while the run goes on.
    should_stop
        Asked before each batch and inside the network; True raises `Cancelled`.
    provisional
        Whether to show what may still change: one patch for each tile that has neighbours to
        come. Final patches alone cover every pixel exactly once.
    wanted
        Returns which tiles of a grid to compute, (*planes, tiles) bool; all of them if None.
        Pixels under a tile that is left out are never final; the others get the same bits as
        in a full run.
    doubts
        Whether final patches say how undecided the network is.
    meter
        Is told what the time goes to, and how far tiles disagree.

    Yields
    ------
    Patch
        Labels, as soon as they are known. To stop, stop asking: close the generator.

    Raises
    ------
    Cancelled, ImageError, NetworkError, DeviceError
        Everything yielded before stays right.
    """
    meter = Meter(plan.device) if meter is None else meter
    prepared(network.module, plan.device)
    interrupt = Interrupt(should_stop)
    with memory_errors_explained(plan.device), pages_kept(plan.device):
        scaling = scaling_for(
            source, network.spec.normalisation, plan.channels, network.spec.name, interrupt.check
        )
        with interrupt.within(network.module), interrupt.computing():
            watched = focus is not None
            plan = settle(plan, source, network, scaling, interrupt.check, watched=watched)
        run = _Run(plan, source, network, scaling, interrupt, meter, wanted)
        with run.interruptible():
            yield from run.patches(focus or Focus(), provisional=provisional, doubts=doubts)
    for sentence in meter.report().sentences:
        _LOG.info(sentence)


class _Run:
    """The state of one run: a canvas for each section that is begun, and how far it is."""

    def __init__(
        self,
        plan: Plan,
        source: Source,
        network: Network,
        scaling: Scaling,
        interrupt: Interrupt,
        meter: Meter,
        wanted: Callable[[TileGrid], NDArray[np.bool_]] | None,
    ) -> None:
        self._plan = plan
        self._interrupt = interrupt
        self._meter = meter
        self._sections = plan.sections
        self._occupied = occupied_planes(plan, source, interrupt.check)
        wanted = both(wanted, tiles_where(plan, self._occupied))
        self._wanted = None if wanted is None else [wanted(grid) for grid in self._sections]
        self._width = sweep_width(self._sections, crop=plan.blend is Blend.CROP)
        self._source = source.for_sweep(plan.tile, self._width)
        freezes = plan.mode is Mode.FROZEN_NORM
        self._computing = computing_in(network if freezes else folded(network), plan.precision)
        self._frozen = FrozenNorms(self._computing) if freezes else None
        self._contexts = None
        if plan.mode is Mode.CONTEXT:
            self._contexts = Contexts(self._computing, source.spatial_shape)
        adapted = self._frozen or self._contexts
        self._network = network if adapted is None else adapted.network
        self._scaling = scaling
        self._shares = Shares(plan.grid, plan.blend, plan.device, UNIT)
        self._seams = SeamWatch(
            plan.grid,
            self._network,
            leading_shape=plan.leading_shape,
            wanted=None if wanted is None else wanted(plan.grid),
        )
        self._workers = self._employed()
        self._gaps = Gaps(plan.device)
        self._canvases: dict[Unit, Canvas] = {}

    def _employed(self) -> list[Worker]:
        """Return a worker for each device, but not more than there are batches."""
        plan = self._plan
        if self._contexts is not None:
            return [self._with_context(self._contexts)]
        batches = ceil(plan.n_tiles / plan.batch)
        computing = self._computing if self._frozen is None else self._frozen.network
        others = [on_another_device(computing, device) for device in plan.devices[1:batches]]
        networks = [compiled(computing) if plan.compile else computing, *others]
        adapt = None if self._frozen is None else self._freeze
        return [
            Worker(self._forward(one, device), self._interrupt, self._meter, adapt)
            for one, device in zip(networks, plan.devices, strict=False)
        ]

    def _with_context(self, contexts: Contexts) -> ContextWorker:
        return ContextWorker(
            self._forward(contexts.network, self._plan.device),
            self._interrupt,
            self._meter,
            contexts=contexts,
            plan=self._plan,
            source=self._source,
            scaling=self._scaling,
        )

    def _forward(self, network: Network, device: torch.device) -> Forward:
        plan = self._plan
        return Forward(
            network,
            self._scaling,
            device,
            plan.precision,
            at_once=plan.batch if self._contexts is None else 1,
            halo=plan.halo,
            looks=variants(plan.tta, network.spec.spatial_dims),
            mean=plan.tta_mean,
        )

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let the network be stopped between any two layers, unless it is one compiled piece."""
        with ExitStack() as stack:
            if self._contexts is not None:
                stack.callback(self._contexts.close)
            for worker in () if self._plan.compile else self._workers:
                stack.enter_context(self._interrupt.within(worker.forward.module))
            yield

    def patches(self, focus: Focus, *, provisional: bool, doubts: bool) -> Iterator[Patch]:
        """Compute everything that is wanted."""
        plan = self._plan
        outputs = self._network.spec.n_outputs
        merges = plan.blend is not Blend.CROP
        schedule = Schedule(
            self._sections,
            plan.leading_shape,
            focus,
            self._wanted,
            near=near_tiles(plan.grid, outputs) if merges else None,
            crowded=lambda: self._live_bytes() > CARRY_BYTES,
            band_px=self._width,
        )
        patches = Patches(
            self._network,
            schedule.total,
            provisional=provisional,
            probabilities=plan.probabilities,
            doubts=doubts,
        )
        if self._occupied is not None:
            for plane, box in self._empty(self._occupied):
                yield patches.empty(plane, box)
        on_gpu, count = plan.device.type != "cpu", len(self._workers)
        held: deque[Computed] = deque()
        with (
            ReadAhead(
                schedule,
                self._read,
                count=plan.batch,
                depth=_AHEAD_OF_GPU * count if on_gpu else count,
                workers=_READERS_BESIDE_GPU if on_gpu else 1,
            ) as ahead,
            together(self._workers, ahead, plan, self._interrupt) as answered,
        ):
            for batch, answers in answered:
                held.extend(self._merged(batch, answers, patches))
                del answers  # the next ones take their place
                # a GPU goes on with the next batch while the labels of this one travel
                while len(held) > (plan.batch if on_gpu else 0):
                    yield from patches.landed(held.popleft())
            while held:
                yield from patches.landed(held.popleft())
        self._meter.mismatch = self._seams.result

    def _empty(self, occupied: Planes) -> Iterator[tuple[tuple[int, ...], Box]]:
        """Yield where no tile is computed."""
        for plane, mask in occupied.items():
            for grid in self._sections:
                for box in empty_boxes(grid, tiles_for_mask(grid, mask)):
                    yield plane, box

    def _read(self, batch: Batch) -> torch.Tensor:
        plan, grid = self._plan, self._sections[batch.section]
        with self._meter.stage("read"):
            tiles = [
                read_tile(self._source, batch.plane, grid[number], plan.channels, plan.margin)
                for number in batch.numbers
            ]
            return staged(np.stack(tiles), plan.device)

    def _merged(
        self, batch: Batch, answers: list[torch.Tensor], patches: Patches
    ) -> Iterator[Computed]:
        grid, canvas = self._sections[batch.section], self._canvas(batch)
        for number, logits in zip(batch.numbers, answers, strict=True):
            with self._meter.stage("merge"), torch.inference_mode():
                computed = self._added(batch.plane, grid[number], canvas, logits, patches)
            yield computed
        if canvas.complete:
            del self._canvases[batch.unit]

    def _added(
        self,
        plane: tuple[int, ...],
        tile: Tile,
        canvas: Canvas,
        logits: torch.Tensor,
        patches: Patches,
    ) -> Computed:
        low_high = Landing(extremes(logits))
        self._seams.saw(plane, tile, logits)
        evidence, within = self._evidence(logits, low_high)
        merged = canvas.add(tile, evidence, self._shares.of(tile), within_limit=within)
        self._gaps.close(lambda: sum(one.held_bytes for one in self._canvases.values()))
        self._meter.tiles(1)
        return patches.sent(plane, tile, merged, low_high)

    def _evidence(self, logits: torch.Tensor, low_high: Landing) -> tuple[torch.Tensor, bool]:
        """Shift logits to where they can be added, unless they are known to be there already."""
        if self._network.spec.task is Task.MULTICLASS and logits.device.type == "cpu":
            low, high = low_high.array()
            if low >= -LIMIT and high <= LIMIT:
                return logits, True
        return self._network.evidence(logits), False

    def _canvas(self, batch: Batch) -> Canvas:
        canvas = self._canvases.get(batch.unit)
        if canvas is None:
            wanted = None if self._wanted is None else self._wanted[batch.section][batch.plane]
            grid = self._sections[batch.section]
            canvas = self._canvases[batch.unit] = Canvas(grid, self._plan.device, wanted)
        return canvas

    def _live_bytes(self) -> int:
        return sum(canvas.live_bytes for canvas in self._canvases.values())

    def _freeze(self, plane: tuple[int, ...]) -> bool:
        """Take the norms of the network to the statistics of a plane; whether they change."""
        assert self._frozen is not None
        with autocast(self._plan.device, self._plan.precision):
            return self._frozen.freeze(
                plane,
                lambda: self._shown(plane),
                self._interrupt.check,
                self._meter.survey,
                len(self._plan.grid),
            )

    def _shown(self, plane: tuple[int, ...]) -> Iterator[tuple[torch.Tensor, Box]]:
        """Yield what the network is shown of each tile of a plane, and what counts of it."""
        plan, spec = self._plan, self._network.spec
        for tile in plan.grid:
            raw = read_tile(self._source, plane, tile, plan.channels, plan.margin)
            pixels = self._scaling.apply(torch.from_numpy(raw[None]), plan.device)
            core = measured_core(
                tile, self._source.spatial_shape, stride=spec.stride, margin=plan.margin
            )
            yield in_fast_layout(pixels), core
