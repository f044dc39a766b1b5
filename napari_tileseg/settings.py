"""Every knob once: its default, bounds, label, unit and help stand together here.

The form in the dock, the options of the command line and the settings saved with a
result are all made from these frozen classes, so they cannot disagree.
"""

from __future__ import annotations

import math
import numbers
import operator
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self, get_args, get_origin, get_type_hints

from napari_tileseg.errors import SettingsError


class Choice(StrEnum):
    """An option among named ones; a subclass gives each member its label and its help."""

    label: str
    help: str

    def __new__(cls, value: str, label: str = "", help: str = "") -> Self:  # noqa: A002, D102
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        member.help = help
        return member

    @classmethod
    def _missing_(cls, value: object) -> Self:
        wanted = str(value).strip().lower()
        for member in cls:
            if wanted == member.value:
                return member
        options = ", ".join(member.value for member in cls)
        raise SettingsError(f"'{value}' is not one of: {options}.")


class Blend(Choice):
    """How overlapping tiles share a pixel; `engine.blend` holds the windows."""

    CONSTANT = "constant", "Constant", "every tile counts the same, also at its border"
    GAUSSIAN = "gaussian", "Gaussian", "the middle of a tile counts most; hides seams best"
    PYRAMID = "pyramid", "Pyramid", "falls off linearly towards the border of a tile"
    HANN = "hann", "Hann", "falls off smoothly to nothing at the border of a tile"
    CROP = "crop", "Crop", "borders are context only: each pixel comes from one tile"


class Mode(Choice):
    """How an image is handed to the network."""

    AUTO = "auto", "Automatic", "the cheapest way whose labels stay within the tolerance"
    BLEND = "blend", "Tiles", "overlapping tiles, blended; any image size"
    EXACT = "exact", "Exact tiles", "tiles with all the context they need: equal to the whole image"
    CALIBRATED = (
        "calibrated",
        "Calibrated tiles",
        "tiles with as much context as this image needs to stay within the tolerance",
    )
    FROZEN_NORM = (
        "frozen-norm",
        "Frozen norms",
        "for networks that normalise each tile by itself: one normalisation for the whole image, "
        "so no seams; much slower",
    )
    WHOLE = "whole", "Whole image", "no tiles, no seams; needs memory for all of it at once"

    @property
    def crops(self) -> bool:
        """Whether each pixel comes from one tile, so that there is nothing to blend."""
        return self in (Mode.EXACT, Mode.CALIBRATED, Mode.FROZEN_NORM)


class Precision(Choice):
    """The number format the network computes in; merging is always exact."""

    AUTO = "auto", "Automatic", "half precision where a comparison shows it faster and harmless"
    FP32 = "fp32", "Full (fp32)", "32-bit floating point"
    BF16 = "bf16", "Half (bf16)", "faster on recent devices; a few pixels may differ"
    FP16 = "fp16", "Half (fp16)", "faster on GPUs; a few pixels may differ"


class Tta(Choice):
    """Whether turned and mirrored copies of each tile are asked too (test-time augmentation)."""

    NONE = "none", "None", "each tile is seen once, as it is"
    FLIPS = "flips", "Mirrored", "also mirrored along each axis: 4 times the work, 8 in 3-D"
    D4 = "d4", "Mirrored and turned", "all 8 ways a square can lie: 8 times the work"


class TtaMean(Choice):
    """What is averaged over the copies of a tile."""

    LOGITS = "logits", "Logits", "one very sure answer can decide; as when tiles are blended"
    PROBABILITIES = "probabilities", "Probabilities", "every copy counts the same"


@dataclass(frozen=True)
class Knob:
    """What a person is told about one setting, and what it accepts.

    Attributes
    ----------
    label, help
        The name on the form, and what the setting does *to the result*.
    unit
        What the number counts; "%" means that the value is a share, shown times 100.
    minimum, maximum, step
        Inclusive bounds and a sensible increment, in units of the value.
    automatic
        What None stands for, where None is allowed.
    advanced
        Whether most people need not see it.
    """

    label: str
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    automatic: str = ""
    advanced: bool = False

    def check(self, name: str, value: object) -> None:
        """Raise `SettingsError` if a number is out of bounds."""
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        if not low <= value <= high:
            unit = f" {self.unit}" if self.unit and self.unit != "%" else ""
            bounds = (
                f"at least {low:g}{unit}" if math.isinf(high) else f"from {low:g} to {high:g}{unit}"
            )
            raise SettingsError(f"{self.label} ({name}) is {value:g}; it has to be {bounds}.")


