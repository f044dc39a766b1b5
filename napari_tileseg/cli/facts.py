"""What a file is, as plain values that can be printed or turned into JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.io.images import open_image

if TYPE_CHECKING:
    from pathlib import Path


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


def checkpoint_facts(source: str | Path, path: Path | None = None) -> dict[str, Any]:
    """Load a checkpoint and say what it reads, what it finds and where it comes from."""
    network = load_model(source)
    architecture = network.architecture
    return {
        "kind": "checkpoint",
        "path": str(path or source),
        **network.spec.to_dict(),
        "architecture": None if architecture is None else architecture.name,
        "arguments": {} if architecture is None else architecture.arguments,
        "parameters": sum(one.numel() for one in network.module.parameters()),
        "provenance": network.provenance,
    }
