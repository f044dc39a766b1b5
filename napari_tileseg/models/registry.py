"""Architectures by name: from a name and its arguments to a torch module without weights.

Nothing here goes to the network, and nothing is imported by a name that a file gives.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.flexible import FLEXIBLE_UNETS
from napari_tileseg.models.monai_nets import MONAI_NETS
from napari_tileseg.models.onnx_family import NAME as ONNX_NAME
from napari_tileseg.models.onnx_family import ONNX
from napari_tileseg.models.ours import OWN_NETS
from napari_tileseg.models.scratch import SCRATCH_UNET
from napari_tileseg.models.smp_decoders import SMP_DECODERS
from napari_tileseg.models.torchvision_nets import TORCHVISION_NETS
from napari_tileseg.models.unet_family import NAME, OriginalUnetFamily
from napari_tileseg.models.xt_family import XT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from napari_tileseg.models.arguments import Argument
    from napari_tileseg.models.facts import Facts


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

    @property
    def summary(self) -> str:
        """What it is, in one sentence."""

    def arguments(self) -> tuple[Argument, ...]:
        """Return what can be given; may import the library that it comes from."""

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with random weights."""

    def facts_of(self, module: nn.Module, arguments: Mapping[str, Any]) -> Facts:
        """Return what a description has to say about a module that `build` made."""

    @property
    def has_encoder(self) -> bool:
        """Whether it takes an encoder by name ("encoder_name"); others may have their own."""


ARCHITECTURES: dict[str, Family] = {
    **SMP_DECODERS,
    **FLEXIBLE_UNETS,
    NAME: OriginalUnetFamily(),
    **OWN_NETS,
    SCRATCH_UNET.name: SCRATCH_UNET,
    XT.name: XT,
    **TORCHVISION_NETS,
    **MONAI_NETS,
}
"""Every architecture that can be built, by its full name, such as "smp.Unet"."""

ARCHITECTURE = "smp.Unet"
"""What a new network is unless told otherwise."""


_FROM_FILES: dict[str, Family] = {ONNX_NAME: ONNX}
"""What only files can bring along, so that nobody is offered it for training."""


def _family(name: str) -> Family:
    return _FROM_FILES.get(name) or ARCHITECTURES[full_name(name)]


def full_name(name: str) -> str:
    """Return the registered name that `name` means: "unet" and "smp.unet" mean "smp.Unet".

    Raises
    ------
    CheckpointError
        If there is no such architecture; names the nearest one, and all there are.
    """
    wanted = name.strip().lower()
    # where two libraries have the same name, it means the one that always is installed
    by_alias = {alias: full for full in reversed(ARCHITECTURES) for alias in _aliases(full)}
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
    A module from (B, channels, *spatial) float32 to (B, classes, *spatial) logits; what it
    answers is smaller than its input if it has a margin.

    Raises
    ------
    CheckpointError
        If the name is unknown, or an argument is unknown or does not fit.
    TilesegError
        If the library that the architecture comes from cannot be used here.
    """
    return _family(recipe.name).build(recipe.arguments).eval()


def facts(module: nn.Module, recipe: Recipe) -> Facts:
    """Return what a `ModelSpec` has to say about a module that `build` made."""
    return _family(recipe.name).facts_of(module, recipe.arguments)


def has_encoder(recipe: Recipe) -> bool:
    """Say whether an architecture takes an encoder by name, and weights for it."""
    return _family(recipe.name).has_encoder
