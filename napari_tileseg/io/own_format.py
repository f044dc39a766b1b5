"""Our own checkpoints: one .safetensors file whose metadata says how to use the weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from napari_tileseg.engine.spec import Architecture, ModelSpec
from napari_tileseg.errors import CheckpointError

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network
    from napari_tileseg.models.facts import Facts

KEY = "napari-tileseg"
"""Where the description stands in the metadata, and the name of the format in it."""

VERSION = 1

_LONGEST = 500
_LARGEST_PX = 65_536
_LARGEST_UM = 1e6

_OF_THE_FILE = ("file", "sha256", "assumed")
"""Provenance of the file that was loaded; whoever saves a model settles what was assumed."""


@dataclass(frozen=True)
class Description:
    """What the metadata of one of our files says."""

    architecture: Architecture
    spec: ModelSpec
    provenance: dict[str, Any]


def to_text(network: Network, architecture: Architecture) -> str:
    """Return the description of a network."""
    return json.dumps(
        {
            "format": KEY,
            "version": VERSION,
            "architecture": {"name": architecture.name, "arguments": architecture.arguments},
            "spec": network.spec.to_dict(),
            "provenance": {k: v for k, v in network.provenance.items() if k not in _OF_THE_FILE},
        }
    )


def to_bytes(network: Network, architecture: Architecture, *, half: bool) -> bytes:
    """Return the content of a file with the weights and the description of a network."""
    return bytes(save(weights_of(network, half=half), {KEY: to_text(network, architecture)}))


def weights_of(network: Network, *, half: bool = False) -> dict[str, torch.Tensor]:
    """Return the weights of a network as they can be stored."""
    return {name: _stored(one, half) for name, one in network.module.state_dict().items()}


def _stored(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    # tensors that share memory cannot be stored, hence the clone
    tensor = tensor.detach().cpu().contiguous().clone()
    if not half or not tensor.is_floating_point():
        return tensor
    short = tensor.half()
    # a few statistics exceed the range of 16 bits; those stay as they are
    return short if bool(torch.isfinite(short).all()) else tensor


def read(text: str, file_name: str) -> Description:
    """Read the description that stands in the metadata of a file.

    Raises
    ------
    CheckpointError
        If it is damaged, incomplete, or from a newer version.
    """
    try:
        found = json.loads(text)
        version = found["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(
            f"The description inside '{file_name}' cannot be read. Copy or download it again."
        ) from error
    if version != VERSION:
        raise CheckpointError(
            f"'{file_name}' was saved by a newer version (its format is {version}; this program "
            f"reads {VERSION}). Update napari-tileseg: pip install --upgrade napari-tileseg"
        )
    provenance = found.get("provenance")
    try:
        spec = ModelSpec.from_dict(found.get("spec", {}))
    except (AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"The description inside '{file_name}' is damaged. Copy or download it again."
        ) from error
    _check_plain(spec, file_name)
    return Description(
        _architecture(found.get("architecture"), file_name),
        spec,
        provenance if isinstance(provenance, dict) else {},
    )


def _check_plain(spec: ModelSpec, file_name: str) -> None:
    """Raise `CheckpointError` if a description has something else where text or numbers belong."""
    texts = [spec.name, *spec.channels, *spec.global_context, *(one.name for one in spec.classes)]
    size = spec.pixel_size_um
    is_size = size is None or (isinstance(size, (int, float)) and 0 < size < _LARGEST_UM)
    if (
        not is_size
        or not all(isinstance(one, str) and len(one) <= _LONGEST for one in texts)
        or max(spec.tile, spec.stride, spec.margin) > _LARGEST_PX
    ):
        raise CheckpointError(
            f"The description inside '{file_name}' has names or sizes that cannot be right. "
            "Use another copy, or save the model again."
        )


def _architecture(found: object, file_name: str) -> Architecture:
    if isinstance(found, dict):
        name, arguments = found.get("name"), found.get("arguments")
        if isinstance(name, str) and isinstance(arguments, dict):
            return Architecture(name, arguments)
    raise CheckpointError(
        f"'{file_name}' does not say how to build its network. Save it again, or load its "
        "weights together with an architecture."
    )


def check_fit(spec: ModelSpec, known: Facts, file_name: str) -> None:
    """Raise `CheckpointError` if a description and its network contradict each other."""
    if spec.n_outputs != known.outputs:
        raise CheckpointError(
            f"'{file_name}' names {len(spec.classes)} classes ({spec.task}), but its network gives "
            f"{known.outputs} outputs. The file contradicts itself: save it again with matching "
            "classes."
        )
    if len(spec.channels) != known.in_channels:
        raise CheckpointError(
            f"'{file_name}' says that it reads {len(spec.channels)} channels, but its network "
            f"reads {known.in_channels}. The file contradicts itself: save it again."
        )
