"""Folders that segmentation-models-pytorch opens with `from_pretrained`, and we do as well."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from typing import TYPE_CHECKING, Any

from safetensors.torch import save

from napari_tileseg.errors import CheckpointError, OutputError
from napari_tileseg.io import own_format
from napari_tileseg.models.smp_decoders import SMP_DECODERS

if TYPE_CHECKING:
    from pathlib import Path

    from napari_tileseg.engine.network import Network

DESCRIPTION = "napari-tileseg.json"
"""What only we read: classes, channels, intensities. Others leave it alone."""


def save_smp_folder(network: Network, folder: Path) -> Path:
    """Save a network of segmentation-models-pytorch as a folder in its own format.

    Parameters
    ----------
    network
        One whose architecture is in that library ("smp. ...").
    folder
        Is made; it must not be there yet, or be empty.

    Raises
    ------
    CheckpointError
        If the network is not one of that library.
    OutputError
        If the folder cannot be written; nothing is left behind.
    """
    architecture = network.architecture
    if architecture is None or not architecture.name.startswith("smp."):
        name = "unknown" if architecture is None else architecture.name
        raise CheckpointError(
            f"'{network.spec.name}' cannot become a folder of segmentation-models-pytorch: its "
            f"architecture is {name}, which that library does not have. "
            "Save it as .safetensors."
        )
    config: dict[str, Any] = {
        **SMP_DECODERS[architecture.name].completed(architecture.arguments),
        "encoder_weights": None,
        "_model_class": architecture.name.removeprefix("smp."),
    }
    files = {
        "config.json": json.dumps(config, indent=2).encode(),
        "model.safetensors": bytes(save(own_format.weights_of(network), {"format": "pt"})),
        DESCRIPTION: own_format.to_text(network, architecture).encode(),
    }
    _write_all(folder, files)
    return folder


def _write_all(folder: Path, files: dict[str, bytes]) -> None:
    """Write a folder in one step: it is there as a whole, or not at all."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"'{folder}' is there already. Name a folder that is not there yet.")
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir()
        for name, content in files.items():
            (part / name).write_bytes(content)
        if folder.is_dir():
            folder.rmdir()
        os.replace(part, folder)  # noqa: PTH105 - one step on every system
    except OSError as error:
        raise OutputError(
            f"The folder '{folder}' cannot be written ({error.strerror}). Choose another place."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
