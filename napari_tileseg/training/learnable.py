"""Networks and precisions in which labels can be computed, but nothing can be learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.errors import ModelFitError, SettingsError
from napari_tileseg.models.onnx_family import NAME
from napari_tileseg.settings import Precision

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


def require_precision_to_learn(precision: Precision) -> None:
    """Raise `SettingsError` if a network cannot learn in a precision."""
    if precision in (Precision.FP16, Precision.BF16_DECODER):
        raise SettingsError(
            f"{precision} is for computing labels, not for learning; choose bf16, fp32 or auto."
        )
