"""Networks to measure with: real architectures with random weights, and cheap stand-ins."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import (
    Architecture,
    ModelSpec,
    Normalisation,
    NormalisationKind,
    default_classes,
)
from napari_tileseg.models.registry import build, facts

if TYPE_CHECKING:
    from collections.abc import Sequence

AS_IT_IS = Normalisation(NormalisationKind.NONE)
HALF = Normalisation(mean=(0.5,), std=(0.25,))


def described(
    module: nn.Module,
    classes: int,
    stride: int,
    *,
    name: str = "stand-in",
    dims: int = 2,
    normalisation: Normalisation = HALF,
    **spec: Any,
) -> Network:
    """Wrap a module that reads grey images."""
    values = ModelSpec(
        name,
        default_classes(classes),
        stride=stride,
        spatial_dims=dims,
        normalisation=normalisation,
        **spec,
    )
    return Network(module.eval(), values)


def smp_network(name: str, classes: int = 4, seed: int = 0, **arguments: Any) -> Network:
    """Build an architecture of segmentation-models-pytorch that reads grey images."""
    torch.manual_seed(seed)
    recipe = Architecture(
        name, {"encoder_weights": None, "in_channels": 1, "classes": classes, **arguments}
    )
    module = build(recipe)
    known = facts(module, recipe)
    spec = ModelSpec(
        name,
        default_classes(classes),
        stride=known.stride,
        normalisation=HALF,
        global_context=known.size_dependent,
    )
    return Network(module, spec, recipe)


def own_copy(network: Network) -> Network:
    """Return a network that shares nothing: runs may change the memory layout of weights."""
    return replace(network, module=copy.deepcopy(network.module))


def with_statistics(network: Network, rounds: int = 3, seed: int = 0) -> Network:
    """Give batch normalisation what it would have seen in training, and return the network."""
    torch.manual_seed(seed)
    side = network.spec.stride * max(2, 128 // network.spec.stride)
    for norm in network.module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean of all rounds
    network.module.train()
    with torch.no_grad():
        for _ in range(rounds):
            network.module(torch.randn(2, 1, *[side] * network.spec.spatial_dims))
    network.module.eval()
    return network


class Pooled(nn.Module):
    """Looks 63 px far on a grid of 32 px, at next to no cost."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(1, classes, 3, padding=1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Answer with blocks of 32 x 32 px of the same logits."""
        coarse = self.mix(nn.functional.avg_pool2d(tiles, 32))
        return nn.functional.interpolate(coarse, scale_factor=32, mode="nearest")


class Positive(nn.Module):
    """Kernels without a negative weight: all that it can see, it does see."""

    stride = 8

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        downs = [nn.Conv2d(1 if not level else 4, 4, 4, 2, 1) for level in range(3)]
        self.body = nn.Sequential(*downs, nn.Conv2d(4, 4, 3, padding=1))
        self.head = nn.Conv2d(4, classes, 3, padding=1)
        with torch.no_grad():
            self.head.weight.copy_(torch.rand_like(self.head.weight))
            for weight in (one for one in self.body.parameters() if one.ndim == 4):
                weight.copy_(0.5 + torch.rand_like(weight))
                weight.div_(weight.sum(dim=(1, 2, 3), keepdim=True))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Answer; the last convolution looks across the borders of blocks of 8 x 8 px."""
        coarse = self.body(tiles)
        fine = nn.functional.interpolate(coarse, scale_factor=self.stride, mode="nearest")
        answer: torch.Tensor = self.head(fine)
        return answer


class Prepared(nn.Module):
    """Answers with what it was given beforehand: costs nothing, whatever the tile."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.answer = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(0))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Answer; the tiles only say how many."""
        return self.answer.expand(len(tiles), *self.answer.shape)
