"""What File > Open Sample offers: an image with its model, and a model for one's own image."""

from __future__ import annotations

from typing import Any

import napari

from napari_tileseg.viewer.commands import controller_in
from napari_tileseg.viewer.loading import SAMPLE_MODEL, sample_layer_data

LayerData = tuple[Any, dict[str, Any], str]


def cells() -> list[LayerData]:
    """Return the synthetic cells, and choose the model that was made for them in the dock."""
    _choose_in_dock(SAMPLE_MODEL)
    data, attributes = sample_layer_data()
    return [(data, attributes, "image")]


def axon_myelin_model() -> list[LayerData]:
    """Choose the model for nerve sections in the dock; the image is the person's own."""
    _choose_in_dock("axon_myelin_sem")
    return []


def _choose_in_dock(model: str) -> None:
    viewer = napari.current_viewer()
    # without a window the image alone is what there is
    if viewer is not None and hasattr(viewer, "window"):
        controller_in(viewer).choose_model(model)
