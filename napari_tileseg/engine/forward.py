"""The network on a device: raw tiles in, logits out, also when memory runs short."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_tileseg.engine.device import (
    autocast,
    in_fast_layout,
    is_out_of_memory,
    prepared,
    release_memory,
)
from napari_tileseg.engine.tiles import round_up
from napari_tileseg.engine.tta import averaged, variants
from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from torch import nn

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.normalise import Scaling
    from napari_tileseg.engine.tta import Variant

_LOG = logging.getLogger(__name__)

_STRIKES = 2
"""After so many batches that were too large they are made smaller for good."""


class Forward:
    """Runs batches of tiles through a network, always with the same number of tiles at once.

    When a batch does not fit into memory, only that batch is run again in smaller ones; when
    that happens twice, all are smaller from then on. A single tile that does not fit is
    tried once more, then cut into parts if `halo` says how much context they need, and
    then goes to the CPU. Nothing that is finished is lost.

    Parameters
    ----------
    network
        Already on `device`.
    scaling
        From raw pixels to what the network reads.
    device, precision
        Where, and in which number format.
    at_once
        How many tiles make a batch; what is missing in the last one is filled up.
    halo
        How much context, in pixels, is enough for every pixel that counts; None if no part
        of a tile can be computed by itself.
    looks
        Test-time augmentation: in which variants each tile is seen.
    mean
        What is averaged over the variants: "logits" or "probabilities".
    """

    def __init__(
        self,
        network: Network,
        scaling: Scaling,
        device: torch.device,
        precision: Precision,
        *,
        at_once: int = 1,
        halo: int | None = None,
        looks: tuple[Variant, ...] = variants("none", 2),
        mean: str = "logits",
    ) -> None:
        self._network = replace(network, module=prepared(network.module, device))
        self._scaling = scaling
        self._device = device
        self._precision = precision
        self._at_once = at_once
        self._halo = halo
        self._looks = looks
        self._mean = mean
        self._looks_at_once: int | None = None
        self._strikes = 0
        self._error: Exception | None = None
        self._on_cpu: Forward | None = None

    def __call__(self, raw: torch.Tensor) -> torch.Tensor:
        """Return logits (B, outputs, *spatial) for raw tiles (B, channels, *spatial).

        The tiles are `margin` pixels larger on every side than what is answered for. Nothing
        here waits for the device; whether the logits are numbers is not looked at.

        Raises
        ------
        NetworkError
            If the network answers with something that is no segmentation.
        RuntimeError
            Out of memory, if even one tile does not fit on the CPU.
        """
        parts = torch.split(raw, self._at_once)
        answers = [self._in_full_batch(part) for part in parts]
        return answers[0] if len(answers) == 1 else torch.cat(answers)

    @property
    def module(self) -> nn.Module:
        """What runs."""
        return self._network.module

    def forget_copies(self) -> None:
        """Be told that the weights have changed."""
        self._on_cpu = None

    def _in_full_batch(self, raw: torch.Tensor) -> torch.Tensor:
        missing = self._at_once - len(raw)
        full = torch.cat([raw, raw[-1:].expand(missing, *raw.shape[1:])]) if missing > 0 else raw
        return self._fitting(full)[: len(raw)]

    def _fitting(self, raw: torch.Tensor) -> torch.Tensor:
        """Run a batch with as many tiles at once as there is memory for."""
        size = len(raw)
        answers, first = [], 0
        while first < len(raw):
            part = raw[first : first + size]
            answer = self._tried(part)
            if answer is not None:
                answers.append(answer)
                first += len(part)
            elif size > 1:
                size = (size + 1) // 2
            else:
                answers.append(self._one_that_does_not_fit(part))
                first += 1
        if size < len(raw):
            self._strike(size)
        return answers[0] if len(answers) == 1 else torch.cat(answers)

    def _tried(self, raw: torch.Tensor) -> torch.Tensor | None:
        """Run tiles; None if memory is too short for them."""
        try:
            return self._run(raw)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # its frames hold the memory that is short
            self._error = error.with_traceback(None)
        release_memory(self._device)
        return None

    def _strike(self, size: int) -> None:
        self._strikes += 1
        if self._strikes >= _STRIKES:
            self._strikes, self._at_once = 0, size
            _LOG.warning("short of memory: going on with %d tiles at once", size)

    def _one_that_does_not_fit(self, raw: torch.Tensor) -> torch.Tensor:
        self._looks_at_once = 1
        answer = self._tried(raw)  # another program may have needed the memory for a moment
        return self._in_pieces(raw) if answer is None else answer

    def _in_pieces(self, raw: torch.Tensor) -> torch.Tensor:
        """Cut the longest axis of one tile in two, each half with the context it needs."""
        stride, margin = self._network.spec.stride, self._network.spec.margin
        sizes = raw.shape[2:]
        axis = max(range(len(sizes)), key=sizes.__getitem__)
        answered = sizes[axis] - 2 * margin
        middle = answered // 2 // stride * stride
        context = answered if self._halo is None else round_up(self._halo, stride)
        if context < middle:
            _LOG.warning("short of memory: one tile is computed in two parts")
            left = raw.narrow(axis + 2, 0, middle + context + 2 * margin)
            right = raw.narrow(axis + 2, middle - context, answered - middle + context + 2 * margin)
            return torch.cat(
                [
                    self._fitting(left).narrow(axis + 2, 0, middle),
                    self._fitting(right).narrow(axis + 2, context, answered - middle),
                ],
                dim=axis + 2,
            )
        if self._device.type == "cpu":
            assert self._error is not None
            raise self._error
        _LOG.warning("short of memory on %s: one tile is computed on the CPU", self._device)
        return self._cpu()(raw.cpu()).to(self._device)

    def _run(self, raw: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), autocast(self._device, self._precision):
            pixels = self._scaling.apply(raw, self._device)
            if len(self._looks) == 1:
                return self._logits(pixels)
            return averaged(
                self._logits,
                pixels,
                self._looks,
                self._network,
                mean=self._mean,
                at_once=self._looks_at_once,
            )

    def _logits(self, pixels: torch.Tensor) -> torch.Tensor:
        return self._network.logits(in_fast_layout(pixels))

    def _cpu(self) -> Forward:
        if self._on_cpu is None:
            network = replace(self._network, module=copy.deepcopy(self._network.module).to("cpu"))
            self._on_cpu = Forward(
                network,
                self._scaling,
                torch.device("cpu"),
                Precision.FP32,
                halo=self._halo,
                looks=self._looks,
                mean=self._mean,
            )
        return self._on_cpu
