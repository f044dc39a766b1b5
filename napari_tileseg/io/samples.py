"""What comes along with the program: images to try and checkpoints to use."""

from __future__ import annotations

from pathlib import Path

from napari_tileseg.errors import ImageError

_IMAGES = {"cells": "cells.tif", "axon_myelin_sem": "nerve.tif"}
"""The image to try each bundled model on."""


def sample_data_folder() -> Path:
    """Return the folder with the sample data: inside the package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "sample_data"
    return inside if inside.is_dir() else package.parent / "sample_data"


def sample_image(model: str = "cells") -> Path:
    """Return the image to try a bundled model on; `ImageError` if it did not come along."""
    path = sample_data_folder() / _IMAGES[model]
    if not path.is_file():
        raise ImageError(
            f"The sample image is missing (looked for {path}). "
            "Install napari-tileseg again: pip install --force-reinstall napari-tileseg"
        )
    return path


def bundled_checkpoints() -> dict[str, Path]:
    """Return the checkpoints that come along, by name."""
    return {path.stem: path for path in sorted(sample_data_folder().glob("*.safetensors"))}