def knob(default: Any, label: str, help: str, **more: Any) -> Any:  # noqa: A002
    """Declare one setting of a frozen settings class."""
    return field(default=default, metadata={"knob": Knob(label, help, **more)})


@dataclass(frozen=True, repr=False)
class Settings:
    """Base of all settings classes: checked on creation, shown as what is not default."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name, one in self.knobs().items():
            value = _coerced(name, getattr(self, name), hints[name])
            object.__setattr__(self, name, value)
            one.check(name, value)

    @classmethod
    def knobs(cls) -> dict[str, Knob]:
        """Return the knobs by the name of their field, in the order of declaration."""
        return {f.name: f.metadata["knob"] for f in fields(cls) if "knob" in f.metadata}

    def but(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; an unknown name is a `SettingsError`."""
        known = {f.name for f in fields(self)}
        for name in changes.keys() - known:
            options = ", ".join(sorted(known))
            raise SettingsError(f"There is no setting '{name}'. There are: {options}.")
        return replace(self, **changes)

    def changed(self) -> dict[str, Any]:
        """Return what differs from the defaults, as plain values that JSON can hold."""
        return {
            f.name: _plain(getattr(self, f.name))
            for f in fields(self)
            if f.default is MISSING or getattr(self, f.name) != f.default
        }

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self.changed().items())
        return f"{type(self).__name__}({inner})"


def _coerced(name: str, value: Any, hint: Any) -> Any:
    """Turn the string of a choice into its member, and refuse a value of another type."""
    kinds = get_args(hint) or (hint,)
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Choice):
            return kind(value)
    if any(get_origin(kind) is tuple for kind in kinds):
        return _indices(name, value)
    if str in kinds and type(value).__name__ == "device":
        return str(value)  # of torch, which is not imported here
    if not isinstance(value, bool):
        if int in kinds and hasattr(value, "__index__"):
            return operator.index(value)
        if float in kinds and isinstance(value, numbers.Real):
            return float(value)
    plain = tuple(kind for kind in kinds if kind in (int, float, str, bool))
    if plain and (not isinstance(value, plain) or (isinstance(value, bool) and bool not in plain)):
        wanted = " or ".join(kind.__name__ for kind in plain)
        raise SettingsError(f"{name} is {value!r}; it has to be of type {wanted}.")
    return value


