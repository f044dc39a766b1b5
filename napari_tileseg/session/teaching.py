"""What is known about teaching: what there is to learn from, how far it is, what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from napari_tileseg.settings import TeachSettings

if TYPE_CHECKING:
    from napari_tileseg.training.held_out import Readiness


class Phase(StrEnum):
    """Where the teaching of a model stands."""

    IDLE = "idle"
    TEACHING = "teaching"
    DECIDING = "deciding"


@dataclass(frozen=True)
class Point:
    """One point of the curves: when, the loss by then, and the Dice of what is set aside."""

    seconds: float
    loss: float | None
    dice: float | None = None


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is found in what was set aside, before and after; None: not in there."""

    name: str
    colour: str
    dice: tuple[float | None, float | None]
    iou: tuple[float | None, float | None]


@dataclass(frozen=True)
class Finding:
    """What a model that has learnt is worth.

    Attributes
    ----------
    outcome
        "better", "not better" or "not proven".
    sentence
        The same for a person, with the figures.
    mean
        The mean Dice before and after; None if nothing was set aside.
    classes
        The figures of each class.
    early
        Whether a person ended the teaching before its time.
    """

    outcome: str
    sentence: str
    mean: tuple[float, float] | None = None
    classes: tuple[ClassFigures, ...] = ()
    early: bool = False


@dataclass(frozen=True)
class VersionRow:
    """One line of the history: a model that was, or is, in use."""

    number: int
    title: str
    note: str
    in_use: bool = False


@dataclass(frozen=True)
class TeachState:
    """All that is known about teaching, as one value that does not change.

    Attributes
    ----------
    corrected, reviewed
        How many pixels of the chosen image a person corrected, and declared right.
    readiness
        Whether there is enough to learn from, in all images; None: not looked at yet.
    why_not
        Why this model cannot be taught, if it cannot.
    points
        The curves so far.
    changed
        The share of the view whose labels the new model would change.
    preview, changes
        Whether what the model that learns thinks of the view, and what it would change, is shown.
    """

    settings: TeachSettings = field(default_factory=TeachSettings)
    corrected: int = 0
    reviewed: int = 0
    readiness: Readiness | None = None
    why_not: str = ""
    phase: Phase = Phase.IDLE
    stopping: bool = False
    progress: float = 0.0
    seconds: float = 0.0
    points: tuple[Point, ...] = ()
    finding: Finding | None = None
    changed: float | None = None
    preview: bool = True
    changes: bool = True
    versions: tuple[VersionRow, ...] = ()
    saving: bool = False
