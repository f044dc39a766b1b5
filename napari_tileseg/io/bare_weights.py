"""Weights without a description: the architecture is found, or given, and the rest assumed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, Normalisation, NormalisationKind
from napari_tileseg.errors import CheckpointError, SettingsError
from napari_tileseg.io.specs import described
from napari_tileseg.io.state_dicts import fill, outputs_of
from napari_tileseg.models import registry
from napari_tileseg.models.recognise import recognise, recognise_as
from napari_tileseg.models.recognised import NORMALISATION

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from napari_tileseg.io.state_dicts import Weights
    from napari_tileseg.models.recognised import Recognised, Shapes

ASSUMED = "assumed"
"""Where a network's provenance says what its weights did not tell."""

_SHOWN = 4


def network_of(
    path: Path,
    weights: Weights,
    architecture: Architecture | None,
    classes: Sequence[str] | None,
) -> Network:
    """Build the network that bare weights belong to.

    Parameters
    ----------
    path
        Where they come from.
    weights
        All of them, by name.
    architecture
        How to build it, as far as that is known; None finds it from names and shapes. With
        `NORMALISATION` among its arguments it says too which intensities it expects.
    classes
        Names in the order of the label values.

    Raises
    ------
    CheckpointError
        If the architecture is needed and cannot be found, or the weights do not fit it.
    """
    said = dict(architecture.arguments) if architecture is not None else {}
    if architecture is None or NORMALISATION not in said:
        return _network_of(path, weights, architecture, classes)
    kind = said.pop(NORMALISATION)
    if kind not in list(NormalisationKind):
        raise SettingsError(
            f"{NORMALISATION}={kind} is none of {', '.join(NormalisationKind)}. Choose one of them."
        )
    network = _network_of(path, weights, Architecture(architecture.name, said), classes, said=True)
    return with_normalisation(network, NormalisationKind(kind))


def with_normalisation(network: Network, kind: NormalisationKind) -> Network:
    """Return a network that expects intensities in this way; its own figures stay if it does."""
    usual = network.spec.normalisation
    wanted = usual if kind is usual.kind else Normalisation(kind)
    return replace(network, spec=replace(network.spec, normalisation=wanted))


def _network_of(
    path: Path,
    weights: Weights,
    architecture: Architecture | None,
    classes: Sequence[str] | None,
    *,
    said: bool = False,
) -> Network:
    if architecture is None:
        found = _only_one(recognise(_shapes(weights)), path.name)
        return _built(path, weights, found, Architecture(found.name, found.arguments), classes)
    name = registry.full_name(architecture.name)
    found_as = recognise_as(_shapes(weights), name, architecture.arguments)
    if found_as is not None:
        recipe = Architecture(name, {**found_as.arguments, **architecture.arguments})
        given = {*architecture.arguments, *([NORMALISATION] if said else [])}
        return _built(path, weights, found_as, recipe, classes, given=given)
    arguments = dict(architecture.arguments)
    outputs = outputs_of(weights)
    if outputs is not None:
        arguments.setdefault("classes", outputs)
    return _filled(path, weights, Architecture(name, arguments), classes)


def recognised(weights: Weights) -> list[Recognised]:
    """Return the architectures that weights fit exactly."""
    return recognise(_shapes(weights))


def _built(
    path: Path,
    weights: Weights,
    found: Recognised,
    recipe: Architecture,
    classes: Sequence[str] | None,
    given: Collection[str] = (),
) -> Network:
    own = {name: weights[source] for name, source in found.sources.items()}
    network = _filled(path, own, recipe, classes)
    network.provenance[ASSUMED] = found.assumptions(given, named=classes is not None)
    return network


def _filled(
    path: Path, weights: Weights, recipe: Architecture, classes: Sequence[str] | None
) -> Network:
    module = registry.build(recipe)
    fill(module, weights, path.name, recipe.name)
    return Network(module, described(module, recipe, path.stem, classes), recipe, {})


def _only_one(found: list[Recognised], file_name: str) -> Recognised:
    if len(found) == 1:
        return found[0]
    example = (
        "Give the architecture and its arguments, for example "
        "Architecture('smp.Unet', {'encoder_name': 'resnet34'}), or on the command line "
        "--arch smp.Unet encoder_name=resnet34; what the weights tell need not be given."
    )
    if not found:
        raise CheckpointError(
            f"'{file_name}' holds weights, but not how to build their network, and their names "
            f"and shapes are those of no network that is known here. {example}"
        )
    choices = [_distinguished(one, found) for one in found]
    more = ", ..." if len(choices) > _SHOWN else ""
    raise CheckpointError(
        f"'{file_name}' holds weights that fit more than one network exactly: "
        f"{'; '.join(choices[:_SHOWN])}{more}. {example}"
    )


def _distinguished(one: Recognised, others: list[Recognised]) -> str:
    """Name an architecture with the arguments in which it differs from the others."""
    told = [
        f"{name}={value}"
        for name, value in one.arguments.items()
        if any(other.arguments.get(name) != value for other in others)
    ]
    return " ".join([one.name, *told])


def _shapes(weights: Weights) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}
