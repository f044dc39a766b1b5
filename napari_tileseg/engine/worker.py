"""Devices with a network each: raw tiles in, logits out where they are merged."""

from __future__ import annotations

import copy
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_tileseg.engine.device import autocast, memory_errors_explained, prepared
from napari_tileseg.engine.pipeline import computed_by
from napari_tileseg.engine.uniform import UniformTiles
from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from napari_tileseg.engine.forward import Forward
    from napari_tileseg.engine.interrupt import Interrupt
    from napari_tileseg.engine.meter import Meter
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.schedule import Batch


class Worker:
    """Computes batches, one after the other, in whichever thread calls it.

    Parameters
    ----------
    forward
        Runs the network on its device.
    interrupt, meter
        Of the run.
    adapt
        Called with the plane of each batch, takes the network to that plane; returns whether
        that has changed it.
    """

    def __init__(
        self,
        forward: Forward,
        interrupt: Interrupt,
        meter: Meter,
        adapt: Callable[[tuple[int, ...]], bool] | None = None,
    ) -> None:
        self.forward = forward
        self._interrupt = interrupt
        self._meter = meter
        self._adapt = adapt
        self._uniform = UniformTiles()

    def __call__(self, batch: Batch, raw: torch.Tensor) -> list[torch.Tensor]:
        """Return logits (outputs, *tile) for raw tiles (tiles, channels, *tile), on the device.

        Raises
        ------
        Cancelled, NetworkError, DeviceError
            If the run is to stop, the network is none, or memory is too short for one tile.
        """
        with self._interrupt.computing(), self._meter.stage("network"):
            if self._adapt is not None and self._adapt(batch.plane):
                self._uniform = UniformTiles()
                self.forward.forget_copies()
            return self._logits(raw)

    def _logits(self, raw: torch.Tensor) -> list[torch.Tensor]:
        """Ask the network for what it has not answered before: tiles of one value are alike."""
        keys = [self._uniform.key(one.numpy()) for one in raw]
        answers = [self._uniform.get(key) for key in keys]
        missing = [index for index, answer in enumerate(answers) if answer is None]
        if missing:
            asked = raw if len(missing) == len(raw) else raw[missing]
            for index, logits in zip(missing, self.forward(asked), strict=True):
                answers[index] = logits
                self._uniform.put(keys[index], logits)
        return [answer for answer in answers if answer is not None]


class _Fellow:
    """A worker beside others: its answers are complete, and lie where all are merged.

    Parameters
    ----------
    worker
        Computes.
    device
        Where it does so.
    merged_on
        Where its answers go.
    """

    def __init__(self, worker: Worker, device: torch.device, merged_on: torch.device) -> None:
        self._worker = worker
        self._device = device
        self._merged_on = merged_on

    def __call__(self, batch: Batch, raw: torch.Tensor) -> list[torch.Tensor]:
        """Return what the worker answers; waits for its device, so that no other has to."""
        with memory_errors_explained(self._device), torch.inference_mode():
            if self._device.type != "cuda":
                return self._sent(self._worker(batch, raw))
            with torch.cuda.device(self._device):
                answers = self._worker(batch, raw)
                # merging would else hold up the other devices until this one is done
                done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
                done.record(torch.cuda.current_stream(self._device))
                done.synchronize()
                return self._sent(answers)

    def _sent(self, answers: list[torch.Tensor]) -> list[torch.Tensor]:
        return [logits.to(self._merged_on, non_blocking=True) for logits in answers]


@contextmanager
def together(
    workers: Sequence[Worker],
    batches: Iterable[tuple[Batch, torch.Tensor]],
    plan: Plan,
    interrupt: Interrupt,
) -> Iterator[Iterator[tuple[Batch, list[torch.Tensor]]]]:
    """Have batches computed, and the logits brought to where the plan merges them.

    One worker computes in the thread that asks; several, one for each of the first devices of
    the plan, in threads of their own, which have ended when the context has.
    """
    everyone: Sequence[Callable[[Batch, torch.Tensor], list[torch.Tensor]]] = workers
    with ExitStack() as stack:
        if len(workers) > 1:
            pairs = zip(workers, plan.devices, strict=False)
            everyone = [_Fellow(worker, device, plan.device) for worker, device in pairs]
            if plan.precision is Precision.FP32:
                # a switch of the whole program, which no worker may turn back under the others
                stack.enter_context(autocast(plan.device, plan.precision))
        yield stack.enter_context(closing(computed_by(everyone, batches, interrupt.abandon)))


def on_another_device(network: Network, device: torch.device) -> Network:
    """Return a copy of a network on a device."""
    return replace(network, module=prepared(copy.deepcopy(network.module), device))
