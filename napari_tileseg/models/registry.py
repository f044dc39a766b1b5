"""Architectures by name: from a name and its arguments to a torch module without weights.

Nothing here goes to the network, and nothing is imported by a name that a file gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.smp_decoders import SMP_DECODERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


class Recipe(Protocol):
    """What `build` needs to know; `engine.spec.Architecture` is one."""

    @property
    def name(self) -> str:
        """The registered name."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of the architecture, as plain values."""


class Family(Protocol):
    """One registered architecture."""

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with random weights."""

    def stride_of(self, module: nn.Module) -> int:
        """Return what input sizes have to be multiples of, in pixels."""

    def channels_of(self, arguments: Mapping[str, Any]) -> tuple[int, int]:
        """Return how many channels the module reads and how many logits it gives."""

    @property
    def size_dependent(self) -> tuple[str, ...]:
        """Say why the answer at a place depends on the tile's size; empty if it does not."""


@dataclass(frozen=True)
class Facts:
    """What can be said about a network before it has seen an image.

    Attributes
    ----------
    stride
        What input sizes have to be multiples of, in pixels.
    size_dependent
        Why the answer at a place depends on the tile's size, for a person to read; empty if
        nothing about the architecture says so. Belongs into `ModelSpec.global_context`,
        together with `engine.network.modules_with_global_context`.
    in_channels, outputs
        How many channels it reads, and how many logits it gives for each pixel.
    """

    stride: int
    size_dependent: tuple[str, ...]
    in_channels: int
    outputs: int


ARCHITECTURES: Mapping[str, Family] = dict(SMP_DECODERS)
"""Every architecture that can be built, by its full name, such as "smp.Unet"."""


def full_name(name: str) -> str:
    """Return the registered name that `name` means: "unet" and "smp.unet" mean "smp.Unet".

    Raises
    ------
    CheckpointError
        If there is no such architecture; names the nearest one, and all there are.
    """
    wanted = name.strip().lower()
    by_alias = {alias: full for full in ARCHITECTURES for alias in _aliases(full)}
    if wanted in by_alias:
        return by_alias[wanted]
    near = get_close_matches(wanted, by_alias, n=1)
    hint = f" Did you mean '{by_alias[near[0]]}'?" if near else ""
    raise CheckpointError(
        f"There is no architecture '{name}'.{hint} There are: {', '.join(ARCHITECTURES)}."
    )


def _aliases(full: str) -> tuple[str, str]:
    return full.lower(), full.lower().rpartition(".")[2]


def build(recipe: Recipe) -> nn.Module:
    """Build a network with random weights, in evaluation mode; never goes to the network.

    Parameters
    ----------
    recipe
        Name and arguments. Weights that the arguments ask for ("imagenet") are not fetched.

    Returns
    -------
    A module from (B, channels, H, W) float32 to (B, classes, H, W) logits.

    Raises
    ------
    CheckpointError
        If the name is unknown, or an argument is unknown or does not fit.
    TilesegError
        If the library that the architecture comes from cannot be used here.
    """
    return ARCHITECTURES[full_name(recipe.name)].build(recipe.arguments).eval()


def stride_of(module: nn.Module, recipe: Recipe) -> int:
    """Return what the sizes of the module's input have to be multiples of, in pixels."""
    return ARCHITECTURES[full_name(recipe.name)].stride_of(module)


def facts(module: nn.Module, recipe: Recipe) -> Facts:
    """Return what a `ModelSpec` has to say about a module that `build` made."""
    family = ARCHITECTURES[full_name(recipe.name)]
    in_channels, outputs = family.channels_of(recipe.arguments)
    return Facts(family.stride_of(module), family.size_dependent, in_channels, outputs)
