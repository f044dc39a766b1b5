"""What a network reads and what its answer means: values without weights."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from napari_tileseg.errors import CheckpointError

MAX_CLASSES = 255
"""Labels are uint8 and 255 is taken, so class indices end at 254."""

NOT_COMPUTED = 255
"""The label of a pixel that no final tile has covered yet."""

# Okabe & Ito (2008), readable with every kind of colour blindness; then evenly spaced hues.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")


class Task(StrEnum):
    """What the outputs of a network stand for."""

    MULTICLASS = "multiclass"
    """One logit a class, softmax over them; a pixel is the class with the highest."""

    BINARY = "binary"
    """One logit in all, sigmoid; a pixel is foreground (1) above the threshold."""

    MULTILABEL = "multilabel"
    """One logit a class, sigmoid for each; a pixel can be several classes at once."""


class NormalisationKind(StrEnum):
    """Where the numbers come from that bring intensities into the network's range."""

    FIXED = "fixed"
    """uint8 / 255 (other dtypes: from their percentiles to 0-1), then a given mean and std."""

    PERCENTILE = "percentile"
    """Two percentiles of the whole image become 0 and 1, then a given mean and std."""

    ZSCORE = "zscore"
    """Mean and standard deviation of the whole image become 0 and 1."""

    NONE = "none"
    """Intensities are read as they are."""


@dataclass(frozen=True)
class Normalisation:
    """How intensities are brought into the range that a network was trained on.

    Attributes
    ----------
    kind
        See `NormalisationKind`.
    mean, std
        One number for all channels or one a channel, in units after scaling to 0-1.
    low, high
        The percentiles (0-100) that become 0 and 1.
    """

    kind: NormalisationKind = NormalisationKind.FIXED
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    low: float = 0.1
    high: float = 99.9

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)):
            raise CheckpointError("The normalisation of this model holds what is not a number.")
        if any(not value > 0 for value in self.std):
            raise CheckpointError("The normalisation of this model has a std that is not above 0.")
        if not 0 <= self.low < self.high <= 100:
            raise CheckpointError(
                f"The percentiles of this model are {self.low:g} and {self.high:g}; "
                "they have to rise, within 0 to 100."
            )


@dataclass(frozen=True)
class ClassInfo:
    """One class: its name, and its colour as "#rrggbb"."""

    name: str
    colour: str


def default_classes(count: int, *, background: bool = True) -> tuple[ClassInfo, ...]:
    """Return `count` classes with colours that colour-blind people can tell apart."""
    names = ["background"] if background else []
    names += [f"class {index}" for index in range(len(names), count)]
    return tuple(
        ClassInfo(name, default_colour(index - background)) for index, name in enumerate(names)
    )


def default_colour(index: int) -> str:
    """Return the colour of the `index`-th class that is not background (-1: background)."""
    if index < 0:
        return "#000000"
    if index < len(_COLOURS):
        return _COLOURS[index]
    hue = (index * 137.508) % 360  # the golden angle keeps neighbours far apart
    return _hsl_hex(hue, 0.65, 0.35 + 0.3 * (index % 3) / 2)


def _hsl_hex(hue: float, saturation: float, lightness: float) -> str:
    def channel(offset: float) -> int:
        k = (offset + hue / 30) % 12
        a = saturation * min(lightness, 1 - lightness)
        return round(255 * (lightness - a * max(-1, min(k - 3, 9 - k, 1))))

    return "#" + "".join(f"{channel(offset):02x}" for offset in (0, 8, 4))


@dataclass(frozen=True)
class Architecture:
    """A network without weights: its registered name (`models`) and its arguments."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """What a network reads and what its answer means.

    Attributes
    ----------
    name
        What a person calls the model.
    classes
        In the order of the label values. A binary model has two: background, foreground.
    channels
        What the network reads, in its order: "grey", or "red", "green", "blue", ...
    task, threshold
        The meaning of the logits; the threshold (0-1, after sigmoid) for all but multiclass.
    stride
        Total downsampling in pixels: tiles begin and end on its multiples.
    margin
        Context in pixels that the network uses up on every side: it is shown `size + 2 * margin`
        and answers for `size`, for every `size` that is a multiple of the stride. 0 for a
        network that pads its own borders.
    tile
        The tile size to suggest, in pixels.
    spatial_dims
        2 for images, 3 for volumes.
    global_context
        Names of the modules that look at their whole input, so that a tile differs from the
        same place in the whole image.
    pixel_size_um
        What the model was trained at, in micrometres per pixel; None if unknown.
    """

    name: str
    classes: tuple[ClassInfo, ...]
    channels: tuple[str, ...] = ("grey",)
    task: Task = Task.MULTICLASS
    threshold: float = 0.5
    normalisation: Normalisation = Normalisation()
    stride: int = 1
    margin: int = 0
    tile: int = 512
    spatial_dims: int = 2
    global_context: tuple[str, ...] = ()
    pixel_size_um: float | None = None

    def __post_init__(self) -> None:
        count = len(self.classes)
        if self.task is Task.BINARY and count != 2:
            raise CheckpointError(
                f"'{self.name}' has one output for foreground or background, "
                f"but names {count} classes; it needs two names."
            )
        if not 1 <= count <= MAX_CLASSES:
            raise CheckpointError(
                f"'{self.name}' has {count} classes; between 1 and {MAX_CLASSES} can be stored."
            )
        if self.task is Task.MULTICLASS and count < 2:
            raise CheckpointError(
                f"'{self.name}' has a single class, so every pixel would be that class. A network "
                "with one output is binary: foreground above a threshold, else background."
            )
        if len({one.name for one in self.classes}) != count:
            raise CheckpointError(f"'{self.name}' has two classes of the same name; rename one.")
        for one in self.classes:
            if not re.fullmatch("#[0-9a-fA-F]{6}", one.colour):
                raise CheckpointError(
                    f"The colour of '{one.name}' is '{one.colour}'; it has to be like '#e69f00'."
                )
        for what, value, least in (
            ("stride", self.stride, 1),
            ("margin", self.margin, 0),
            ("tile", self.tile, 1),
        ):
            if not isinstance(value, int) or value < least:
                raise CheckpointError(
                    f"The {what} of '{self.name}' is {value!r}; it has to be a number of pixels."
                )
        if self.spatial_dims not in (1, 2, 3):
            raise CheckpointError(
                f"'{self.name}' is for {self.spatial_dims!r} dimensions; there are 2 or 3."
            )
        if not self.channels:
            raise CheckpointError(f"'{self.name}' reads no channel at all.")
        if not 0 < self.threshold < 1:
            raise CheckpointError(f"The threshold of '{self.name}' is not between 0 and 1.")

    @property
    def n_outputs(self) -> int:
        """How many logits the network gives for each pixel."""
        return 1 if self.task is Task.BINARY else len(self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote; raise `CheckpointError` if it is something else."""
        try:
            plain = dict(values)
            plain["classes"] = tuple(ClassInfo(**one) for one in plain["classes"])
            plain["channels"] = tuple(plain["channels"])
            plain["task"] = Task(plain["task"])
            plain["global_context"] = tuple(plain.get("global_context", ()))
            scaling = dict(plain["normalisation"])
            plain["normalisation"] = Normalisation(
                kind=NormalisationKind(scaling.pop("kind")),
                mean=tuple(scaling.pop("mean")),
                std=tuple(scaling.pop("std")),
                **scaling,
            )
            return cls(**plain)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"The description inside this checkpoint cannot be read ({error}). "
                "It may come from a newer version: update napari-tileseg, or save it again."
            ) from error
