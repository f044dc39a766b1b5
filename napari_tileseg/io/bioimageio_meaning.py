"""What the description of a bioimage.io package means for our engine, or why it cannot run it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.engine.spec import (
    ClassInfo,
    ModelSpec,
    Normalisation,
    NormalisationKind,
    Task,
    default_classes,
)
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io import own_format
from napari_tileseg.io.limits import shown
from napari_tileseg.io.specs import default_channels, default_tile, named_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AXES = {2: "bcyx", 3: "bczyx"}
_SAYS_NOTHING = ("probability", "probabilities", "logits", "output", "foreground", "mask")
_OTHERWISE = "Use another package, or open its weights by themselves."
_MICROMETRES = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3}


@dataclass(frozen=True)
class Meaning:
    """How a network is shown pixels, and what its answer stands for.

    Attributes
    ----------
    name, in_channels, outputs, channel_names
        What the description says; None where it does not.
    spatial_dims, stride, margin, tile, pixel_size_um
        See `ModelSpec`.
    normalisation
        What its preprocessing comes to.
    sigmoid, softmax, threshold
        What its postprocessing does.
    in_range
        Whether its answer lies between 0 and 1.
    provenance, assumed
        What a person should know of it.
    described
        What we ourselves have written into it, if we have.
    """

    name: str
    in_channels: int
    outputs: int
    channel_names: tuple[str, ...]
    spatial_dims: int
    stride: int | None
    margin: int
    tile: int | None
    pixel_size_um: float | None
    normalisation: Normalisation
    sigmoid: bool
    softmax: bool
    threshold: float
    in_range: bool
    provenance: dict[str, Any] = field(default_factory=dict)
    assumed: str = ""
    described: ModelSpec | None = None

    def answers(self, seen: str | None) -> str:
        """Return what the weights themselves answer with, given how the network ends."""
        if self.sigmoid or self.softmax:
            return "logits"
        if not self.in_range:
            return seen or "logits"
        return seen or ("sigmoid" if self.outputs == 1 else "softmax")

    def spec(self, outputs: int, answers: str) -> ModelSpec:
        """Return the description of the network; `CheckpointError` if it contradicts it."""
        if self.described is not None:
            return self.described
        several = self.sigmoid or answers == "sigmoid"
        task = Task.MULTICLASS
        if outputs == 1:
            task = Task.BINARY
        elif several:
            task = Task.MULTILABEL
        return ModelSpec(
            name=self.name,
            classes=_classes(self.channel_names, outputs, task, self.name),
            channels=default_channels(self.in_channels),
            task=task,
            threshold=self.threshold,
            normalisation=self.normalisation,
            tile=self.tile or default_tile(self.spatial_dims, self.stride or 1),
            pixel_size_um=self.pixel_size_um,
        )


def meaning_of(described: Any, name: str) -> Meaning:
    """Read a description of bioimage.io.

    Parameters
    ----------
    described
        A `bioimageio.spec.model.v0_5.ModelDescr`.
    name
        What the package is called, for messages.

    Raises
    ------
    CheckpointError
        If our engine has not got what it asks for; names it.
    """
    if len(described.inputs) != 1 or len(described.outputs) != 1:
        raise CheckpointError(
            f"'{name}' reads {len(described.inputs)} arrays and answers with "
            f"{len(described.outputs)}; one of each can be used. {_OTHERWISE}"
        )
    (given,), (answer,) = described.inputs, described.outputs
    dims = _dims(given, name, "reads")
    if _dims(answer, name, "answers with") != dims:
        raise CheckpointError(f"'{name}' does not answer for every pixel it reads. {_OTHERWISE}")
    in_channels, names = len(_channels(given)), tuple(map(str, _channels(answer)))
    stride, tile = _sizes(given, dims, name)
    margin = _margin(given, answer, dims, name)
    done = _postprocessing(answer, name)
    stored = (described.config.model_extra or {}).get(own_format.KEY)
    own = None if stored is None else own_format.read(str(stored), name)
    halo = {int(getattr(axis, "halo", 0)) for axis in answer.axes[-dims:]}
    provenance = {
        "package": shown(described.name),
        "licence": shown(described.license or "not said"),
        "authors": [shown(one.name) for one in described.authors or ()],
        "halo_px": max(halo),
    }
    return Meaning(
        name=shown(described.name),
        in_channels=in_channels,
        outputs=len(names),
        channel_names=names,
        spatial_dims=dims,
        stride=stride,
        margin=margin,
        tile=None if tile is None else tile - 2 * margin,
        pixel_size_um=_pixel_size(given, dims),
        normalisation=_preprocessing(given, in_channels, dims, name),
        in_range=_in_range(answer),
        provenance=provenance if own is None else own.provenance,
        described=None if own is None else own.spec,
        **done,
    )


def _dims(tensor: Any, name: str, does: str) -> int:
    axes = "".join(axis.type[0] if axis.type != "space" else str(axis.id) for axis in tensor.axes)
    for dims, wanted in _AXES.items():
        if axes == wanted:
            return dims
    raise CheckpointError(
        f"'{name}' {does} an array with the axes {shown(axes)}; {' or '.join(_AXES.values())} can "
        f"be used. {_OTHERWISE}"
    )


def _channels(tensor: Any) -> list[Any]:
    return list(tensor.axes[1].channel_names)


def _sizes(tensor: Any, dims: int, name: str) -> tuple[int | None, int | None]:
    """Return what sizes of tiles are multiples of, and a good one; None where that is open."""
    sizes = [axis.size for axis in tensor.axes[-dims:]]
    if all(isinstance(one, int) for one in sizes):
        return None, max(sizes)
    if any(not hasattr(one, "step") for one in sizes):
        raise CheckpointError(
            f"'{name}' reads tiles whose sizes depend on each other or on the image. {_OTHERWISE}"
        )
    step, least = max(one.step for one in sizes), max(one.min for one in sizes)
    return step, least + max(0, -(-(default_tile(dims, 1) - least) // step)) * step


def _margin(given: Any, answer: Any, dims: int, name: str) -> int:
    """Return how much smaller an answer is than its tile, on every side."""
    lost = set()
    for ours, theirs in zip(given.axes[-dims:], answer.axes[-dims:], strict=True):
        size, offset = theirs.size, getattr(theirs.size, "offset", None)
        if isinstance(size, int) and isinstance(ours.size, int):
            offset = size - ours.size
        scale = getattr(theirs, "scale", 1.0) != getattr(ours, "scale", 1.0)
        refers = getattr(size, "axis_id", ours.id) == ours.id
        if offset is None or offset > 0 or offset % 2 or scale or not refers:
            raise CheckpointError(
                f"'{name}' answers at another size or resolution than it reads ({ours.id}). "
                f"{_OTHERWISE}"
            )
        lost.add(-offset // 2)
    if len(lost) != 1:
        raise CheckpointError(f"'{name}' loses a margin on some sides only. {_OTHERWISE}")
    return int(lost.pop())


def _pixel_size(tensor: Any, dims: int) -> float | None:
    found = {
        axis.scale * _MICROMETRES[axis.unit]
        for axis in tensor.axes[-dims:]
        if axis.unit in _MICROMETRES
    }
    return float(found.pop()) if len(found) == 1 else None


def _preprocessing(tensor: Any, channels: int, dims: int, name: str) -> Normalisation:
    """Bring a chain of steps to the form: scale by the image, then by fixed numbers."""
    kind, low, high = None, 0.1, 99.9
    gain, offset = np.ones(channels), np.zeros(channels)
    for step in tensor.preprocessing:
        said = step.kwargs
        untouched = kind is None and bool((gain == 1).all() and (offset == 0).all())
        if step.id == "ensure_dtype" and (
            "float" in said.dtype or (untouched and said.dtype == tensor.dtype)
        ):
            continue
        if step.id == "zero_mean_unit_variance" and untouched:
            _check_axes(said.axes, tensor, channels, dims, name, step.id)
            kind = NormalisationKind.ZSCORE
        elif step.id == "scale_range" and untouched and said.reference_tensor in (None, tensor.id):
            _check_axes(said.axes, tensor, channels, dims, name, step.id)
            kind, low, high = NormalisationKind.PERCENTILE, said.min_percentile, said.max_percentile
        elif step.id == "scale_linear":
            more = _each(said.gain, said, name, channels)
            gain, offset = gain * more, offset * more + _each(said.offset, said, name, channels)
        elif step.id == "fixed_zero_mean_unit_variance":
            mean, std = (_each(one, said, name, channels) for one in (said.mean, said.std))
            gain, offset = gain / std, (offset - mean) / std
        else:
            raise _no_such_step(name, step.id, "preprocessing")
    if (gain <= 0).any():
        raise _no_such_step(name, "scale_linear with a negative gain", "preprocessing")
    fixed = bool((gain != 1).any() or (offset != 0).any())
    if kind is None and not fixed:
        return Normalisation(NormalisationKind.NONE)
    if kind is None:
        if tensor.dtype != "uint8":
            raise _no_such_step(name, f"fixed numbers for {tensor.dtype} images", "preprocessing")
        kind, gain = NormalisationKind.FIXED, gain * 255  # which begins with a division by 255
    return Normalisation(kind, _few(-offset / gain), _few(1 / gain), low, high)


def _few(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Return one number if all channels have the same."""
    rounded = [float(f"{one:.9g}") + 0.0 for one in values]
    return (rounded[0],) if len(set(rounded)) == 1 else tuple(rounded)


