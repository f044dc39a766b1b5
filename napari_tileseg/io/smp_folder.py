"""Folders written by `save_pretrained` of segmentation-models-pytorch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.spec import Architecture
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.limits import check_text, shown
from napari_tileseg.models.registry import ARCHITECTURES

if TYPE_CHECKING:
    from pathlib import Path

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_NOT_ARGUMENTS = ("encoder_weights",)


@dataclass(frozen=True)
class SmpFolder:
    """What a folder holds.

    Attributes
    ----------
    architecture
        Read from config.json.
    weights
        The file that holds them.
    encoder_weights
        What the encoder once started from; for its intensities only, never fetched.
    """

    architecture: Architecture
    weights: Path
    encoder_weights: str | None


def is_smp_config(path: Path) -> bool:
    """Tell whether a config.json was written by segmentation-models-pytorch."""
    try:
        check_text(path)
        return "_model_class" in json.loads(path.read_text("utf-8"))
    except (CheckpointError, OSError, ValueError, TypeError, RecursionError):
        return False


def read_smp_folder(folder: Path) -> SmpFolder:
    """Read the description in a folder and find its weights.

    Raises
    ------
    CheckpointError
        If config.json is damaged or names an unknown class, or the weights are missing.
    """
    config = _config(folder)
    known = {name.rpartition(".")[2]: name for name in ARCHITECTURES if name.startswith("smp.")}
    model_class = config.get("_model_class")
    if not isinstance(model_class, str) or model_class not in known:
        raise CheckpointError(
            f"config.json in '{folder.name}' asks for the class {shown(repr(model_class))}. "
            f"Choose a folder with one of these: {', '.join(known)}."
        )
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise CheckpointError(
            f"The folder '{folder.name}' has a config.json, but no weights. "
            f"Put {' or '.join(_WEIGHTS)} beside it."
        )
    arguments = {
        name: value
        for name, value in config.items()
        if not name.startswith("_") and name not in _NOT_ARGUMENTS and value is not None
    }
    started_from = config.get("encoder_weights")
    return SmpFolder(
        Architecture(known[model_class], arguments),
        weights,
        started_from if isinstance(started_from, str) else None,
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        check_text(folder / "config.json")
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"config.json in '{folder.name}' cannot be read ({error}). Copy the folder again."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(
            f"config.json in '{folder.name}' is not the description of a network. "
            "Choose a folder written by save_pretrained."
        )
    return config
