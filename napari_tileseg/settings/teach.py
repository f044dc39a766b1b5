"""How a network learns from corrections."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg.knobs import Choice, knob
from napari_tileseg.settings.losses import LossSettings
from napari_tileseg.settings.precision import NOT_FOR_LEARNING, Precision


class What(Choice):
    """What a network is to learn from corrections."""

    NEW_DETAILS = (
        "new-details",
        "New details",
        "what it already looks for, in images like these; quick and safe",
    )
    WHOLE_MODEL = (
        "whole-model",
        "Whole model",
        "also another look of things; needs more corrections and more time",
    )


class Layers(Choice):
    """Which weights of a network may change."""

    HEAD = "head", "Head", "the last layer only: which of what it sees is which class"
    DECODER = "decoder", "Head and decoder", "all that comes after the encoder"
    ALL = "all", "All", "every layer, the encoder too"


@dataclass(frozen=True, repr=False)
class TeachSettings(LossSettings):
    """How a network learns from what a person vouched for."""

    what: What = knob(
        What.NEW_DETAILS, "What to learn", "How far the model may move away from what it is now."
    )
    minutes: float = knob(
        3.0,
        "Time",
        "When to stop at the latest. A small correction is learnt in seconds.",
        unit="min",
        minimum=0.05,
        maximum=1440.0,
        step=0.5,
    )
    epochs: int | None = knob(
        None,
        "Epochs",
        "How often, on average, every corrected place is seen.",
        unit="passes",
        minimum=1,
        automatic="as it takes",
        advanced=True,
    )
    layers: Layers | None = knob(
        None,
        "Layers",
        "Which weights may change; automatic goes by what is to be learnt.",
        automatic="by the goal",
        advanced=True,
    )
    learning_rate: float | None = knob(
        None,
        "Learning rate",
        "How far one step goes, at its highest, in the last layer; less far in those before it. "
        "Automatic goes by what is to be learnt.",
        minimum=1e-7,
        maximum=1.0,
        automatic="by the goal",
        advanced=True,
    )
    anchor: float = knob(
        30.0,
        "Anchor",
        "How strongly weights are held near the model it starts from, so that it does not come "
        "to see the corrected class everywhere; 0 lets go.",
        minimum=0.0,
        maximum=100.0,
        step=5.0,
        advanced=True,
    )
    batch: int = knob(
        2, "Batch", "Pieces per step.", unit="patches", minimum=1, maximum=256, advanced=True
    )
    patch: int | None = knob(
        None,
        "Patch",
        "The size of the pieces the network learns from; smaller for a model of smaller tiles, "
        "of an xT up to three regions.",
        unit="px",
        minimum=32,
        maximum=4096,
        step=32,
        automatic="up to 256 px",
        advanced=True,
    )
    augmentation: float = knob(
        0.5,
        "Variants",
        "How different the turned, scaled, brighter, noisier variants are that it also learns "
        "from; at 0 there are none.",
        unit="%",
        minimum=0.0,
        maximum=1.0,
        step=0.1,
        advanced=True,
    )
    go_on: bool = knob(
        False,
        "Go on from the model in use",
        "Learn on top of what was learnt before, instead of starting again from the model that "
        "was loaded.",
        advanced=True,
    )
    seed: int = knob(
        0, "Seed", "Equal seeds give equal runs on one machine.", minimum=0, advanced=True
    )
    device: str = knob(
        "auto", "Device", "Where to learn: auto, cpu, cuda, cuda:1, mps.", advanced=True
    )
    precision: Precision = knob(
        Precision.AUTO,
        "Precision",
        "The number format of the network; automatic is bf16 where the device is fast in it.",
        advanced=True,
        excluded=NOT_FOR_LEARNING,
    )
