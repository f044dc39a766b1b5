"""What runs in the other thread while a model learns: lessons, and a look at the view at times."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg.models.libraries import load_triton_apart
from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.annotation.vouchings import Vouchings
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.spec import ClassInfo
    from napari_tileseg.settings import TeachSettings
    from napari_tileseg.training.fine_tune import TeachReport
    from napari_tileseg.training.lessons import Lesson

_LOOK_EVERY_S = 4.0
_LOOK_SHARE = 0.1
"""Looking at the view takes at most this share of the time."""


@dataclass(frozen=True, eq=False)
class Example:
    """An image of the viewer with what a person vouched for in it."""

    source: Source
    channels: tuple[int, ...] | None
    vouchings: Vouchings


@dataclass(frozen=True, eq=False)
class Assignment:
    """What a model is to learn.

    Attributes
    ----------
    base, active
        The model as it was loaded, and the one in use.
    shown
        The image that is on screen.
    examples
        All images to learn from.
    classes, meaning, base_meaning
        The classes of the labels; which one each class of the model in use has become, and
        each class of the model as it was loaded.
    """

    base: Network
    active: Network
    shown: Example
    examples: tuple[Example, ...]
    settings: TeachSettings
    classes: Sequence[ClassInfo]
    meaning: Sequence[int] | None = None
    base_meaning: Sequence[int] | None = None


@dataclass
class Wishes:
    """What the window asks of the other thread; single values, written by the window only."""

    region: Region | None = None
    stop: bool = False


@dataclass(frozen=True, eq=False)
class Look:
    """What a network says about a part of the image on screen; `final`: the one that was judged."""

    region: Region
    labels: NDArray[np.uint8]
    final: bool


def lesson(
    given: Assignment, wishes: Wishes
) -> Callable[[Callable[[], bool]], Iterator[TeachReport | Look]]:
    """Say how to make the stream of a job; it is made in the job's thread."""

    def stream(should_stop: Callable[[], bool]) -> Iterator[TeachReport | Look]:
        load_triton_apart()
        from napari_tileseg.training.fine_tune import fine_tune
        from napari_tileseg.training.lessons import Lesson

        spec = given.base.spec

        def of(one: Example) -> Lesson:
            return Lesson.of(one.source, one.vouchings, spec, channels=one.channels)

        lessons = [of(one) for one in given.examples]
        looks = _Looks(of(given.shown), wishes)
        for report in fine_tune(
            given.base,
            lessons,
            settings=given.settings,
            active=given.active,
            classes=given.classes,
            meaning=given.meaning,
            base_meaning=given.base_meaning,
            should_stop=lambda: wishes.stop or should_stop(),
        ):
            yield report
            final = report.verdict is not None
            if report.network is not None and (final or not wishes.stop):
                yield from looks.at(report.network, final=final)

    return stream


class _Looks:
    """Looks at the view, not too often."""

    def __init__(self, shown: Lesson, wishes: Wishes) -> None:
        self._shown = shown
        self._wishes = wishes
        self._next_at = 0.0

    def at(self, network: Network, *, final: bool) -> Iterator[Look]:
        from napari_tileseg.training.glimpse import glimpse

        region, begun = self._wishes.region, time.monotonic()
        if region is None or (begun < self._next_at and not final):
            return
        labels = glimpse(network, self._shown, region, Precision.FP32)
        took = time.monotonic() - begun
        self._next_at = begun + max(_LOOK_EVERY_S, took / _LOOK_SHARE)
        yield Look(region, labels, final)
