"""Computes tiles one by one, each with what is known of the whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_tileseg.engine.device import autocast, in_fast_layout
from napari_tileseg.engine.reading import read_tile
from napari_tileseg.engine.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.engine.context import Contexts
    from napari_tileseg.engine.forward import Forward
    from napari_tileseg.engine.interrupt import Interrupt
    from napari_tileseg.engine.meter import Meter
    from napari_tileseg.engine.normalise import Scaling
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.schedule import Batch
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.tiles import Tile


class ContextWorker(Worker):
    """Computes tiles one by one, each with what the whole image tells it.

    Parameters
    ----------
    forward, interrupt, meter
        As for every `Worker`.
    contexts
        What `forward` runs, and what is known of each plane.
    plan, source, scaling
        Of the run.
    """

    def __init__(
        self,
        forward: Forward,
        interrupt: Interrupt,
        meter: Meter,
        *,
        contexts: Contexts,
        plan: Plan,
        source: Source,
        scaling: Scaling,
    ) -> None:
        super().__init__(forward, interrupt, meter)
        self._contexts = contexts
        self._plan = plan
        self._source = source
        self._scaling = scaling

    def __call__(self, batch: Batch, raw: torch.Tensor) -> list[torch.Tensor]:
        """Return logits (outputs, *tile) for raw tiles (tiles, channels, *tile).

        The first tile of a plane waits until all of the plane was seen once.
        """
        plan, plane = self._plan, batch.plane
        with self._interrupt.computing(), self._meter.stage("network"):
            with autocast(plan.device, plan.precision):
                self._contexts.fill(plane, self._shown(plane), self._interrupt.check)
            answers = []
            for number, one in zip(batch.numbers, raw, strict=True):
                self._contexts.look_at(plane, plan.sections[batch.section][number])
                self.forward.forget_copies()
                answers.append(self.forward(one[None])[0])
            return answers

    def _shown(self, plane: tuple[int, ...]) -> Iterator[tuple[Tile, torch.Tensor]]:
        plan = self._plan
        for number, tile in enumerate(plan.grid, 1):
            raw = read_tile(self._source, plane, tile, plan.channels, plan.margin)
            pixels = self._scaling.apply(torch.from_numpy(raw[None]), plan.device)
            yield tile, in_fast_layout(pixels)
            self._meter.survey(number / len(plan.grid))
