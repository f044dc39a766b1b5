"""A network compiled by torch, where that works; else the network as it is."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_tileseg.engine.device import is_out_of_memory

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network

_LOG = logging.getLogger(__name__)


def compiled(network: Network) -> Network:
    """Return a network that is compiled with its first tile of each shape; this takes a while."""
    return replace(network, module=_Compiled(network.module))


class _Compiled(nn.Module):
    """Runs the compiled module for as long as that goes well."""

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self.plain = plain
        device = next((one.device.type for one in plain.parameters()), "cpu")
        # on a GPU also as a CUDA graph: one launch for the whole network
        self._fast = torch.compile(
            plain, dynamic=False, mode="reduce-overhead" if device == "cuda" else None
        )
        self._works = True

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        if self._works:
            try:
                answer: torch.Tensor = self._fast(tiles)
                return answer
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                self._works = False
                _LOG.warning("not compiled, and so not faster: %s", error)
        plain: torch.Tensor = self.plain(tiles)
        return plain
