"""A picture of how a training went: the loss of each step, and the scores on validation images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from napari_tileseg.training.plot import Line, Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_tileseg.engine.spec import ClassInfo

_SIZE = (1000, 720)
_LEFT, _RIGHT, _TOP, _BOTTOM, _BETWEEN = 80, 190, 52, 64, 46
_MEAN = "#111111"
_RAW, _SMOOTH = "#b9cbdc", "#0b5394"
_MOST_LINES = 7
_SMOOTHED_OVER = 25
_FEWEST_STEPS = 5


@dataclass(frozen=True)
class Score:
    """The validation after a step: IoU (0 to 1) of each class and their mean; nan if absent."""

    step: int
    miou: float
    iou: tuple[float, ...]


def draw_curve(
    losses: Sequence[float],
    scores: Sequence[Score],
    classes: Sequence[ClassInfo],
    *,
    title: str,
    loss_name: str,
) -> Image.Image:
    """Draw the curves of a training.

    Parameters
    ----------
    losses
        One a step, from step 1 on; nan for a step that was skipped.
    scores
        In the order of the steps; empty without validation images, which leaves out that part.
    classes
        Names and colours, in the order of `Score.iou`.
    title, loss_name
        What stands above, and what was made small.

    Returns
    -------
    An RGB picture of 1000 x 720 pixels.
    """
    width, height = _SIZE
    whole = height - _TOP - _BOTTOM
    upper = (whole - _BETWEEN) // 2 if scores else whole
    steps = max(len(losses), _FEWEST_STEPS)
    loss = Panel(
        (_LEFT, _TOP, width - _RIGHT, _TOP + upper),
        x_range=(0, steps),
        y_range=(0, _ceiling(losses)),
        y_label=f"loss ({loss_name})",
        x_label="" if scores else "step",
    )
    lines = [
        Line("each step", _RAW, list(enumerate(losses, 1))),
        Line(f"mean of {_window(len(losses))}", _SMOOTH, _smoothed(losses), width=3),
    ]
    picture = Image.new("RGB", _SIZE, "white")
    picture = loss.drawn(picture, lines, title=title)
    if not scores:
        return picture
    score = Panel(
        (_LEFT, _TOP + upper + _BETWEEN, width - _RIGHT, height - _BOTTOM),
        x_range=(0, steps),
        y_range=(0, 1),
        y_label="IoU on validation images (0 to 1)",
        x_label="step",
    )
    return score.drawn(picture, _score_lines(scores, classes))


def _score_lines(scores: Sequence[Score], classes: Sequence[ClassInfo]) -> list[Line]:
    mean = Line("mIoU", _MEAN, [(one.step, one.miou) for one in scores], width=4, marked=True)
    if len(classes) > _MOST_LINES:
        weakest = [(one.step, min(_there(one.iou))) for one in scores if _there(one.iou)]
        best = [(one.step, max(_there(one.iou))) for one in scores if _there(one.iou)]
        return [
            Line("weakest class", "#d55e00", weakest, marked=True),
            Line("best class", "#0072b2", best, marked=True),
            mean,
        ]
    lines = [
        Line(
            one.name,
            "#888888" if one.colour == "#000000" else one.colour,
            [(score.step, score.iou[index]) for score in scores],
            width=2,
            marked=True,
        )
        for index, one in enumerate(classes)
    ]
    return [*lines, mean]


def _there(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _window(steps: int) -> int:
    """Return over how many steps losses are averaged: an odd number."""
    return steps // _SMOOTHED_OVER // 2 * 2 + 1


def _smoothed(losses: Sequence[float]) -> list[tuple[float, float]]:
    """Return the mean of the losses around each step; skipped steps do not count."""
    reach = _window(len(losses)) // 2
    found = []
    for middle in range(len(losses)):
        near = _there(losses[max(middle - reach, 0) : middle + reach + 1])
        if near:
            found.append((middle + 1.0, sum(near) / len(near)))
    return found


def _ceiling(losses: Sequence[float]) -> float:
    """Return where the axis of losses ends: above nearly all, so that one outlier hides nothing."""
    known = sorted(_there(losses))
    return 1.05 * known[int(0.995 * (len(known) - 1))] or 1.0 if known else 1.0
