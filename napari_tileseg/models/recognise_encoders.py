"""Encoders of segmentation-models-pytorch: which one weights belong to.

A table that comes along says which encoders have weights of certain names and shapes. It only
says where to look: what it names is built, without memory for weights, and compared exactly.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from torch import nn

    from napari_tileseg.models.recognised import Shapes

TABLE = "encoder_shapes.json"
_COUNTER = "num_batches_tracked"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_NOT_BEHAVIOUR = frozenset({"training", "name", "pretrained_cfg", "default_cfg"})


def shapes_of(module: nn.Module) -> Shapes:
    """Return the shape of each tensor in the state dict of a module, but for mere counters."""
    return {
        name: tuple(tensor.shape)
        for name, tensor in module.state_dict().items()
        if not name.endswith(_COUNTER)
    }


def without_memory(make: Callable[[], nn.Module]) -> nn.Module:
    """Make a module whose weights take no memory, if its code lets it be made so."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mode in (torch.device("meta"), _weights_without_memory()):
            try:
                with mode:
                    return make()
            except (NotImplementedError, RuntimeError):
                continue  # it computes something from what has no memory
        return make()


def _weights_without_memory() -> AbstractContextManager[Any]:
    """Return a context in which only what becomes weights takes no memory."""
    import torch
    from torch.overrides import TorchFunctionMode

    empty = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full)

    class Mode(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            more = {"device": "meta"} if func in empty else {}
            return func(*args, **{**more, **(kwargs or {}), **more})

    return Mode()


def fingerprint(shapes: Shapes) -> str:
    """Return a short text that is the same for equal encoders, however many channels they read."""
    digest = hashlib.sha256()
    for name in sorted(shapes):
        if not name.endswith(_COUNTER):
            shape = shapes[name]
            digest.update(f"{name} {shape[:1]} {shape[2:]}\n".encode())
    return digest.hexdigest()[:12]


def behaviour(module: nn.Module) -> str:
    """Return a text that is the same for modules that do the same with the same weights.

    Names and shapes are not enough: paddings, activations and the like leave no weights.
    """
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        digest.update(f"{name} {type(part).__module__}.{type(part).__qualname__}\n".encode())
        for key, value in sorted(vars(part).items()):
            if not key.startswith("__") and key not in _NOT_BEHAVIOUR:
                for text in _plain(value):
                    digest.update(f"{key} {text}\n".encode())
    return digest.hexdigest()


def _plain(value: Any) -> Iterator[str]:
    import torch

    if isinstance(value, (dict, list, tuple, set)):
        parts = value.items() if isinstance(value, dict) else value
        for part in parts:
            yield from _plain(part)
    elif isinstance(value, torch.Tensor):
        yield f"{tuple(value.shape)} {value.dtype}"
    elif not isinstance(value, torch.nn.Module):
        yield _ADDRESS.sub("", repr(value))


def candidates(shapes: Shapes, *, whole: bool = False) -> list[tuple[str, tuple[int, ...] | None]]:
    """Return encoders that may have weights of such names and shapes.

    Parameters
    ----------
    shapes
        Without "encoder." before the names.
    whole
        Whether it is a transformer that is used as a whole, as DPT does.

    Returns
    -------
    Their names, each with the depths at which that is so; None for all.
    """
    found = _table()["whole" if whole else "features"].get(fingerprint(shapes), {})
    return [(name, tuple(depths) if depths else None) for name, depths in found.items()]


@cache
def _table() -> dict[str, dict[str, dict[str, list[int]]]]:
    text = resources.files("napari_tileseg.models").joinpath(TABLE).read_text("utf-8")
    found: dict[str, dict[str, dict[str, list[int]]]] = json.loads(text)
    return found


def channels_read(shapes: Shapes, built: Shapes) -> int | None:
    """Return how many channels an encoder reads, compared to one that was built for three.

    Returns
    -------
    None if it is another encoder.
    """
    if shapes.keys() != built.keys():
        return None
    found = set()
    for name, shape in shapes.items():
        usual = built[name]
        if shape == usual:
            continue
        if len(shape) != len(usual) or shape[:1] + shape[2:] != usual[:1] + usual[2:]:
            return None
        channels, rest = divmod(3 * shape[1], usual[1])
        if rest:
            return None
        found.add(channels)
    if len(found) > 1:
        return None
    return found.pop() if found else 3
