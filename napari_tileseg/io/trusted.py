"""Files that run code when they are opened, and that a person has vouched for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from platformdirs import user_data_path
from torch import nn

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import ModelSpec, Task
from napari_tileseg.errors import CheckpointError, TilesegError
from napari_tileseg.io.atomic import written_beside
from napari_tileseg.io.bare_weights import ASSUMED, network_of
from napari_tileseg.io.formats import Format, kind_of
from napari_tileseg.io.specs import default_channels, named_classes
from napari_tileseg.io.state_dicts import found_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_tileseg.engine.spec import Architecture

_STRIDE = 32
"""What tiles of an unknown network are multiples of, in pixels: enough for five halvings."""

_TRIAL_PX = 64


def trusted_content(path: Path, *, trust: bool) -> bytes | None:
    """Return the content of a file that may run its code; None if nobody said that it may.

    Parameters
    ----------
    path
        The file. What is returned is what was vouched for, even if it is replaced meanwhile.
    trust
        Whether a person says so now; that is remembered by the sha256 of the content.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest = hashlib.sha256(content).hexdigest()
    known = _known()
    if digest in known:
        return content
    if not trust:
        return None
    with contextlib.suppress(OSError, TilesegError):  # then it is asked again next time
        _file().parent.mkdir(parents=True, exist_ok=True)
        with written_beside(_file()) as part:
            part.write_text(json.dumps({**known, digest: path.name}), encoding="utf-8")
    return content


def _known() -> dict[str, str]:
    try:
        found = json.loads(_file().read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _file() -> Path:
    chosen = os.environ.get("TILESEG_DATA")
    folder = Path(chosen) if chosen else user_data_path("napari-tileseg", appauthor=False)
    return folder / "trusted files.json"


def from_trusted(
    path: Path, content: bytes, architecture: Architecture | None, classes: Sequence[str] | None
) -> Network:
    """Build a network out of a file, running the code in it.

    If its weights are those of an architecture that is known here, it is built anew from them,
    and can be saved as any other. Else it runs as it is.

    Raises
    ------
    CheckpointError
        If its code fails, or what it gives is no network.
    """
    kind = kind_of(path)
    try:
        found = _opened(kind, content)
        module = _module_in(found)
        weights = found_in(found if module is None else dict(module.state_dict()), path)
    except CheckpointError:
        raise
    except Exception as error:  # the code in the file can raise anything
        raise CheckpointError(
            f"'{path.name}' cannot be opened ({type(error).__name__}: {str(error)[:200]}). Install "
            "what it was made with, or, where it was trained, save the weights alone: "
            "torch.save(model.state_dict(), 'weights.pt')"
        ) from error
    try:
        return network_of(path, weights, architecture, classes)
    except CheckpointError:
        if module is None or architecture is not None or kind is Format.EXPORTED:
            raise  # what was exported is bound to one size
        return _as_it_is(path, module, classes)


def _opened(kind: Format, content: bytes) -> Any:
    stream = BytesIO(content)
    if kind is Format.TORCHSCRIPT:
        jit: Any = torch.jit
        return jit.load(stream, map_location="cpu")
    if kind is Format.EXPORTED:
        return dict(torch.export.load(stream).state_dict)
    if kind is Format.PICKLE:
        return pickle.loads(content)
    return torch.load(stream, map_location="cpu", weights_only=False)


def _module_in(found: Any) -> nn.Module | None:
    if isinstance(found, nn.Module):
        return found
    values = found.values() if isinstance(found, dict) else ()
    return next((one for one in values if isinstance(one, nn.Module)), None)


def _as_it_is(path: Path, module: nn.Module, classes: Sequence[str] | None) -> Network:
    module = module.float().eval()
    first = next((one for one in module.parameters() if one.ndim == 4), None)
    channels = 3 if first is None else first.shape[1]
    try:
        with torch.inference_mode():
            answer = module(torch.zeros(1, channels, _TRIAL_PX, _TRIAL_PX))
        fits = isinstance(answer, torch.Tensor) and answer.shape[2:] == (_TRIAL_PX, _TRIAL_PX)
    except Exception as error:  # it is the code of the file that runs
        raise _no_segmentation(path, channels) from error
    if not fits:
        raise _no_segmentation(path, channels)
    outputs = int(answer.shape[1])
    spec = ModelSpec(
        name=path.stem,
        classes=named_classes(classes, outputs, path.stem),
        channels=default_channels(channels),
        task=Task.BINARY if outputs == 1 else Task.MULTICLASS,
        stride=_STRIDE,
    )
    assumed = (
        "The file does not say which intensities its network expects (0 to 1 is assumed), whether "
        "it answers before any softmax (that is assumed) and what its classes are called."
    )
    return Network(module, spec, None, {ASSUMED: assumed})


def _no_segmentation(path: Path, channels: int) -> CheckpointError:
    return CheckpointError(
        f"The network in '{path.name}' does not answer for every pixel of a tile of {_TRIAL_PX} px "
        f"with {channels} channels. Choose a network that segments, or save its weights alone: "
        "torch.save(model.state_dict(), 'weights.pt')"
    )
