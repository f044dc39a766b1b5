"""The network on a device: raw tiles in, logits out, also when memory runs short."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg.engine.device import (
    autocast,
    in_fast_layout,
    is_out_of_memory,
    release_memory,
)
from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.normalise import Scaling

_LOG = logging.getLogger(__name__)


class Forward:
    """Runs batches of tiles through a network.

    When a batch does not fit into memory, only that batch is run again in halves, and from
    then on batches of that size are not tried any more; a single tile that does not fit goes
    to the CPU. Nothing that is finished is lost.

    Parameters
    ----------
    network
        Already on `device`.
    scaling
        From raw pixels to what the network reads.
    device, precision
        Where, and in which number format.
    """

    def __init__(
        self, network: Network, scaling: Scaling, device: torch.device, precision: Precision
    ) -> None:
        self._network = network
        self._scaling = scaling
        self._device = device
        self._precision = precision
        self._largest: int | None = None
        self._on_cpu: Forward | None = None

    def __call__(self, raw: NDArray[Any]) -> torch.Tensor:
        """Return logits (B, outputs, *spatial) for raw tiles (B, channels, *spatial).

        Raises
        ------
        NetworkError
            If the network answers with something that is no segmentation.
        RuntimeError
            Out of memory, if even one tile does not fit on the CPU.
        """
        if self._largest is not None and len(raw) > self._largest:
            return self._halves(raw)
        try:
            return self._run(raw)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or (len(raw) == 1 and self._device.type == "cpu"):
                raise
        release_memory(self._device)
        if len(raw) > 1:
            self._largest = len(raw) // 2
            _LOG.warning("short of memory: going on with %d tiles at once", self._largest)
            return self._halves(raw)
        _LOG.warning("short of memory on %s: one tile is computed on the CPU", self._device)
        return self._cpu()(raw).to(self._device)

    def _run(self, raw: NDArray[Any]) -> torch.Tensor:
        with torch.inference_mode(), autocast(self._device, self._precision):
            pixels = self._scaling.apply(torch.from_numpy(raw), self._device)
            return self._network.checked_logits(in_fast_layout(pixels))

    def _halves(self, raw: NDArray[Any]) -> torch.Tensor:
        middle = (len(raw) + 1) // 2
        return torch.cat([self(raw[:middle]), self(raw[middle:])])

    def _cpu(self) -> Forward:
        if self._on_cpu is None:
            module = copy.deepcopy(self._network.module).to("cpu")
            network = replace(self._network, module=module)
            self._on_cpu = Forward(network, self._scaling, torch.device("cpu"), Precision.FP32)
        return self._on_cpu
