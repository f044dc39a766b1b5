"""ONNX networks out of files: tried in another process, then described as far as they say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import (
    Architecture,
    ModelSpec,
    Normalisation,
    NormalisationKind,
    Task,
)
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io import own_format
from napari_tileseg.io.bare_weights import ASSUMED
from napari_tileseg.io.onnx_content import OnnxContent
from napari_tileseg.io.onnx_recipes import Said, recipe_of, tried
from napari_tileseg.io.specs import default_channels, default_tile, named_classes
from napari_tileseg.models import registry
from napari_tileseg.models.onnx_family import ANSWERS, NAME
from napari_tileseg.models.onnx_net import OnnxNet
from napari_tileseg.models.recognised import Recognised, Unseen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

KINDS = tuple(one.value for one in NormalisationKind)
_SAYABLE = ("in_channels", "classes", "answers", "normalisation", "stride", "margin")


def read_onnx(
    path: Path, architecture: Architecture | None, classes: Sequence[str] | None
) -> Network:
    """Read an ONNX file, and the files with weights beside it.

    Parameters
    ----------
    path
        The file.
    architecture
        What it does not say, as arguments of the architecture "onnx".
    classes
        Names in the order of the label values.

    Raises
    ------
    CheckpointError
        If it is damaged or harmful, or no network that segments tiles.
    TilesegError
        If the libraries that read and run it are not installed.
    """
    found = OnnxContent.of_file(path)
    stored = found.metadata.get(own_format.KEY)
    if stored is not None:
        described = own_format.read(stored, path.name)
        answers = described.architecture.arguments.get("answers")
        network = as_described(
            found, described.spec, classes, answers if answers in ANSWERS else None
        )
        return replace(network, provenance=described.provenance)
    said = _said(architecture, path.name)
    recipe = recipe_of(found, said)
    network = network_of(found, recipe, _spec(found, recipe, said, path.stem, classes))
    told = () if architecture is None else architecture.arguments
    network.provenance[ASSUMED] = _assumptions(found, told, named=classes is not None)
    return network


def look_at(path: Path) -> list[Recognised] | None:
    """Tell what an ONNX file says, for whoever is asked the rest; None if it says all."""
    found = OnnxContent.of_file(path)
    if own_format.KEY in found.metadata:
        return None
    arguments = recipe_of(found, Said()).arguments
    seen = {name: arguments[name] for name in ("in_channels", "classes")}
    open_to = ("answers", "what it answers with", arguments["answers"], ANSWERS)
    unseen = () if found.answers else (Unseen(*open_to),)
    return [Recognised(NAME, seen, {}, unseen, called="an ONNX network")]


def as_described(
    found: OnnxContent, spec: ModelSpec, classes: Sequence[str] | None, answers: str | None = None
) -> Network:
    """Return a network of which somebody else says how it is to be used.

    Raises
    ------
    CheckpointError
        If the two contradict each other.
    """
    said = Said(len(spec.channels), spec.stride, spec.margin, spec.n_outputs, answers)
    recipe = recipe_of(found, said)
    if classes is not None:
        spec = replace(spec, classes=named_classes(classes, spec.n_outputs, spec.name, spec.task))
    return network_of(found, recipe, spec)


def network_of(found: OnnxContent, recipe: Architecture, spec: ModelSpec) -> Network:
    """Put an ONNX network and its description together."""
    module = registry.build(recipe)
    assert isinstance(module, OnnxNet)
    module.content = torch.frombuffer(bytearray(found.content), dtype=torch.uint8)
    module.called = f"The ONNX network '{found.name}'"
    known = registry.facts(module, recipe)
    own_format.check_fit(spec, known, found.name)
    spec = replace(spec, stride=known.stride, margin=known.margin, spatial_dims=known.spatial_dims)
    if module.side is not None:
        # where it is bound to its tile, nothing is gained by seeing the image as a whole
        spec = replace(spec, tile=module.side - 2 * module.margin, global_context=())
    return Network(module, spec, recipe, {})


def check_stored(module: OnnxNet, name: str) -> None:
    """See that what one of our own files brings along is a network that can be run.

    Raises
    ------
    CheckpointError
        If it is damaged or harmful.
    """
    found = OnnxContent(module.content.numpy().tobytes(), name)
    tried(found, Said())


def _spec(
    found: OnnxContent,
    recipe: Architecture,
    said: Said,
    name: str,
    classes: Sequence[str] | None,
) -> ModelSpec:
    outputs, dims = recipe.arguments["classes"], recipe.arguments["spatial_dims"]
    task = Task.BINARY if outputs == 1 else Task.MULTICLASS
    if outputs > 1 and recipe.arguments["answers"] == "sigmoid":
        task = Task.MULTILABEL
    return ModelSpec(
        name=name,
        classes=named_classes(classes, outputs, name, task),
        channels=default_channels(recipe.arguments["in_channels"]),
        task=task,
        normalisation=said.normalisation or Normalisation(),
        tile=default_tile(dims, recipe.arguments["stride"]),
    )


def _said(architecture: Architecture | None, name: str) -> Said:
    if architecture is None:
        return Said()
    if architecture.name != NAME:
        raise CheckpointError(
            f"'{name}' is an ONNX network, and no {architecture.name}. Leave out the architecture, "
            "or give what the file does not say as: --arch onnx answers=sigmoid"
        )
    given = architecture.arguments
    choices = {"answers": ANSWERS, "normalisation": KINDS}
    for one, value in given.items():
        if one not in _SAYABLE or (one in choices and value not in choices[one]):
            allowed = ", ".join(choices.get(one, _SAYABLE))
            raise CheckpointError(
                f"'{one}={value}' cannot be said of the ONNX network '{name}'. Give one of: "
                f"{allowed}."
            )
        if one not in choices and (type(value) is not int or not 0 <= value <= 4096):
            raise CheckpointError(f"{one} of '{name}' is {value!r}; give a whole number.")
    kind = given.get("normalisation")
    return Said(
        in_channels=given.get("in_channels"),
        stride=given.get("stride"),
        margin=given.get("margin", 0),
        outputs=given.get("classes"),
        answers=given.get("answers"),
        normalisation=None if kind is None else Normalisation(NormalisationKind(kind)),
    )


def _assumptions(found: OnnxContent, told: Mapping[str, Any] | tuple[()], *, named: bool) -> str:
    """Say in one sentence what the file does not tell, and what is taken for it."""
    open_to = []
    if "normalisation" not in told:
        open_to.append("which intensities it expects (normalisation=fixed, 0 to 1, is assumed)")
    if "answers" not in told and found.answers is None:
        open_to.append("whether it answers with logits (answers=logits is assumed)")
    if not named:
        open_to.append("what its classes are called")
    if not open_to:
        return ""
    listed = f"{', '.join(open_to[:-1])} and {open_to[-1]}" if len(open_to) > 1 else open_to[0]
    return f"The ONNX file does not say {listed}."
