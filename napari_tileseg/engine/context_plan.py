"""How an image is cut where every tile knows the whole of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.engine.context import context_module, has_context
from napari_tileseg.engine.tiles import cut_image, round_up
from napari_tileseg.errors import ModelFitError
from napari_tileseg.settings import Tta

if TYPE_CHECKING:
    import torch

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.tiles import TileGrid
    from napari_tileseg.settings import RunSettings

_SIDE_PX, _SIDE_ON_GPU_PX = 512, 1024
"""About how large tiles are: a few regions at a time are quicker than one."""


def context_grid(
    source: Source, network: Network, settings: RunSettings, device: torch.device
) -> TileGrid:
    """Cut an image into tiles of whole regions, side by side.

    Raises
    ------
    ModelFitError
        If the network has no context encoder.
    """
    if not has_context(network):
        raise ModelFitError(
            f"Mode 'context' is for networks with a context encoder (xT); '{network.spec.name}' "
            "has none. Choose mode 'auto'."
        )
    region = context_module(network.module).region
    usual = _SIDE_PX if device.type == "cpu" else _SIDE_ON_GPU_PX
    sides = (round_up(settings.tile or usual, region),) * 2
    return cut_image(source.spatial_shape, sides, sides, stride=region, crop=True)


def context_notes(settings: RunSettings) -> list[str]:
    """Say what is left out that somebody has asked for."""
    notes = []
    if settings.tta is not Tta.NONE:
        notes.append("Variants are left out: with context, each tile is seen once, as it is.")
    if settings.compile:
        notes.append("The network is not compiled: with context, it runs in two passes.")
    return notes
