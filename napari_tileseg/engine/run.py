"""A plan carried out: patches of labels, tile by tile, where somebody looks first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.engine.blend import Shares
from napari_tileseg.engine.canvas import UNIT, Canvas, Merged
from napari_tileseg.engine.device import memory_errors_explained
from napari_tileseg.engine.forward import Forward
from napari_tileseg.engine.interrupt import Interrupt
from napari_tileseg.engine.normalise import scaling_for
from napari_tileseg.engine.precision import resolved_precision
from napari_tileseg.engine.schedule import Focus, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_tileseg.engine.canvas import Box
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.tiles import Tile


@dataclass(frozen=True, eq=False)
class Patch:
    """A region of the result.

    Attributes
    ----------
    region
        Where, in coordinates of the labels: slices of length 1 on the leading axes, then
        pixels.
    labels
        uint8 class indices in the shape of the region; for a multilabel model
        (classes, *region) bool.
    final
        Whether these labels will not change any more in this run.
    tiles_done, tiles_total
        How far the run is.
    probabilities
        (classes, *region) float32, only where final and if asked for.
    """

    region: tuple[slice, ...]
    labels: NDArray[Any]
    final: bool
    tiles_done: int
    tiles_total: int
    probabilities: NDArray[np.float32] | None = None


def stream_plan(
    plan: Plan,
    source: Source,
    network: Network,
    *,
    focus: Focus | None = None,
    should_stop: Callable[[], bool] | None = None,
    provisional: bool = True,
    wanted: NDArray[np.bool_] | None = None,
) -> Iterator[Patch]:
    """Run a plan.

    Parameters
    ----------
    plan, source, network
        What to do, on what, with what.
    focus
        Where to begin; may move while the run goes on.
    should_stop
        Asked before each tile and inside the network; True raises `Cancelled`.
    provisional
        Whether to show what may still change: one patch for each tile that has neighbours to
        come. Final patches alone cover every pixel exactly once.
    wanted
        (*planes, tiles) bool: the tiles to compute, all of them if None. Pixels under a tile
        that is left out are never final; the others get the same bits as in a full run.

    Yields
    ------
    Patch
        Labels, as soon as they are known. To stop, stop asking: close the generator.

    Raises
    ------
    Cancelled, ImageError, NetworkError, DeviceError
        Everything yielded before stays right.
    """
    network.module.to(plan.device).eval()
    interrupt = Interrupt(should_stop)
    schedule = Schedule(plan.grid, plan.leading_shape, focus, wanted)
    with interrupt.within(network.module), memory_errors_explained(plan.device):
        scaling = scaling_for(
            source, network.spec.normalisation, plan.channels, network.spec.name, interrupt.check
        )
        with interrupt.computing():
            plan = resolved_precision(plan, source, network, scaling)
        forward = Forward(network, scaling, plan.device, plan.precision)
        run = _Run(plan, source, network, forward, interrupt, wanted)
        while True:
            plane, numbers = schedule.take(plan.batch)
            if not numbers:
                return
            for tiles in _of_one_shape([plan.grid[number] for number in numbers]):
                yield from run.batch(plane, tiles, provisional)


def _of_one_shape(tiles: list[Tile]) -> list[list[Tile]]:
    """Part tiles by their size: those at the far borders can be smaller."""
    parts: dict[tuple[int, ...], list[Tile]] = {}
    for tile in tiles:
        parts.setdefault(tile.shape, []).append(tile)
    return list(parts.values())


class _Run:
    """The state of one run: a canvas for each plane that is begun, and how far it is."""

    def __init__(
        self,
        plan: Plan,
        source: Source,
        network: Network,
        forward: Forward,
        interrupt: Interrupt,
        wanted: NDArray[np.bool_] | None,
    ) -> None:
        self._plan = plan
        self._forward = forward
        self._interrupt = interrupt
        self._wanted = wanted
        self._total = plan.n_tiles if wanted is None else int(wanted.sum())
        self._source = source
        self._network = network
        self._shares = Shares(plan.grid, plan.blend, plan.device)
        self._canvases: dict[tuple[int, ...], Canvas] = {}
        self._done = 0

    def batch(
        self, plane: tuple[int, ...], tiles: list[Tile], provisional: bool
    ) -> Iterator[Patch]:
        canvas = self._canvases.get(plane)
        if canvas is None:
            canvas = self._canvases[plane] = self._new_canvas(plane)
        with self._interrupt.computing():
            raw = [read_tile(self._source, plane, tile, self._plan.channels) for tile in tiles]
            batch = self._forward(np.stack(raw))
        for tile, logits in zip(tiles, batch, strict=True):
            with torch.inference_mode():
                evidence = self._network.evidence(logits)
                merged = canvas.add(tile, evidence, self._shares.of(tile))
                labels = self._network.decide(merged.sums).cpu().numpy()
            self._done += 1
            if provisional and not merged.all_final:
                yield self._patch(plane, tile, tile.core, labels, final=False)
            for box in merged.final:
                yield self._patch(plane, tile, box, labels, final=True, merged=merged)
        if canvas.complete:
            del self._canvases[plane]

    def _new_canvas(self, plane: tuple[int, ...]) -> Canvas:
        wanted = None if self._wanted is None else self._wanted[plane]
        outputs = self._network.spec.n_outputs
        return Canvas(self._plan.grid, outputs, self._plan.device, wanted)

    def _patch(
        self,
        plane: tuple[int, ...],
        tile: Tile,
        box: Box,
        labels: NDArray[Any],
        *,
        final: bool,
        merged: Merged | None = None,
    ) -> Patch:
        inside: tuple[Any, ...] = tuple(
            slice(part.start - core.start, part.stop - core.start)
            for part, core in zip(box, tile.core, strict=True)
        )
        leading = (1,) * len(plane)
        block = labels[(..., *inside)]
        shape = [part.stop - part.start for part in box]
        probabilities = None
        if merged is not None and self._plan.probabilities:
            sums = merged.sums[(slice(None), *inside)].float() / UNIT
            sure = self._network.probabilities(sums)
            probabilities = sure.cpu().numpy().reshape(len(sure), *leading, *shape)
        return Patch(
            region=(*(slice(index, index + 1) for index in plane), *box),
            labels=block.reshape(*block.shape[: block.ndim - len(box)], *leading, *shape),
            final=final,
            tiles_done=self._done,
            tiles_total=self._total,
            probabilities=probabilities,
        )


def read_tile(
    source: Source, plane: tuple[int, ...], tile: Tile, channels: tuple[int, ...]
) -> NDArray[Any]:
    """Read what the network sees, (channels, *tile); past the end the image is mirrored."""
    inside = tuple(
        slice(part.start, min(part.stop, size))
        for part, size in zip(tile.outer, source.spatial_shape, strict=True)
    )
    block = source.read(plane, inside, channels)
    missing = [(0, part.stop - kept.stop) for part, kept in zip(tile.outer, inside, strict=True)]
    if any(after for _, after in missing):
        block = np.pad(block, [(0, 0), *missing], mode="symmetric")
    return block
