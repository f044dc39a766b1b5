"""Whether a network can be written as ONNX, and answers there as it does here."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg.errors import TilesegError
from napari_tileseg.io.onnx_out import (
    EXPORT_ERRORS,
    TOLERANCE,
    difference,
    export,
    reason,
    tile_for,
)
from napari_tileseg.models.libraries import import_onnxruntime, import_onnxscript

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network


def onnx_export(network: Network) -> str:
    """Export a network, and say "ok", or why not.

    It answers for the same tile in onnxruntime up to a thousandth of the spread of the logits.
    """
    for needed in (import_onnxruntime, import_onnxscript):
        try:
            needed()
        except TilesegError as error:
            return f"not tried: {getattr(error.__cause__, 'name', '')} is not installed"
    tile = tile_for(network, [2] * network.spec.spatial_dims)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        try:
            export(network, path, tile, any_size=False)
            apart = difference(network, path, tile)
        except (TilesegError, *EXPORT_ERRORS) as error:
            return f"no: {reason(error)[:200]}"
    return "ok" if apart <= TOLERANCE else f"no: it answers otherwise there, by {apart:.2g}"
