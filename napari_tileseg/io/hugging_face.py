"""Models on the Hugging Face hub: fetched only if a person asks for one as hf:OWNER/NAME."""

from __future__ import annotations

import re
from pathlib import Path

from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.smp_folders_out import DESCRIPTION

_PREFIX = "hf:"
_SOURCE = re.compile(r"hf:(?P<model>[\w-][\w.-]*/(?P<name>[\w-][\w.-]*))(@(?P<revision>[\w./-]+))?")

_WANTED = ("config.json", "model.safetensors", DESCRIPTION)
"""Weights that cannot run code, and what says how to use them; nothing else is fetched."""


def is_on_hub(source: str | Path) -> bool:
    """Return whether a person names a model on the hub, and not a file."""
    return isinstance(source, str) and source.startswith(_PREFIX)


def name_on_hub(source: str) -> str:
    """Return what a model on the hub is called, without its owner.

    Raises
    ------
    CheckpointError
        If that is not the name of a model.
    """
    return _parts(source)["name"]


def fetched(source: str) -> Path:
    """Return a folder with a model of the hub; downloaded, unless it was before.

    Parameters
    ----------
    source
        "hf:OWNER/NAME", or "hf:OWNER/NAME@REVISION" for a branch, a tag or a commit.

    Raises
    ------
    CheckpointError
        If there is no such model, it cannot be had, or it is not in a format that is read.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    found = _parts(source)
    model, revision = found["model"], found["revision"]
    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=list(_WANTED)))
    except GatedRepoError as error:
        raise CheckpointError(
            f"'{model}' is only given to people who have asked for it. Ask on its page on Hugging "
            "Face, then log in here with: hf auth login."
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"'{model}' has no branch, tag or commit '{revision}'. Leave out '@{revision}' for the "
            "newest."
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"There is no model '{model}' on Hugging Face, or only its owner may see it. Check the "
            "name, or log in with: hf auth login."
        ) from error
    except (HfHubHTTPError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"'{model}' could not be fetched from Hugging Face ({type(error).__name__}). Connect "
            "this computer to the internet, or copy the folder of the model here and open that."
        ) from error
    if not all((folder / name).is_file() for name in ("config.json", "model.safetensors")):
        raise CheckpointError(
            f"'{model}' holds no config.json with a model.safetensors, as "
            "segmentation-models-pytorch saves them. Download the file that you want, and open it."
        )
    return folder


def _parts(source: str) -> dict[str, str]:
    found = _SOURCE.fullmatch(source)
    if found is None:
        raise CheckpointError(
            f"'{source}' is not the name of a model on Hugging Face. Write hf:OWNER/NAME, or "
            "hf:OWNER/NAME@REVISION."
        )
    return found.groupdict()
