"""What File > Open Sample offers: images, each with the model that was made for it."""

from __future__ import annotations

from typing import Any

import napari

from napari_tileseg.viewer.commands import controller_in
from napari_tileseg.viewer.loading import sample_layer_data

LayerData = tuple[Any, dict[str, Any], str]


def cells() -> list[LayerData]:
    """Return the synthetic cells, and choose the model that was made for them in the dock."""
    return _with_model("cells")


def axon_myelin_sem() -> list[LayerData]:
    """Return a synthetic nerve section, and choose the model for such images in the dock."""
    return _with_model("axon_myelin_sem")


def _with_model(model: str) -> list[LayerData]:
    viewer = napari.current_viewer()
    # without a window the image alone is what there is
    if viewer is not None and hasattr(viewer, "window"):
        controller_in(viewer).choose_model(model)
    data, attributes = sample_layer_data(model)
    return [(data, attributes, "image")]
