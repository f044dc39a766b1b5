"""What can happen to a model that is being taught, told to the session."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_tileseg.session.teaching import ClassFigures, Finding, Phase, Point, TeachState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.session.teaching import VersionRow
    from napari_tileseg.settings import TeachSettings
    from napari_tileseg.training.fine_tune import TeachReport
    from napari_tileseg.training.held_out import Readiness
    from napari_tileseg.training.proof import Verdict

_MOST_POINTS = 600
"""More would not be seen on a curve of a few hundred pixels."""


class Learning:
    """The part of a session that knows about teaching.

    Parameters
    ----------
    get, put
        Read what is known, and replace it.
    """

    def __init__(self, get: Callable[[], TeachState], put: Callable[[TeachState], None]) -> None:
        self._get = get
        self._put = put

    @property
    def known(self) -> TeachState:
        """All that is known now."""
        return self._get()

    def _change(self, **changes: Any) -> None:
        self._put(replace(self._get(), **changes))

    def set_settings(self, settings: TeachSettings) -> None:
        """Choose how the next model is taught."""
        self._change(settings=settings)

    def show_marks(self, corrected: int, reviewed: int) -> None:
        """Say how many pixels of the chosen image are corrected, and reviewed."""
        self._change(corrected=corrected, reviewed=reviewed)

    def show_readiness(self, readiness: Readiness | None, why_not: str = "") -> None:
        """Say whether there is enough to learn from, and whether this model can learn at all."""
        self._change(readiness=readiness, why_not=why_not)

    def start(self) -> None:
        """Say that the teaching has begun."""
        self._change(
            phase=Phase.TEACHING,
            stopping=False,
            progress=0.0,
            seconds=0.0,
            points=(),
            finding=None,
            changed=None,
        )

    def advance(self, report: TeachReport) -> None:
        """Take over what one step has come to."""
        dice = None if report.held_out is None else _number(report.held_out.dice_of_true)
        point = Point(report.seconds, _number(report.loss), dice)
        points = self.known.points
        if point.loss is not None or point.dice is not None:
            points = thinned((*points, point))
        self._change(progress=report.progress, seconds=report.seconds, points=points)

    def stop(self) -> None:
        """Say that the teaching is asked to end."""
        self._change(stopping=True)

    def decide(self, verdict: Verdict) -> None:
        """Say what the new model is worth: a person decides now."""
        finding = finding_of(verdict, early=self.known.stopping)
        self._change(phase=Phase.DECIDING, stopping=False, progress=1.0, finding=finding)

    def end(self) -> None:
        """Say that nothing is taught, and nothing is to be decided any more."""
        self._change(phase=Phase.IDLE, stopping=False, finding=None, changed=None)

    def show_changed(self, share: float | None) -> None:
        """Say which share of the view the new model would change."""
        self._change(changed=share)

    def show_layers(self, *, preview: bool | None = None, changes: bool | None = None) -> None:
        """Say whether the preview and the map of changed pixels are shown; None: as before."""
        known = self.known
        self._change(
            preview=known.preview if preview is None else preview,
            changes=known.changes if changes is None else changes,
        )

    def list_versions(self, rows: Sequence[VersionRow]) -> None:
        """Say which models there were."""
        self._change(versions=tuple(rows))

    def show_saving(self, saving: bool) -> None:
        """Say whether a model is being written to a file."""
        self._change(saving=saving)


def finding_of(verdict: Verdict, *, early: bool = False) -> Finding:
    """Return what a panel says about a verdict."""
    before, after = verdict.before, verdict.after
    if before is None or after is None:
        return Finding(verdict.outcome.value, verdict.sentence, early=early)
    # the model in use may know more classes than the labels have
    each = zip(
        verdict.candidate.classes,
        zip(before.dice, after.dice, strict=True),
        zip(before.iou, after.iou, strict=True),
        strict=False,
    )
    rows = tuple(ClassFigures(c.name, c.colour, _pair(dice), _pair(iou)) for c, dice, iou in each)
    mean = (before.dice_of_true, after.dice_of_true)
    return Finding(verdict.outcome.value, verdict.sentence, mean, rows, early)


def thinned(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Return every other point without a Dice once there are too many to be seen."""
    if len(points) <= _MOST_POINTS:
        return points
    last = points[-1]
    return tuple(p for i, p in enumerate(points) if i % 2 == 0 or p.dice is not None or p is last)


def _pair(two: tuple[Any, Any]) -> tuple[float | None, float | None]:
    return _number(two[0]), _number(two[1])


def _number(value: float | NDArray[Any]) -> float | None:
    return None if math.isnan(value) else float(value)