def _each(value: Any, said: Any, name: str, channels: int) -> NDArray[np.float64]:
    values = np.atleast_1d(np.asarray(value, np.float64))
    along = str(getattr(said, "axis", "channel"))
    if along != "channel" or values.size not in (1, channels):
        raise _no_such_step(name, f"fixed numbers along the axis {shown(along)}", "preprocessing")
    return np.broadcast_to(values, (channels,))


def _check_axes(axes: Any, tensor: Any, channels: int, dims: int, name: str, step: str) -> None:
    """Raise `CheckpointError` unless statistics are those of all pixels of one channel."""
    all_axes = [str(axis.id) for axis in tensor.axes]
    over = set(all_axes if axes is None else map(str, axes))
    if not set(all_axes[-dims:]) <= over or ("channel" in over and channels > 1):
        raise _no_such_step(
            name, f"{step} over the axes {', '.join(sorted(over))}", "preprocessing"
        )


def _no_such_step(name: str, step: str, when: str) -> CheckpointError:
    return CheckpointError(
        f"'{name}' asks for '{shown(step)}' in its {when}, which is not there in this order. "
        f"{_OTHERWISE}"
    )


def _postprocessing(tensor: Any, name: str) -> dict[str, Any]:
    sigmoid = softmax = False
    threshold = 0.5
    for step in tensor.postprocessing:
        if step.id == "ensure_dtype":
            continue
        if step.id == "sigmoid" and not softmax:
            sigmoid = True
        elif step.id == "softmax" and not sigmoid and str(step.kwargs.axis) == "channel":
            softmax = True
        elif step.id == "binarize" and isinstance(getattr(step.kwargs, "threshold", None), float):
            threshold = float(step.kwargs.threshold)
        else:
            raise _no_such_step(name, step.id, "postprocessing")
    return {"sigmoid": sigmoid, "softmax": softmax, "threshold": threshold}


def _in_range(tensor: Any) -> bool:
    data = tensor.data
    return not isinstance(data, (list, tuple)) and tuple(getattr(data, "range", ())) == (0.0, 1.0)


def _classes(names: tuple[str, ...], outputs: int, task: Task, model: str) -> tuple[ClassInfo, ...]:
    telling = len(names) == outputs and not any(
        one.rstrip("0123456789").lower() in (*_SAYS_NOTHING, "channel") for one in names
    )
    if not telling or len(set(names)) < len(names) or names == ("background",):
        return named_classes(None, outputs, model, task)
    if task is Task.MULTILABEL:
        colours = default_classes(outputs, background=False)
        return tuple(ClassInfo(shown(n), one.colour) for n, one in zip(names, colours, strict=True))
    return named_classes([shown(one) for one in names], outputs, model, task)
