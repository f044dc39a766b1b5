"""Whether a model has become better: old against new, on reviewed places neither learnt from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.training.metrics import Confusion
from napari_tileseg.training.windows import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_tileseg.engine.network import Network
    from napari_tileseg.settings import Precision
    from napari_tileseg.training.lessons import Lesson

LEAST_GAIN = 0.005
"""A smaller rise of the mean Dice than this may be chance, and counts for nothing."""


class Outcome(StrEnum):
    """What held out places say about a model that has learnt."""

    BETTER = "better"
    NOT_BETTER = "not better"
    NOT_PROVEN = "not proven"


@dataclass(frozen=True, eq=False)
class Verdict:
    """What became of a model that has learnt.

    Attributes
    ----------
    outcome
        See `Outcome`.
    before, after
        How the model in use and the candidate do on what was held out; None if nothing was.
    candidate
        The model that has learnt, whatever the outcome.
    sentence
        The outcome for a person, with its figures.
    """

    outcome: Outcome
    before: Confusion | None
    after: Confusion | None
    candidate: Network
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        classes = [one.name for one in self.candidate.classes]
        return {
            "outcome": self.outcome.value,
            "sentence": self.sentence,
            "before": None if self.before is None else _figures(self.before, classes),
            "after": None if self.after is None else _figures(self.after, classes),
        }


def judge(
    network: Network,
    lessons: Iterable[Lesson],
    n_classes: int,
    precision: Precision,
    *,
    meaning: Sequence[int] | None = None,
    check: Callable[[], None] | None = None,
) -> Confusion:
    """Compare a network's labels with all that is vouched for.

    Parameters
    ----------
    network
        In evaluation mode.
    lessons
        What was held out.
    n_classes
        The highest label there may be, plus 1; a network may know fewer.
    precision
        The number format to compute in.
    meaning
        Which label each class of the network has become, -1 for none of them; None if it is
        the same.
    check
        Called often; what it raises ends the comparison.
    """
    confusion = Confusion(n_classes)
    stands_for = np.arange(256, dtype=np.uint8)
    if meaning is not None:
        stands_for[: len(meaning)] = [label if label >= 0 else n_classes - 1 for label in meaning]
    for lesson in lessons:
        for answer in answers(network, lesson, precision, check):
            confusion.add(stands_for[answer.labels], answer.truth)
    return confusion


def verdict(
    candidate: Network, before: Confusion | None, after: Confusion | None, missing: str = ""
) -> Verdict:
    """Say whether a candidate is better than the model in use.

    Better means that the mean Dice of the classes that truly occur, over all that was held out,
    has risen by at least `LEAST_GAIN`.

    Parameters
    ----------
    candidate
        The model that has learnt.
    before, after
        On what was held out: of the model in use, and of the candidate; None if nothing was.
    missing
        What a person can do to have a proof next time.
    """
    if before is None or after is None:
        advice = f" To have it proven next time, {missing}." if missing else ""
        text = f"Not proven: nothing could be set aside to judge by.{advice}"
        return Verdict(Outcome.NOT_PROVEN, before, after, candidate, text)
    old, new = before.dice_of_true, after.dice_of_true
    figures = f"Dice {_shown(old)} → {_shown(new)} on what was set aside"
    if new - old >= LEAST_GAIN:
        return Verdict(Outcome.BETTER, before, after, candidate, f"Better: {figures}.")
    chance = ", which may be chance" if new > old else ""
    text = f"Not better: {figures}{chance}. Review a few more places like these, then teach again."
    return Verdict(Outcome.NOT_BETTER, before, after, candidate, text)


def _figures(confusion: Confusion, classes: list[str]) -> dict[str, Any]:
    # a network that is compared may know more classes than the labels have
    each = zip(classes, confusion.dice, confusion.iou, confusion.pixels, strict=False)
    return {
        "mean_dice": _number(confusion.dice_of_true),
        "miou": _number(confusion.miou),
        "per_class": {
            name: {"dice": _number(dice), "iou": _number(iou), "pixels": int(pixels)}
            for name, dice, iou, pixels in each
        },
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _shown(value: float) -> str:
    return f"{value:.3f}"
