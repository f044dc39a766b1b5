"""Training from folders: what is wanted and what is known, and what a panel shows of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from napari_tileseg.engine.amounts import duration
from napari_tileseg.engine.spec import NormalisationKind
from napari_tileseg.io.layouts import Layout
from napari_tileseg.models.encoders import NONE
from napari_tileseg.models.registry import ARCHITECTURE
from napari_tileseg.session.learning import thinned
from napari_tileseg.session.teaching import Point
from napari_tileseg.settings import TrainSettings

if TYPE_CHECKING:
    from napari_tileseg.training.train import TrainReport


class Stage(StrEnum):
    """Where a training from folders stands."""

    IDLE = "idle"
    READING = "reading"
    TRAINING = "training"


@dataclass(frozen=True)
class NewNetwork:
    """A network that is made where there is none to go on from.

    Attributes
    ----------
    architecture, encoder
        By their names; an empty encoder is the usual one.
    encoder_weights
        One of `models.encoders.WEIGHTS`, or a file.
    normalise
        How it expects intensities.
    options
        More arguments of the architecture, as a person types them: "depth=3 base_channels=32".
    """

    architecture: str = ARCHITECTURE
    encoder: str = ""
    encoder_weights: str = NONE
    normalise: NormalisationKind = NormalisationKind.ZSCORE
    options: str = ""


@dataclass(frozen=True)
class FolderChoice:
    """What a person chose.

    Attributes
    ----------
    layout, images, masks
        What to learn from; `masks` is for pairs only.
    val_images, val_masks
        What to choose the best network by, for pairs; empty: nothing.
    base
        The model to go on from; empty: a new network.
    network
        That new network.
    classes
        Names in the order of the mask values, with commas; empty: as the data says.
    """

    layout: Layout = Layout.PAIRS
    images: str = ""
    masks: str = ""
    val_images: str = ""
    val_masks: str = ""
    base: str = ""
    network: NewNetwork = field(default_factory=NewNetwork)
    classes: str = ""
    settings: TrainSettings = field(default_factory=TrainSettings)


@dataclass(frozen=True)
class EpochRow:
    """One line of the table: the mean loss of an epoch, and the best mIoU within it.

    Attributes
    ----------
    steps
        How many steps had a loss that is a number.
    """

    epoch: int
    seconds: float
    loss: float | None = None
    miou: float | None = None
    best: bool = False
    steps: int = 0


@dataclass(frozen=True)
class FolderTraining:
    """All that is known, as one value that does not change."""

    choice: FolderChoice = field(default_factory=FolderChoice)
    stage: Stage = Stage.IDLE
    stopping: bool = False
    progress: float = 0.0
    seconds: float = 0.0
    points: tuple[Point, ...] = ()
    rows: tuple[EpochRow, ...] = ()
    summary: str = ""
    problem: str = ""
    has_result: bool = False
    said: str = ""

    def begun(self) -> FolderTraining:
        """Return what is known when the files begin to be read."""
        return FolderTraining(choice=self.choice, stage=Stage.READING)

    def advanced(self, report: TrainReport) -> FolderTraining:
        """Return what is known after one more step."""
        dice = None if report.validation is None else _number(report.validation.mean_dice)
        point = Point(report.seconds, _number(report.loss), dice)
        points = self.points
        if point.loss is not None or dice is not None:
            points = thinned((*points, point))
        return replace(
            self,
            stage=Stage.TRAINING,
            progress=report.progress,
            seconds=report.seconds,
            points=points,
            rows=_with_step(self.rows, report),
            problem=report.stopped,
            has_result=self.has_result or report.best is not None,
        )

    def ended(self, problem: str = "") -> FolderTraining:
        """Return what is known at the end."""
        return replace(self, stage=Stage.IDLE, stopping=False, problem=problem or self.problem)


def _with_step(rows: tuple[EpochRow, ...], report: TrainReport) -> tuple[EpochRow, ...]:
    """Add a step to the line of its epoch, or begin a line."""
    if not rows or rows[-1].epoch != report.epoch:
        rows = (*rows, EpochRow(report.epoch, report.seconds))
    row = replace(rows[-1], seconds=report.seconds)
    if not math.isnan(report.loss):
        steps, mean = row.steps + 1, row.loss or 0.0
        row = replace(row, steps=steps, loss=mean + (report.loss - mean) / steps)
    if report.validation is not None:
        row = replace(row, miou=max(row.miou or 0.0, report.validation.miou))
        if report.best is not None:
            rows = tuple(replace(one, best=False) for one in rows)
            row = replace(row, best=True)
    return (*rows[:-1], row)


@dataclass(frozen=True)
class FolderView:
    """What the panel shows; every text is final, every flag is the state of a control."""

    choice: FolderChoice
    working: bool
    has_masks: bool
    can_train: bool
    can_stop: bool
    hint: str
    summary: str
    problem: str
    progress: float
    progress_text: str
    points: tuple[Point, ...]
    rows: tuple[EpochRow, ...]
    result: str
    can_use: bool
    said: str


def resolve_folders(known: FolderTraining) -> FolderView:
    """Work out what the panel shows. Pure: equal input gives an equal answer."""
    working = known.stage is not Stage.IDLE
    hint = "" if working else _missing(known.choice)
    return FolderView(
        choice=known.choice,
        working=working,
        has_masks=known.choice.layout is Layout.PAIRS,
        can_train=not working and not hint,
        can_stop=working and not known.stopping,
        hint=hint,
        summary=known.summary,
        problem=known.problem,
        progress=known.progress,
        progress_text=_progress_text(known) if working else "",
        points=known.points,
        rows=known.rows,
        result="" if working else _result(known),
        can_use=known.has_result and not working,
        said=known.said,
    )


def _missing(choice: FolderChoice) -> str:
    if not choice.images:
        return "Choose the folder that the images are in."
    if choice.layout is Layout.PAIRS and not choice.masks:
        return "Choose the folder of their masks: files with the same names."
    if bool(choice.val_images) != bool(choice.val_masks) and choice.layout is Layout.PAIRS:
        return "To choose the best model, images and masks are needed: choose both, or neither."
    return ""


def _progress_text(known: FolderTraining) -> str:
    if known.stopping:
        return "stopping …"
    if known.stage is Stage.READING:
        return "reading images and masks …"
    if not known.progress:
        return "starting …"
    left = known.seconds * (1 - known.progress) / known.progress
    return f"{int(100 * known.progress)} % · {duration(left)} left"


def _result(known: FolderTraining) -> str:
    if not known.has_result:
        return "There is no model yet: it ended too early." if known.rows else ""
    best = next((row for row in known.rows if row.best), None)
    if best is None or best.miou is None:
        return f"Trained for {duration(known.seconds)}. Nothing was set aside to judge it by."
    return f"The best model: mIoU {best.miou:.3f} in epoch {best.epoch}."


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
