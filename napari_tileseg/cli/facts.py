"""What a file is, as plain values that can be printed or turned into JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.probe import known_field
from napari_tileseg.io.images import open_image
from napari_tileseg.training.familiar import in_words

if TYPE_CHECKING:
    from pathlib import Path

    from napari_tileseg.engine.network import Network


def image_facts(path: Path) -> dict[str, Any]:
    """Open an image and say what it is; its pixels are not read."""
    with open_image(path) as opened:
        finest = opened.levels[0]
        return {
            "kind": "image",
            "path": str(path),
            "name": opened.name,
            "axes": opened.axes,
            "shape": list(finest.shape),
            "dtype": str(finest.dtype),
            "levels": [list(level.shape) for level in opened.levels],
            "pixel_size_um": opened.pixel_size_um,
            "bytes_in_memory": int(finest.dtype.itemsize * finest.size),
        }


def checkpoint_facts(network: Network, path: Path) -> dict[str, Any]:
    """Say what a network reads, what it finds and where it comes from."""
    architecture = network.architecture
    return {
        "kind": "checkpoint",
        "path": str(path),
        **network.spec.to_dict(),
        "receptive_field": _receptive_field(network),
        "architecture": None if architecture is None else architecture.name,
        "arguments": {} if architecture is None else architecture.arguments,
        # what an ONNX network consists of is known to onnxruntime only
        "parameters": sum(one.numel() for one in network.module.parameters()) or None,
        "provenance": in_words(network.provenance),
    }


def _receptive_field(network: Network) -> dict[str, Any] | None:
    """Return how far an output looks, in pixels; None if that was not found out yet."""
    field = known_field(network)
    if field is None:
        return None
    return {
        "before": list(field.before),
        "after": list(field.after),
        "bounded": field.bounded,
        "size_dependent": field.size_dependent,
    }
