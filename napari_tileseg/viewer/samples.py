"""What File > Open Sample offers: images, each with the model that was made for it."""

from __future__ import annotations

from typing import Any

import napari

from napari_tileseg.viewer.commands import controller_in
from napari_tileseg.viewer.loading import SAMPLE_MODEL, axon_layer_data, sample_layer_data

LayerData = tuple[Any, dict[str, Any], str]


def cells() -> list[LayerData]:
    """Return the synthetic cells, and choose the model that was made for them in the dock."""
    _choose_in_dock(SAMPLE_MODEL)
    data, attributes = sample_layer_data()
    return [(data, attributes, "image")]


def axon_myelin_sem() -> list[LayerData]:
    """Return a micrograph of nerve tissue, and choose the model for such images in the dock."""
    _choose_in_dock("axon_myelin_sem")
    data, attributes = axon_layer_data()
    return [(data, attributes, "image")]


def _choose_in_dock(model: str) -> None:
    viewer = napari.current_viewer()
    # without a window the image alone is what there is
    if viewer is not None and hasattr(viewer, "window"):
        controller_in(viewer).choose_model(model)
