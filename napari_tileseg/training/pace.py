"""How far each part of a network moves in one step of teaching."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg.settings import Layers, What

if TYPE_CHECKING:
    from napari_tileseg.settings import TeachSettings

_FEWEST, _MOST = 40, 160
_DEPTH = {Layers.HEAD: 1, Layers.DECODER: 2, Layers.ALL: 3}


@dataclass(frozen=True)
class _Pace:
    """Learning rates for `_FEWEST` steps: as many as a small correction takes."""

    head: float
    decoder: float
    encoder: float


_PACES = {
    What.NEW_DETAILS: _Pace(head=9e-4, decoder=3e-4, encoder=1e-4),
    What.WHOLE_MODEL: _Pace(head=3e-3, decoder=6e-4, encoder=6e-4),
}
"""What an encoder has learnt from thousands of images a few regions cannot teach it again."""


def learning_rates(settings: TeachSettings, steps: int) -> tuple[float, ...]:
    """Return the highest learning rate of each part that may change: head, decoder, encoder.

    The chance in small batches moves weights about in proportion to the rate times the root of
    the number of steps; automatic rates fall with that root, so that it stays the same, while
    what all batches have in common goes further with every step. From 160 steps on they stay:
    who has vouched for so much wants it learnt, and time may be up before all steps are taken.

    Parameters
    ----------
    settings
        What to learn, which layers, and the rate of the head if a person has set it; the other
        parts keep their proportion to it.
    steps
        How many there are going to be.
    """
    pace = _PACES[settings.what]
    factor = math.sqrt(_FEWEST / min(max(steps, _FEWEST), _MOST))
    if settings.learning_rate is not None:
        factor = settings.learning_rate / pace.head
    parts = (pace.head, pace.decoder, pace.encoder)
    return tuple(factor * one for one in parts[: _DEPTH[settings.layers or Layers.ALL]])
