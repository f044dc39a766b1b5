"""Teaching a network what a person vouched for, as a stream: one report a step."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_tileseg.engine.device import memory_errors_explained, resolve_device
from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import Cancelled, ModelFitError
from napari_tileseg.settings import TeachSettings, What
from napari_tileseg.training.budget import Budget
from napari_tileseg.training.familiar import LEARNT_FROM, familiar, learnt_from
from napari_tileseg.training.held_out import gap_px, split
from napari_tileseg.training.learnable import require_learnable
from napari_tileseg.training.lessons import check_lessons
from napari_tileseg.training.new_classes import became, brings_new, with_classes
from napari_tileseg.training.proof import judge, verdict
from napari_tileseg.training.pupil import Pupil, patch_size

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from napari_tileseg.annotation.vouchings import Vouchings
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.spec import ClassInfo
    from napari_tileseg.training.held_out import Split
    from napari_tileseg.training.lessons import Lesson
    from napari_tileseg.training.metrics import Confusion
    from napari_tileseg.training.proof import Verdict

_LOOK_S = 3.0
_JUDGE_S = 15.0


@dataclass(frozen=True, eq=False)
class TeachReport:
    """What one step of teaching has come to.

    Attributes
    ----------
    step, epoch
        Counted from 1 (0 for what comes before the first step); an epoch is as many steps as
        it takes to see every vouched place once.
    progress
        How much of the budget is used up, 0 to 1.
    seconds
        Since the start.
    loss
        Of this step; nan if nothing was learnt in it.
    held_out
        How the network does on what was set aside, now and then; nothing is chosen by it.
    network
        The newest network, with weights of its own, now and then.
    verdict
        Whether it has become better; in the last report only.
    split
        What is learnt from and what is set aside, lesson by lesson; in the first report only.
    """

    step: int
    epoch: int
    progress: float
    seconds: float
    loss: float
    held_out: Confusion | None = None
    network: Network | None = None
    verdict: Verdict | None = None
    split: Split | None = None


def fine_tune(
    network: Network,
    lessons: Sequence[Lesson],
    *,
    settings: TeachSettings | None = None,
    active: Network | None = None,
    classes: Sequence[ClassInfo] | None = None,
    meaning: Sequence[int] | None = None,
    base_meaning: Sequence[int] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Generator[TeachReport, None, None]:
    """Teach a copy of a network what a person vouched for, and prove whether it helped.

    Reviewed places are set aside first, and neither learnt from nor chosen by; nor has one of
    the two models that are compared learnt from them before. What is handed out in the end is
    the network that was judged: it has learnt from the rest only. Where nothing can be set
    aside, it learns from everything and nothing is proven.

    Parameters
    ----------
    network
        The model as it was loaded, to start from; it is not changed.
    lessons
        Images with what is vouched for.
    settings
        What to learn, time and so on.
    active
        The model in use, which the new one has to beat; None if it is `network`.
    classes, meaning, base_meaning
        The classes of the labels, if they are no longer those of the model in use; which one
        each class of that has become, and each class of `network`; see `with_classes`. A class
        that is new is no detail: to learn it the whole model may change, whatever the settings
        say.
    should_stop
        Asked after every step whether that was enough; what was learnt by then is judged.
        Asked before the first step too, where it raises `Cancelled`.

    Yields
    ------
    One report a step; the last one has the verdict. Closing the stream stops; the last
    `network` is what there is by then.

    Raises
    ------
    Cancelled
        If it is to stop before anything was learnt.
    ModelFitError
        If there is nothing to learn from, or the network cannot learn it.
    SettingsError
        If patch or precision do not fit.
    NetworkError
        If the loss is not a number, time after time, before anything was learnt.
    """
    settings = settings or TeachSettings()
    active = active or network
    start = active if settings.go_on else network
    require_learnable(start)
    if classes is not None:
        if active is network:
            base_meaning = meaning
        start_meaning = meaning if start is active else base_meaning
        if brings_new(start, classes, start_meaning):
            settings = settings.but(what=What.WHOLE_MODEL)
        start = with_classes(start, classes, start_meaning)
        meaning = became(active.classes, classes, meaning)
    _check(start, lessons, settings)
    before = dict(start.provenance)
    known = before.pop(LEARNT_FROM, {})
    start = replace(start, provenance={"taught from": before, LEARNT_FROM: known})
    with memory_errors_explained(resolve_device(settings.device)):
        yield from _Teacher(start, active, lessons, settings, meaning, should_stop).run()


def _check(network: Network, lessons: Sequence[Lesson], settings: TeachSettings) -> None:
    spec = network.spec
    if spec.spatial_dims != 2:
        raise ModelFitError(
            f"'{spec.name}' reads volumes; only models for images can learn from corrections."
        )
    if spec.task is Task.MULTILABEL:
        raise ModelFitError(
            f"'{spec.name}' can give a pixel several classes at once; labels with one class for "
            "each pixel cannot teach it."
        )
    check_lessons(lessons, len(spec.classes))


class _Teacher:
    def __init__(
        self,
        start: Network,
        active: Network,
        lessons: Sequence[Lesson],
        settings: TeachSettings,
        meaning: Sequence[int] | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self._should_stop = should_stop
        self._begun = time.monotonic()
        self._active, self._meaning = active, meaning
        self._split = split(
            [one.vouchings for one in lessons],
            gap_px(start.spec),
            settings.seed,
            familiar([start, active], [one.source for one in lessons]),
        )
        self._held_out = _with(lessons, self._split.held_out)
        # one more than the labels have, for what the model in use calls something else
        self._n_classes = max(len(start.classes), len(active.classes)) + 1
        train = _with(lessons, self._split.train)
        self._learnt_from = learnt_from(start, train)
        pixels = sum(one.vouchings.count for one in train)
        self._budget = Budget.of(settings, pixels, patch_size(start, settings))
        self._pupil = Pupil(start, train, settings, self._budget.steps, self._check)

    def _check(self) -> None:
        if self._is_to_stop:
            raise Cancelled("Cancelled before anything was learnt.")

    @property
    def _is_to_stop(self) -> bool:
        return self._should_stop is not None and self._should_stop()

    def run(self) -> Iterator[TeachReport]:
        before = self._judged(self._active, self._meaning, self._check)
        report = TeachReport(0, 0, 0.0, self._seconds, math.nan, before, split=self._split)
        yield report
        for report in self._steps():
            yield report
            if self._is_to_stop:
                break
        candidate = self._pupil.own_copy()
        candidate = replace(candidate, provenance=candidate.provenance | self._learnt_from)
        after = self._judged(candidate)
        yield replace(
            report,
            progress=1.0,
            seconds=self._seconds,
            held_out=after,
            network=candidate,
            verdict=verdict(candidate, before, after, self._split.missing),
        )

    def _steps(self) -> Iterator[TeachReport]:
        started = looked = judged = self._seconds
        budget, step, progress = self._budget, 0, 0.0
        while progress < 1:
            loss = self._pupil.step(progress)
            step += 1
            progress = budget.progress(step, started, self._seconds)
            report = TeachReport(step, budget.epoch(step), progress, self._seconds, loss)
            if self._pupil.is_stuck:
                yield report
                return
            if self._seconds - looked > _LOOK_S and progress < 1:
                looked = self._seconds
                report = replace(report, network=self._pupil.own_copy())
            if self._seconds - judged > _JUDGE_S and progress < 1:
                report = replace(report, held_out=self._judged(self._pupil.network))
                judged = self._seconds
            yield report

    def _judged(
        self,
        network: Network,
        meaning: Sequence[int] | None = None,
        check: Callable[[], None] | None = None,
    ) -> Confusion | None:
        if not self._split.n_held_out:
            return None
        return judge(
            network,
            self._held_out,
            self._n_classes,
            self._pupil.precision,
            meaning=meaning,
            check=check,
        )

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._begun


def _with(lessons: Sequence[Lesson], parts: Sequence[Vouchings]) -> list[Lesson]:
    pairs = zip(lessons, parts, strict=True)
    return [lesson.but(part) for lesson, part in pairs if part.count]
