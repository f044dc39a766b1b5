"""Weights out of files that are safe to read, and into a network that they fit."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from napari_tileseg.errors import CheckpointError, NotTrustedError
from napari_tileseg.io.formats import IF_TRUSTED, Format, recognise
from napari_tileseg.io.limits import (
    PickleStream,
    check_count,
    check_header,
    contents,
    pickled_bytes,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import nn

Weights = dict[str, torch.Tensor]

_NESTED = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "ema_state_dict",
    "ema",
)
_PREFIXES = ("module.", "model.", "net.", "_orig_mod.", "network.")
_HEAD = "segmentation_head."
_DEEPEST = 4
_SOON_READ = 1 << 19
_SHOWN = 3

_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def read_weights(path: Path) -> Weights:
    """Return the weights in a file of safetensors or torch.save, whatever it is called.

    Raises
    ------
    NotTrustedError
        If opening it would run code.
    CheckpointError
        If it is another kind of file, or damaged.
    """
    kind = recognise(path)
    if kind is Format.SAFETENSORS:
        weights, _ = read_safetensors(path)
        return weights
    if kind is Format.TORCH:
        return read_torch(path)
    raise CheckpointError(
        f"'{path.name}' is a network of another kind ({kind.value}), not a file of weights. "
        "Choose a .safetensors file, or a .pt or .pth file with a state dict."
    )


def read_safetensors(path: Path) -> tuple[Weights, dict[str, str]]:
    """Return the tensors and the metadata of a .safetensors file.

    Raises
    ------
    CheckpointError
        If the file is damaged or not complete.
    """
    with _opened(path) as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        return tensors, dict(stored.metadata() or {})


def read_metadata(path: Path) -> dict[str, str]:
    """Return what a .safetensors file says about itself, without its tensors.

    Raises
    ------
    CheckpointError
        If the file is damaged or not complete.
    """
    with _opened(path) as stored:
        return dict(stored.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a .safetensors file; what is wrong with it is said in a sentence."""
    check_header(path)
    try:
        with safe_open(path, framework="pt") as stored:
            check_count(path, len(list(stored.keys())))
            yield stored
    except (SafetensorError, *_DAMAGED) as error:
        raise CheckpointError(
            f"'{path.name}' is not complete or is damaged, so its weights cannot be read. "
            "Download or copy it again, and compare the sizes."
        ) from error


def read_torch(path: Path) -> Weights:
    """Return the state dict in a file of torch.save, bare or nested; runs no code of the file.

    Raises
    ------
    CheckpointError
        If the file is damaged, would run code when opened, or holds no state dict.
    """
    try:
        with torch.serialization.safe_globals(_numpy_values()):
            content = _loaded(path)
    except pickle.UnpicklingError as error:
        raise _refusal(path, error) from error
    except _DAMAGED as error:
        raise CheckpointError(
            f"'{path.name}' is not complete or is damaged, so it cannot be read. "
            "Download or copy it again, and compare the sizes."
        ) from error
    return found_in(content, path)


