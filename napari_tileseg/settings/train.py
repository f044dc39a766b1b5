"""How a network is trained from folders."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg.knobs import knob
from napari_tileseg.settings.losses import LossSettings
from napari_tileseg.settings.precision import NOT_FOR_LEARNING, Precision


@dataclass(frozen=True, repr=False)
class TrainSettings(LossSettings):
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
        automatic="up to 50",
    )
    patch: int | None = knob(
        None,
        "Patch",
        "The size of the pieces the network learns from: 512 px, of an xT up to three regions.",
        unit="px",
        minimum=32,
        maximum=4096,
        step=32,
        automatic="by the network",
        advanced=True,
    )
    batch: int = knob(
        4, "Batch", "Pieces per step.", unit="patches", minimum=1, maximum=256, advanced=True
    )
    learning_rate: float = knob(
        1e-3,
        "Learning rate",
        "How far one step goes, at its highest.",
        minimum=1e-7,
        maximum=1.0,
        advanced=True,
    )
    augmentation: float = knob(
        1.0,
        "Variants",
        "How different the turned, scaled, brighter, noisier variants are that it also learns "
        "from; at 0 there are none.",
        unit="%",
        minimum=0.0,
        maximum=1.0,
        step=0.1,
        advanced=True,
    )
    seed: int = knob(
        0, "Seed", "Equal seeds give equal runs on one machine.", minimum=0, advanced=True
    )
    device: str = knob(
        "auto", "Device", "Where to train: auto, cpu, cuda, cuda:1, mps.", advanced=True
    )
    precision: Precision = knob(
        Precision.AUTO,
        "Precision",
        "The number format of the network; automatic is bf16 where the device is fast in it.",
        advanced=True,
        excluded=NOT_FOR_LEARNING,
    )
