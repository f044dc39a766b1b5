"""A description for networks whose files have none: what can be known, and sensible defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.engine.global_context import with_facts
from napari_tileseg.engine.spec import (
    Architecture,
    ClassInfo,
    ModelSpec,
    Normalisation,
    NormalisationKind,
    Task,
    default_classes,
)
from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.encoders import intensities_of
from napari_tileseg.models.registry import facts, has_encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

_TILE = {2: 512, 3: 96}
"""By spatial dimensions: what fits into the memory of most computers."""

_CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}


def described(
    module: nn.Module,
    architecture: Architecture,
    name: str,
    classes: Sequence[str] | None = None,
    encoder_weights: str | None = None,
) -> ModelSpec:
    """Describe a network that came without a description.

    Parameters
    ----------
    module, architecture
        The network and how it was built.
    name
        What a person calls the model.
    classes
        Names in the order of the label values; None gives "background", "class 1", ...
    encoder_weights
        What the encoder once started from: decides about the intensities it expects.

    Raises
    ------
    CheckpointError
        If there are not as many names as the network has classes.
    """
    known = facts(module, architecture)
    spec = ModelSpec(
        name=name,
        classes=named_classes(classes, known.outputs, name),
        channels=default_channels(known.in_channels),
        task=Task.BINARY if known.outputs == 1 else Task.MULTICLASS,
        normalisation=_normalisation(architecture, known.in_channels, encoder_weights),
        tile=architecture.arguments.get("img_size")
        or default_tile(known.spatial_dims, known.stride),
    )
    return with_facts(spec, module, known)


def default_channels(count: int) -> tuple[str, ...]:
    """Return what channels are called until somebody knows better."""
    return _CHANNELS.get(count) or tuple(f"channel {index + 1}" for index in range(count))


def default_tile(spatial_dims: int, stride: int) -> int:
    """Return the tile to suggest for a network of any kind, in pixels."""
    return max(_TILE[spatial_dims], stride)


def _normalisation(
    architecture: Architecture, in_channels: int, encoder_weights: str | None
) -> Normalisation:
    if not has_encoder(architecture):
        return Normalisation()
    encoder = architecture.arguments.get("encoder_name", "resnet34")
    mean, std = intensities_of(encoder, in_channels, encoder_weights)
    return Normalisation(NormalisationKind.FIXED, mean, std)


def named_classes(
    names: Sequence[str] | None, outputs: int, model: str, task: Task = Task.MULTICLASS
) -> tuple[ClassInfo, ...]:
    """Return the classes of a network with `outputs` logits; a multilabel one has no background.

    Raises
    ------
    CheckpointError
        If there are not as many names as classes.
    """
    count = 2 if outputs == 1 else outputs
    defaults = default_classes(count, background=task is not Task.MULTILABEL)
    if names is None:
        if outputs == 1:
            return defaults[0], ClassInfo("foreground", defaults[1].colour)
        return defaults
    if outputs == 1 and len(names) == 1:
        names = ("background", *names)
    if len(names) != count:
        raise CheckpointError(
            f"'{model}' tells {count} classes apart (background included), but {len(names)} "
            f"names were given: {', '.join(names)}. Give {count} names, in the order of the "
            "label values."
        )
    return tuple(ClassInfo(n, one.colour) for n, one in zip(names, defaults, strict=True))