def found_in(content: object, path: Path) -> Weights:
    """Return the state dict in what was loaded from a file, bare or nested.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    found = _state_dict_in(content, _DEEPEST)
    if found is None:
        keys = content if isinstance(content, dict) else ()
        names = [one for one in keys if isinstance(one, str)]
        held = ", ".join(map(shown, names[:5]))
        raise CheckpointError(
            f"'{path.name}' holds {f'{held}, but ' if held else ''}no state dict, that is no "
            "weights by name. Where it was trained, save them: "
            "torch.save(model.state_dict(), 'weights.pt')"
        )
    return found


def _loaded(path: Path) -> object:
    if zipfile.is_zipfile(path):
        return torch.load(path, map_location="cpu", weights_only=True)
    with PickleStream(path) as stream:
        return torch.load(stream, map_location="cpu", weights_only=True)


def _numpy_values() -> list[Any]:
    """Plain numbers and arrays of numpy, which many trainings store beside the weights."""
    multiarray: Any = import_module("numpy._core.multiarray")
    made: list[Any] = [
        (getattr(multiarray, maker), f"numpy.{home}.multiarray.{maker}")
        for home in ("core", "_core")
        for maker in ("scalar", "_reconstruct")
    ]
    return [*made, np.ndarray, np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdFD"}]


def _refusal(path: Path, error: pickle.UnpicklingError) -> CheckpointError:
    wanted = _unsafe(path)
    if not wanted:
        wanted = re.findall(r"GLOBAL ([\w.]+)", str(error))  # files from before torch 1.6
    wanted = [name for name in wanted if not name.startswith("numpy.")] or wanted
    if not wanted:
        return CheckpointError(
            f"'{path.name}' is damaged, or not a file of torch.save. "
            "Download or copy it again, and compare the sizes."
        )
    named = ", ".join(map(shown, sorted(wanted)[:5])) + (", ..." if len(wanted) > 5 else "")
    whole = any(name.startswith("torch.nn.") for name in wanted)
    holds = "a whole network as a Python object" if whole else "Python objects besides weights"
    return NotTrustedError(
        f"'{path.name}' holds {holds}; opening it would run code that the file names ({named}), "
        "so it was not opened. Where it was trained, save the weights alone: "
        f"torch.save(model.state_dict(), 'weights.pt'). {IF_TRUSTED}"
    )


def _unsafe(path: Path) -> list[str]:
    """Return what a file would run; empty if that cannot be told, or not soon."""
    try:
        if not zipfile.is_zipfile(path) or pickled_bytes(contents(path)) > _SOON_READ:
            return []
        return list(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (*_DAMAGED, pickle.UnpicklingError):
        return []


def _state_dict_in(content: object, depth: int) -> Weights | None:
    if not isinstance(content, dict) or not depth:
        return None
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    if tensors and len(tensors) == len(content):
        return tensors
    for name in _NESTED:
        found = _state_dict_in(content.get(name), depth - 1)
        if found is not None:
            return found
    return None


def without_prefixes(weights: Weights, wanted: Mapping[str, object]) -> Weights:
    """Return the weights under the names that the network has for them.

    Wrappers put "module.", "model." and the like before every name, sometimes several; what
    stands beside such a prefix belongs to the wrapper, not to the network.
    """
    while not weights.keys() & wanted.keys():
        prefix = next((p for p in _PREFIXES if any(n.startswith(p) for n in weights)), None)
        if prefix is None:
            break
        weights = {
            name.removeprefix(prefix): value
            for name, value in weights.items()
            if name.startswith(prefix)
        }
    return weights


def fill(module: nn.Module, weights: Weights, file_name: str, architecture: str) -> None:
    """Put weights into a network, all of them or none.

    Raises
    ------
    CheckpointError
        If names or shapes do not fit; names the first few.
    """
    wanted = module.state_dict()
    weights = without_prefixes(weights, wanted)
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = wanted.keys() - weights.keys() - counters
    unknown = weights.keys() - wanted.keys()
    mis_shaped = {
        name for name in weights.keys() & wanted.keys() if weights[name].shape != wanted[name].shape
    }
    if missing or unknown or mis_shaped:
        shapes = {
            f"{name} {tuple(weights[name].shape)} instead of {tuple(wanted[name].shape)}"
            for name in mis_shaped
        }
        problems = (
            _listed("missing", missing),
            _listed("not known to it", unknown),
            _listed("of another shape", shapes),
        )
        only_head = not (missing or unknown) and all(n.startswith(_HEAD) for n in mis_shaped)
        raise CheckpointError(
            f"The weights in '{file_name}' do not fit the architecture {architecture}: "
            f"{'; '.join(filter(None, problems))}. {_advice(weights, only_head=only_head)}"
        )
    module.load_state_dict({**{name: wanted[name] for name in counters}, **weights})


def _listed(what: str, names: set[str]) -> str:
    if not names:
        return ""
    first = ", ".join(map(shown, sorted(names)[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names)} {what} ({first})"


def _advice(weights: Weights, *, only_head: bool) -> str:
    """Say what is likely wrong: only the number of classes, or the whole architecture."""
    outputs = outputs_of(weights)
    if only_head and outputs:
        return f"They are for {outputs} outputs: give classes={outputs}, and as many class names."
    return "Give the architecture, encoder and arguments that the network was trained with."


def outputs_of(weights: Weights) -> int | None:
    """Return for how many outputs weights of segmentation-models-pytorch are; None if unclear."""
    heads = [
        tensor.shape[0]
        for name, tensor in weights.items()
        if _HEAD in name and name.endswith(".weight") and tensor.ndim == 4
    ]
    return int(heads[-1]) if heads else None
