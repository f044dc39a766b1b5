"""The networks that a project keeps, each under the digest of its file."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING

from napari_tileseg.errors import OutputError, ProjectError
from napari_tileseg.io.atomic import written_beside
from napari_tileseg.io.project_facts import not_saved

if TYPE_CHECKING:
    from pathlib import Path

    from napari_tileseg.engine.network import Network

MODELS = "models"


def model_file(folder: Path, sha256: str) -> Path:
    """Return where a network is kept."""
    return folder / f"{sha256}.safetensors"


def store_model(folder: Path, network: Network) -> str:
    """Save a network and return the sha256 of its file; imports torch.

    Raises
    ------
    CheckpointError
        If the network does not know how to be built again.
    ProjectError
        If it cannot be written.
    """
    from napari_tileseg.io.checkpoints import save_model

    try:
        folder.mkdir(exist_ok=True)
        # several may be written at a time
        new = save_model(network, folder / f"new-{token_hex(4)}.safetensors")
        with new.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        new.replace(model_file(folder, sha256))
    except OSError as error:
        raise not_saved(folder, error) from error
    except OutputError as error:
        raise ProjectError(str(error)) from error
    return sha256


def clear_up(folder: Path) -> None:
    """Remove what a program that ended in the middle of saving a network has left."""
    for path in (*folder.glob("new-*"), *folder.glob(".*.part")):
        with suppress(OSError):  # it takes room and does no harm
            path.unlink()


def load_stored(path: Path, sha256: str) -> Network:
    """Load a network that was saved; imports torch.

    Raises
    ------
    ProjectError
        If it is not there, or is not any more what was saved.
    CheckpointError
        If it cannot be used.
    """
    from napari_tileseg.io.checkpoints import load_model

    if not path.is_file():
        raise ProjectError(
            f"The model {sha256[:12]} is not in '{path.parent}' any more. Put the file back, "
            "or go on with another model."
        )
    network = load_model(path)
    if network.provenance.get("sha256") != sha256:
        raise ProjectError(
            f"The model '{path}' was changed or damaged since it was saved. Put the file "
            "back from a copy, or go on with another model."
        )
    return network


def copy_model(path: Path, to: Path) -> None:
    """Copy the file of a network, if it is there and not copied yet.

    Raises
    ------
    ProjectError
        If it cannot be read or written.
    """
    if to.exists() or not path.is_file():
        return
    try:
        to.parent.mkdir(exist_ok=True)
        with written_beside(to) as part:
            shutil.copyfile(path, part)
    except OSError as error:
        raise not_saved(to.parent, error) from error
    except OutputError as error:
        raise ProjectError(str(error)) from error
