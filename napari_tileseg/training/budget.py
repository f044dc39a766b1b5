"""How long is enough to learn: a number of steps that suits what there is, and a time limit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg.settings import What

if TYPE_CHECKING:
    from napari_tileseg.settings import TeachSettings

_PLACE_PX = 256 * 256
_LEAST_STEPS = 40
_STEPS_A_PLACE = 200
_WHOLE_MODEL = 3


@dataclass(frozen=True)
class Budget:
    """When to stop: after so many steps or so much time, whichever comes first.

    Attributes
    ----------
    steps
        As many as there is something to learn.
    seconds
        At the latest.
    epoch_steps
        After so many steps every place that is vouched for has been seen once, on average.
    """

    steps: int
    seconds: float
    epoch_steps: int

    @classmethod
    def of(cls, settings: TeachSettings, pixels: int, patch: int) -> Budget:
        """Return what there is for learning.

        Unless a person sets the epochs, the steps grow with what is vouched for: a small
        correction is learnt in seconds and would only be learnt by heart in minutes.

        Parameters
        ----------
        settings
            Minutes and epochs.
        pixels
            How many there are to learn from.
        patch
            The side of each piece that a step sees, in pixels.
        """
        epoch_steps = math.ceil(pixels / (settings.batch * patch**2))
        steps = (
            enough_steps(pixels, settings.what)
            if settings.epochs is None
            else settings.epochs * epoch_steps
        )
        return cls(steps, 60 * settings.minutes, epoch_steps)

    def progress(self, step: int, started: float, now: float) -> float:
        """Return how much is used up, 0 to 1.

        Parameters
        ----------
        step
            So many are over.
        started, now
            In seconds since the time counts; before the first step there is other work to do,
            but half of the time is for learning however long that takes.
        """
        time_used = (now - started) / max(self.seconds - started, self.seconds / 2)
        return min(max(step / self.steps, time_used), 1.0)

    def epoch(self, step: int) -> int:
        """Return in which epoch a step is, both counted from 1."""
        return 1 + (step - 1) // self.epoch_steps


def enough_steps(pixels: int, what: What = What.NEW_DETAILS) -> int:
    """Return how many steps suit so many vouched pixels.

    For new details 40 for what fits into a square of 256 px, and 200 more for every further
    such square; for the whole model three times as many.
    """
    steps = _LEAST_STEPS + max(round(_STEPS_A_PLACE * (pixels / _PLACE_PX - 1)), 0)
    return steps * (_WHOLE_MODEL if what is What.WHOLE_MODEL else 1)
