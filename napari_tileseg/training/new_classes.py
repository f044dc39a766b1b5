"""A network for other classes than it had: old weights are kept, new classes begin unsure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_tileseg.engine.spec import Architecture, Task, default_classes
from napari_tileseg.errors import ModelFitError
from napari_tileseg.models import registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_tileseg.annotation.vouchings import Vouchings
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.spec import ClassInfo

_OUTPUTS = ("out_channels", "classes")
_TRANSPOSED = nn.modules.conv._ConvTransposeNd


def with_classes(
    network: Network, classes: Sequence[ClassInfo], meaning: Sequence[int] | None = None
) -> Network:
    """Return a network for the classes that a person has now; it shares no weights.

    Parameters
    ----------
    network
        The network as it is.
    classes
        What its labels are to be, in their order.
    meaning
        For each class of the network, which of `classes` it has become, -1 for none of them.
        None: the one of its name, else the one of its number.

    Returns
    -------
    A network whose output for a class is the mean of those that have become it. The output for
    a new class is the mean of all, so that before anything is learnt no pixel changes its
    label for it.

    Raises
    ------
    ModelFitError
        If its number of outputs cannot be changed.
    """
    old = network.spec
    now = became(old.classes, classes, meaning)
    if now == tuple(range(len(classes))):
        return replace(network, spec=replace(old, classes=tuple(classes)))
    if network.architecture is None or old.task is Task.MULTILABEL:
        raise ModelFitError(
            f"'{old.name}' has {len(old.classes)} classes, and it cannot be given other ones. "
            "Remove the classes that were added or merged, or choose another model."
        )
    if len(classes) == old.n_outputs:
        # which weights belong to classes shows where sizes differ: by way of one class more
        spare = replace(classes[0], name=f"not {classes[0].name}")
        wider = with_classes(network, (*classes, spare), now)
        return with_classes(wider, classes, (*range(len(classes)), -1))
    recipe = _recipe(network.architecture, len(classes))
    module = registry.build(recipe)
    from_rows = [[k for k, new in enumerate(now) if new == c] for c in range(len(classes))]
    shift = _logit(old.threshold) if old.task is Task.BINARY else None
    _carry_over(network.module, module, from_rows, shift)
    spec = replace(old, classes=tuple(classes), task=Task.MULTICLASS)
    return replace(network, module=module, spec=spec, architecture=recipe)


def brings_new(
    network: Network, classes: Sequence[ClassInfo], meaning: Sequence[int] | None = None
) -> bool:
    """Say whether one of the classes is none that a network knows; see `with_classes`."""
    return not set(range(len(classes))) <= set(became(network.spec.classes, classes, meaning))


def for_labels(classes: Sequence[ClassInfo], vouchings: Vouchings) -> tuple[ClassInfo, ...]:
    """Return classes, and as many more as the labels that are vouched for need."""
    more = default_classes(vouchings.highest + 1)[len(classes) :]
    taken = {one.name for one in classes}
    named = (replace(one, name=f"new {one.name}") if one.name in taken else one for one in more)
    return (*classes, *named)


def became(
    old: Sequence[ClassInfo], new: Sequence[ClassInfo], meaning: Sequence[int] | None
) -> tuple[int, ...]:
    """Return which of the new classes each old one has become, -1 for none; see `with_classes`."""
    return _by_name(old, new) if meaning is None else tuple(meaning)


def _by_name(old: Sequence[ClassInfo], new: Sequence[ClassInfo]) -> tuple[int, ...]:
    """Return what each class has become if only names are known: -1 if it is gone."""
    names = [one.name for one in new]
    kept = {one.name for one in old} & set(names)
    by_number = [k if k < len(names) and names[k] not in kept else -1 for k in range(len(old))]
    return tuple(
        names.index(one.name) if one.name in kept else by_number[k] for k, one in enumerate(old)
    )


def _recipe(architecture: Architecture, count: int) -> Architecture:
    name = next((one for one in _OUTPUTS if one in architecture.arguments), _OUTPUTS[-1])
    return Architecture(architecture.name, {**architecture.arguments, name: count})


@torch.no_grad()
def _carry_over(
    old: nn.Module, new: nn.Module, from_rows: list[list[int]], shift: float | None
) -> None:
    """Copy all weights, those of changed size class by class."""
    before = dict(old.named_modules())
    for name, layer in new.named_modules():
        own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        for kind, weight in own:
            found = getattr(before[name], kind).to(weight)
            for axis in range(weight.ndim):
                if found.shape[axis] != weight.shape[axis]:
                    answers = axis == int(isinstance(layer, _TRANSPOSED) and weight.ndim > 1)
                    found = _along(found, axis, from_rows, answers, kind, shift)
            weight.copy_(found)


def _along(
    weight: Tensor,
    axis: int,
    from_rows: list[list[int]],
    answers: bool,
    kind: str,
    shift: float | None,
) -> Tensor:
    """Rearrange the rows of a weight on one axis: of what it answers with, or of what it reads."""
    rows = weight.movedim(axis, 0)
    if shift is not None and len(rows) == 1:
        # one logit against 0 is two of them, of which the first is always 0
        rows = torch.cat([torch.zeros_like(rows), rows - (shift if kind == "bias" else 0.0)])
    fresh = rows.mean(0) if answers else torch.zeros_like(rows[0])
    made = [rows[some].mean(0) if some else fresh for some in from_rows]
    return torch.stack(made).movedim(0, axis)


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