def _indices(name: str, value: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(one) for one in value)
    except TypeError as error:
        raise SettingsError(f"{name} is {value!r}; it has to be whole numbers: (0, 1).") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return value.value
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, repr=False)
class RunSettings(Settings):
    """How one image is segmented."""

    tile: int | None = knob(
        None,
        "Tile",
        "What the network sees at once. Larger tiles give it more context and need more memory.",
        unit="px",
        minimum=16,
        maximum=16384,
        step=32,
        automatic="suggested by the model",
    )
    overlap: float = knob(
        0.25,
        "Overlap",
        "The share of a tile that its neighbour sees too. More overlap hides seams and is slower.",
        unit="%",
        minimum=0.0,
        maximum=0.75,
        step=0.05,
    )
    blend: Blend | None = knob(
        None,
        "Blending",
        "How overlapping tiles are merged into one result.",
        automatic="Gaussian",
    )
    mode: Mode = knob(
        Mode.AUTO,
        "Mode",
        "Whether the image is cut into tiles or seen by the network as a whole.",
    )
    device: str = knob(
        "auto",
        "Device",
        "Where the network runs: auto, cpu, cuda, cuda:1, mps; or on several GPUs at a time: "
        "cuda:0,cuda:1 or cuda:all. It changes the speed only.",
    )
    precision: Precision = knob(
        Precision.AUTO,
        "Precision",
        "The number format of the network. Half precision is faster and nearly the same.",
        advanced=True,
    )
    batch: int | None = knob(
        None,
        "Batch",
        "How many tiles the network sees in one go. It changes speed and memory only.",
        unit="tiles",
        minimum=1,
        maximum=256,
        automatic="1 on a CPU, 4 on a GPU",
        advanced=True,
    )
    channels: tuple[int, ...] | None = knob(
        None,
        "Channels",
        "Which channels of the image the network reads, counted from 0, in its own order.",
        automatic="all, in order",
    )
    probabilities: bool = knob(
        False,
        "Probabilities",
        "Also keep how sure the network is of each class at each pixel.",
        advanced=True,
    )
    tolerance: float = knob(
        0.001,
        "Tolerance",
        "The share of labels that may differ from what the whole image at once would give, in "
        "the automatic and calibrated modes.",
        unit="%",
        minimum=0.0,
        maximum=0.1,
        step=0.0005,
        advanced=True,
    )
    memory_gb: float | None = knob(
        None,
        "Memory",
        "What the run may take. Less memory means smaller tiles and batches, and the same labels.",
        unit="GB",
        minimum=0.25,
        maximum=1024,
        automatic="half of what is free",
        advanced=True,
    )
    tta: Tta = knob(
        Tta.NONE,
        "Variants",
        "Ask the network again about mirrored or turned copies and average: steadier, slower.",
        advanced=True,
    )
    tta_mean: TtaMean = knob(
        TtaMean.LOGITS,
        "Average of",
        "What is averaged over the variants, where there are any.",
        advanced=True,
    )
    compile: bool = knob(
        False,
        "Compile",
        "Translate the network for this device first. It takes a minute, then runs faster.",
        advanced=True,
    )
    skip_empty: bool = knob(
        False,
        "Skip empty tiles",
        "Leave tiles out in which the image is the same everywhere. They become the first class, "
        "unseen by the network.",
        advanced=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blend is not None and self.mode is Mode.AUTO:
            object.__setattr__(self, "mode", Mode.BLEND)
        if self.blend is not None and (self.mode is Mode.WHOLE or self.mode.crops):
            raise SettingsError(
                f"There is nothing to blend ({self.blend}) in mode '{self.mode}': "
                "leave out the blending or choose mode 'blend'."
            )


class Loss(Choice):
    """What a network is trained to make small; `training.losses` computes it."""

    DICE_CE = "dice+ce", "Dice + cross-entropy", "right areas and sure answers; a good default"
    CE = "ce", "Cross-entropy", "sure answers, each pixel counts the same"
    DICE = "dice", "Dice", "right areas, each class counts the same however rare it is"


@dataclass(frozen=True, repr=False)
class TrainSettings(Settings):
    """How a network is trained from folders of images and masks."""

    minutes: float | None = knob(
        None, "Time", "When to stop at the latest.", unit="min", minimum=0.01, automatic="no limit"
    )
    epochs: int | None = knob(
        None,
        "Epochs",
        "How often, on average, every place is seen.",
        unit="passes",
        minimum=1,
        automatic="50, or what fits into the time",
    )
    patch: int = knob(
        512,
        "Patch",
        "The size of the pieces the network learns from.",
        unit="px",
        minimum=32,
        maximum=4096,
        step=32,
    )
    batch: int = knob(4, "Batch", "Pieces per step.", unit="patches", minimum=1, maximum=256)
    loss: Loss = knob(Loss.DICE_CE, "Loss", "What the network is trained to make small.")
    learning_rate: float = knob(
        1e-3, "Learning rate", "How far one step goes, at its highest.", minimum=1e-7, maximum=1.0
    )
    augment: bool = knob(
        True,
        "Variants",
        "Also learn from turned, scaled, brighter, noisier variants of each piece.",
    )
    seed: int = knob(0, "Seed", "Equal seeds give equal runs on one machine.", minimum=0)
    device: str = knob("auto", "Device", "Where to train: auto, cpu, cuda, cuda:1, mps.")
    precision: Precision = knob(
        Precision.AUTO,
        "Precision",
        "The number format of the network; automatic is bf16 where the device is fast in it.",
    )
