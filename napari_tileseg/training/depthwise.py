"""Depthwise convolutions in float32 where half precision makes learning slower."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_GROUPS = 6
"""Where `conv2d` has its groups among the arguments that have no name."""


def fast_depthwise(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return a context in which convolutions with groups compute in what is fastest to learn in.

    On a CPU the gradients of a depthwise convolution take about five times as long in bf16 as in
    float32 (oneDNN in torch 2.14, a processor with avx512_bf16), which makes up half of a step of
    a network like EfficientNet; all others are faster in bf16.
    """
    slow = device.type == "cpu" and precision is not Precision.FP32
    return _GroupsInFloat32() if slow else nullcontext()


class _GroupsInFloat32(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is not torch.conv2d or _groups(args, kwargs) == 1:
            return func(*args, **kwargs)
        # weights too: some networks compute theirs
        by_place = [_full(one) for one in args]
        by_name = {name: _full(one) for name, one in kwargs.items()}
        with torch.autocast("cpu", enabled=False):
            return func(*by_place, **by_name)


def _full(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.dtype in (torch.bfloat16, torch.float16):
        return value.float()
    return value


def _groups(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    return int(args[_GROUPS]) if len(args) > _GROUPS else int(kwargs.get("groups", 1))
