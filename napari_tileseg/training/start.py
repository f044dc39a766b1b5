"""A new network to train: an architecture, perhaps with a pretrained encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg.engine.global_context import with_facts
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import (
    Architecture,
    ClassInfo,
    ModelSpec,
    Normalisation,
    NormalisationKind,
    Task,
    default_classes,
)
from napari_tileseg.errors import SettingsError
from napari_tileseg.models import registry
from napari_tileseg.models.encoders import ENCODER, NONE
from napari_tileseg.models.pretrained import FileWeights, load_encoder_weights
from napari_tileseg.models.registry import ARCHITECTURE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

ENCODER_NOTE = "encoder"
"""Where a network's provenance says that its encoder did not begin as it was asked for."""


def new_network(
    name: str,
    classes: Sequence[str],
    channels: Sequence[str],
    *,
    architecture: str = ARCHITECTURE,
    encoder: str = ENCODER,
    encoder_weights: str | FileWeights | None = None,
    normalise: NormalisationKind = NormalisationKind.ZSCORE,
    tile: int = 512,
    pixel_size_um: float | None = None,
    seed: int = 0,
    arguments: Mapping[str, Any] | None = None,
) -> Network:
    """Build a network with random weights, but for its encoder if weights are given.

    Parameters
    ----------
    name
        What a person calls the model.
    classes, channels
        Names of what it finds, in the order of the label values, and of what it reads. A
        single name is that of the foreground: the network has one output, and two classes.
    architecture, encoder, encoder_weights
        See `models.registry.build` and `models.pretrained.load_encoder_weights`.
    normalise
        Whole-image statistics by default: they hold for cameras of any range.
    tile, pixel_size_um
        What it will be trained at.
    seed
        Equal seeds give equal weights.
    arguments
        More arguments of the architecture.

    Raises
    ------
    CheckpointError
        If there is no such architecture, encoder or weights, or they do not fit.
    SettingsError
        If the single name is "background", or there are weights for an encoder but no encoder.
    """
    given = {"in_channels": len(channels), "classes": len(classes), **(arguments or {})}
    widths = given.get("decoder_channels")
    if isinstance(widths, (list, tuple)):  # of a U-Net: one for each level of the encoder
        given.setdefault("encoder_depth", len(widths))
    recipe = Architecture(registry.full_name(architecture), given)
    module, fallen_back = _random_module(recipe, encoder, encoder_weights, seed)
    spec = ModelSpec(
        name=name,
        classes=_classes(classes),
        channels=tuple(channels),
        task=Task.BINARY if len(classes) == 1 else Task.MULTICLASS,
        normalisation=Normalisation(kind=normalise),
        tile=tile,
        pixel_size_um=pixel_size_um,
    )
    spec = with_facts(spec, module, registry.facts(module, recipe))
    return Network(module, spec, recipe, {ENCODER_NOTE: fallen_back} if fallen_back else {})


def _random_module(
    recipe: Architecture, encoder: str, encoder_weights: str | FileWeights | None, seed: int
) -> tuple[nn.Module, str]:
    """Build what a recipe says, which is told its encoder if it takes one; and what to say."""
    if registry.has_encoder(recipe):
        recipe.arguments.setdefault("encoder_name", encoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = registry.build(recipe)
    if encoder_weights in (None, NONE):
        return module, ""
    # some architectures have one and the same encoder always
    inside = recipe.arguments.get("encoder_name") or getattr(module, "encoder_name", "")
    if not inside:
        raise SettingsError(
            f"{recipe.name} has no encoder that weights could be put into. Let it begin with "
            f"random weights (--encoder-weights {NONE}), or choose an architecture with an "
            f"encoder, such as {ARCHITECTURE}."
        )
    return module, load_encoder_weights(module, inside, encoder_weights)


def _classes(names: Sequence[str]) -> tuple[ClassInfo, ...]:
    both = with_background(names[0]) if len(names) == 1 else names
    colours = (one.colour for one in default_classes(len(both)))
    return tuple(ClassInfo(name, colour) for name, colour in zip(both, colours, strict=True))


def with_background(name: str, background: str = "background") -> tuple[str, str]:
    """Return the names of both classes of a network that finds one thing.

    Raises
    ------
    SettingsError
        If both would be the same.
    """
    if name == background:
        raise SettingsError(f"The only class is called '{name}': name what is to be found.")
    return background, name
