"""InstanceNorm without its own statistics: the same numbers for every tile, given from outside."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.instancenorm import _InstanceNorm

from napari_tileseg.engine.global_context import modules_with_global_context

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network


class FrozenInstanceNorm(nn.Module):
    """What an InstanceNorm computes, with a mean and a variance that do not look at the input.

    Parameters
    ----------
    norm
        The layer it stands for: weight, bias and eps are taken from there. Until `freeze` is
        called every channel has mean 0 and variance 1.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(self, norm: _InstanceNorm, device: torch.device) -> None:
        super().__init__()
        self.eps = norm.eps
        self.register_parameter("weight", norm.weight)
        self.register_parameter("bias", norm.bias)
        dtype = torch.float32 if norm.weight is None else norm.weight.dtype
        shape = (norm.num_features,)
        self.register_buffer("mean", torch.zeros(shape, dtype=dtype, device=device))
        self.register_buffer("variance", torch.ones(shape, dtype=dtype, device=device))

    @torch.inference_mode()
    def freeze(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Take over statistics: one number for each channel, any device and float type."""
        self.mean.copy_(mean)
        self.variance.copy_(variance)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Normalise (B, channels, *spatial), each pixel by itself."""
        return functional.batch_norm(
            values, self.mean, self.variance, self.weight, self.bias, training=False, eps=self.eps
        )


def freezable(network: Network) -> bool:
    """Whether InstanceNorm is all that makes a network look at its whole input.

    Only what modules say about themselves is looked at. Whether tiles of the network with
    local norms can equal the whole image, `probe.receptive_field` tells.
    """
    norms = {f"{path} ({type(part).__name__})" for path, part in _instance_norms(network.module)}
    named = {*network.spec.global_context, *modules_with_global_context(network.module)}
    measured = any(_looks_at_its_input(part) for _, part in _instance_norms(network.module))
    return measured and named <= norms


def with_local_norms(network: Network) -> Network:
    """Copy a network, with a `FrozenInstanceNorm` for every InstanceNorm that needs its input.

    The copy has its own weights, on the same device. Its specification does not name the
    norms as modules with global context any more. Copy a network before hooks are set on it:
    they would be copied too.
    """
    norms = {f"{path} ({type(part).__name__})" for path, part in _instance_norms(network.module)}
    module = _localised(copy.deepcopy(network.module), network.device).eval()
    others = tuple(name for name in network.spec.global_context if name not in norms)
    return replace(network, module=module, spec=replace(network.spec, global_context=others))


def local_norms(network: Network) -> dict[str, FrozenInstanceNorm]:
    """Return the norms that can be frozen, by their place in the module."""
    return {
        path: part
        for path, part in network.module.named_modules()
        if isinstance(part, FrozenInstanceNorm)
    }


def _instance_norms(module: nn.Module) -> list[tuple[str, _InstanceNorm]]:
    """List what can be replaced; a subclass that computes something else cannot."""
    return [
        (path, part)
        for path, part in module.named_modules()
        if isinstance(part, _InstanceNorm) and type(part).forward is _InstanceNorm.forward
    ]


def _looks_at_its_input(norm: _InstanceNorm) -> bool:
    """Whether the statistics come from the input, not from training."""
    return not norm.track_running_stats


def _localised(module: nn.Module, device: torch.device) -> nn.Module:
    # a layer that stands in two places stays one layer
    local: dict[nn.Module | None, nn.Module] = {
        norm: FrozenInstanceNorm(norm, device)
        for _, norm in _instance_norms(module)
        if _looks_at_its_input(norm)
    }
    for parent in list(module.modules()):
        for name, child in list(parent._modules.items()):
            if child in local:
                setattr(parent, name, local[child])
    return local.get(module, module)
