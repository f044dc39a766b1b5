"""Networks that labels can be computed with, but that nothing can be taught."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.errors import ModelFitError
from napari_tileseg.models.onnx_family import NAME

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network


def why_it_cannot_learn(network: Network) -> str:
    """Say in a sentence or two why a network cannot learn; empty if it can."""
    if network.architecture is None or network.architecture.name != NAME:
        return ""
    return (
        f"'{network.spec.name}' is an ONNX network: it can be run, but not taught. Choose the "
        "weights it was exported from (.safetensors, .pt), or train a new model."
    )


def require_learnable(network: Network) -> None:
    """Raise `ModelFitError` if a network cannot learn."""
    why = why_it_cannot_learn(network)
    if why:
        raise ModelFitError(why)
