"""What a network is trained to make small."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg.knobs import Choice, Settings, knob


class Loss(Choice):
    """What a network is trained to make small; `training.losses` computes it."""

    DICE_CE = "dice+ce", "Dice + cross-entropy", "right areas and sure answers; a good default"
    CE = "ce", "Cross-entropy", "sure answers, each pixel counts the same"
    DICE = "dice", "Dice", "right areas, each class counts the same however rare it is"
    FOCAL = "focal", "Focal", "like cross-entropy, but pixels that are easy count little"
    DICE_FOCAL = "dice+focal", "Dice + focal", "right areas, and the pixels that are hard"
    GENERALISED_DICE = (
        "generalised-dice",
        "Generalised Dice",
        "right areas, rare classes count far more than frequent ones",
    )


class ClassWeights(Choice):
    """How much a pixel of each class counts in cross-entropy and focal loss."""

    EQUAL = "equal", "Equal", "every pixel counts the same"
    BALANCED = "balanced", "Balanced", "pixels of rare classes count more, up to 20 times"


@dataclass(frozen=True, repr=False)
class LossSettings(Settings):
    """What a network is trained to make small, and by which steps."""

    loss: Loss = knob(
        Loss.DICE_CE, "Loss", "What the network is trained to make small.", advanced=True
    )
    dice_weight: float = knob(
        1.0,
        "Dice weight",
        "How much Dice counts where it is added to another loss, which counts 1.",
        minimum=0.0,
        maximum=100.0,
        step=0.1,
        advanced=True,
    )
    focal_gamma: float = knob(
        2.0,
        "Focal gamma",
        "How much less an easy pixel counts than a hard one; at 0 focal loss is cross-entropy.",
        minimum=0.0,
        maximum=10.0,
        step=0.5,
        advanced=True,
    )
    focal_alpha: float | None = knob(
        None,
        "Focal alpha",
        "The weight of foreground in focal loss, from 0 to 1; background weighs the rest.",
        minimum=0.0,
        maximum=1.0,
        automatic="equal",
        advanced=True,
    )
    class_weights: ClassWeights = knob(
        ClassWeights.EQUAL,
        "Class weights",
        "How much a pixel of each class counts in cross-entropy and focal loss.",
        advanced=True,
    )
