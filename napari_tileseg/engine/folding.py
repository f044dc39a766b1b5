"""BatchNorm folded into the convolution before it: the same answers with a pass less a layer.

With fixed statistics a BatchNorm is a factor and an offset for each channel, which the weights
of the convolution before it can take over (Jacob et al., CVPR 2018, section 3.2). Which
convolution that is, is seen by running the network once on a small input; whether the result
is the same network, by running both.
"""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_tileseg.engine.tiles import round_up

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_tileseg.engine.network import Network

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_LEAST_SIDE = {2: 64, 3: 16}
"""Sides of the small input in pixels; two strides of the network, if that is more."""

_SAME = 1e-4
"""How far answers may differ, in their standard deviation; a wrong fold is off by more than 1."""


_KNOWN: WeakKeyDictionary[Network, tuple[Hashable, Network | None]] = WeakKeyDictionary()
"""What was folded before, with the state of the weights at that time."""

_FOLDED: WeakSet[Network] = WeakSet()
"""What came out of it, and is not folded again for the norms that are left."""


def folded(network: Network) -> Network:
    """Return a network that answers alike and faster; the same one if nothing can be folded."""
    norms = any(isinstance(part, _NORMS) for part in network.module.modules())
    if network in _FOLDED or not norms:
        return network
    state = _state(network.module)
    known = _KNOWN.get(network)
    if known is None or known[0] != state:
        module = _folded(network)
        # not the network itself: what is remembered for it would keep it alive
        answer = None if module is None else replace(network, module=module)
        known = _KNOWN[network] = state, answer
        if answer is not None:
            _FOLDED.add(answer)
    return known[1] or network


def _state(module: nn.Module) -> Hashable:
    """Tell weights apart that were changed or moved; an optimiser counts up their versions."""
    weights = [*module.parameters(), *module.buffers()]
    return tuple((one.device, one.data_ptr(), _version(one)) for one in weights)


def _version(weights: torch.Tensor) -> int:
    try:
        return weights._version
    except RuntimeError:  # made where nothing is counted, and nothing is trained
        return 0


@torch.no_grad()  # weights made in inference mode cannot be used everywhere
@torch.inference_mode(False)
def _folded(network: Network) -> nn.Module | None:
    """Return a module without the norms that could be folded; None if none could be."""
    module = copy.deepcopy(network.module).eval()
    tiles = _small_input(network)
    before = module(tiles)
    pairs = _followed_by_norms(module, tiles)
    for convolution, norm in pairs:
        _fold(module, convolution, norm)
    if not pairs or not isinstance(before, torch.Tensor) or not _alike(before, module(tiles)):
        return None
    return module


def _small_input(network: Network) -> torch.Tensor:
    spec = network.spec
    least = max(2 * spec.stride, _LEAST_SIDE.get(spec.spatial_dims, 64))
    side = round_up(least, spec.stride) + 2 * spec.margin
    shape = (1, len(spec.channels), *(side,) * spec.spatial_dims)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator).to(network.device)


def _alike(before: torch.Tensor, after: torch.Tensor) -> bool:
    return bool((before - after).abs().max() <= _SAME * before.std())


def _followed_by_norms(module: nn.Module, tiles: torch.Tensor) -> list[tuple[str, str]]:
    """Return the paths of each convolution, and of the norm that reads its answer."""
    answers: dict[int, tuple[str, torch.Tensor]] = {}
    calls: dict[str, int] = {}
    pairs: list[tuple[str, str]] = []
    with ExitStack() as hooks:
        for path, part in module.named_modules():
            if isinstance(part, _CONVOLUTIONS):

                def answered(_: nn.Module, __: Any, answer: torch.Tensor, path: str = path) -> None:
                    calls[path] = calls.get(path, 0) + 1
                    answers[id(answer)] = path, answer  # kept, so that no other gets its id

                hooks.callback(part.register_forward_hook(answered).remove)
            elif isinstance(part, _NORMS) and _is_fixed(part):

                def read(_: nn.Module, inputs: tuple[torch.Tensor], path: str = path) -> None:
                    calls[path] = calls.get(path, 0) + 1
                    if id(inputs[0]) in answers:
                        pairs.append((answers[id(inputs[0])][0], path))

                hooks.callback(part.register_forward_pre_hook(read).remove)
        module(tiles)
    return [pair for pair in pairs if all(calls[path] == 1 for path in pair)]


def _is_fixed(norm: nn.Module) -> bool:
    """Whether a norm does nothing but shift and scale, and perhaps an activation after it."""
    plain = type(norm) in _NORMS
    # timm's norm with an activation
    named = (
        type(norm).__name__ == "BatchNormAct2d" and hasattr(norm, "drop") and hasattr(norm, "act")
    )
    return (plain or named) and getattr(norm, "running_var", None) is not None


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    conv: Any = module.get_submodule(convolution)
    batch_norm: Any = module.get_submodule(norm)
    rest: nn.Module = nn.Identity()
    if type(batch_norm) not in _NORMS:
        rest = nn.Sequential(batch_norm.drop, batch_norm.act)
    _put(module, convolution, fuse_conv_bn_eval(conv, batch_norm))
    _put(module, norm, rest)


def _put(module: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, part)
