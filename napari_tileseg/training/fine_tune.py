"""Teaching a network what a person vouched for, as a stream: one report a step."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_tileseg.engine.device import memory_errors_explained, resolve_device
from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import ModelFitError, NetworkError, SettingsError
from napari_tileseg.settings import ClassWeights, Layers, Precision, TeachSettings, What
from napari_tileseg.training.anchor import Anchor
from napari_tileseg.training.augment import Augmentation
from napari_tileseg.training.drawing import Points, VouchedSampler
from napari_tileseg.training.held_out import gap_px, split
from napari_tileseg.training.layers import freeze_norms, let_change, parts_of
from napari_tileseg.training.learner import PATIENCE, Learner, rate
from napari_tileseg.training.lessons import check_lessons
from napari_tileseg.training.losses import balanced_weights
from napari_tileseg.training.new_classes import with_classes
from napari_tileseg.training.proof import judge, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from torch import Tensor

    from napari_tileseg.annotation.vouchings import Vouchings
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.spec import ClassInfo
    from napari_tileseg.training.lessons import Lesson
    from napari_tileseg.training.metrics import Confusion
    from napari_tileseg.training.proof import Verdict

_PATCH_PX = 256
_HEAD_FIRST = 0.1
_LOOK_S = 3.0
_JUDGE_S = 15.0
_RATES = {Layers.HEAD: 3e-3, Layers.DECODER: 1e-3, Layers.ALL: 5e-4}
_LAYERS = {What.NEW_DETAILS: Layers.ALL, What.WHOLE_MODEL: Layers.ALL}


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
    """

    step: int
    epoch: int
    progress: float
    seconds: float
    loss: float
    held_out: Confusion | None = None
    network: Network | None = None
    verdict: Verdict | None = None


def fine_tune(
    network: Network,
    lessons: Sequence[Lesson],
    *,
    settings: TeachSettings | None = None,
    active: Network | None = None,
    classes: Sequence[ClassInfo] | None = None,
    meaning: Sequence[int] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Generator[TeachReport, None, None]:
    """Teach a copy of a network what a person vouched for, and prove whether it helped.

    Reviewed places are set aside first, and neither learnt from nor chosen by. What is handed
    out in the end is the network that was judged: it has learnt from the rest only. Where
    nothing can be set aside, it learns from everything and nothing is proven.

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
    classes, meaning
        The classes of the labels, if they are no longer those of the model in use, and which
        one each class of it has become; see `with_classes`.
    should_stop
        Asked after every step whether that was enough; what was learnt by then is judged.

    Yields
    ------
    One report a step; the last one has the verdict. Closing the stream stops; the last
    `network` is what there is by then.

    Raises
    ------
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
    if classes is not None:
        start = with_classes(start, classes, meaning if start is active else None)
    _check(start, lessons, settings)
    with memory_errors_explained(resolve_device(settings.device)):
        yield from _Teacher(start, active, lessons, settings, meaning).run(should_stop)


def _check(network: Network, lessons: Sequence[Lesson], settings: TeachSettings) -> None:
    spec = network.spec
    if settings.precision is Precision.FP16:
        raise SettingsError("fp16 is too coarse to learn in; choose bf16, fp32 or auto.")
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
    ) -> None:
        self._begun = time.monotonic()
        self._settings = settings
        self._active, self._meaning = active, meaning
        self._split = split([one.vouchings for one in lessons], gap_px(start.spec), settings.seed)
        self._lessons = _with(lessons, self._split.train)
        self._held_out = _with(lessons, self._split.held_out)
        self._learner = Learner(start, settings, settings.device, settings.precision)
        freeze_norms(self._learner.module)
        self._learner.class_weights = _class_weights(self._lessons, start, settings.class_weights)
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._augmentation = Augmentation(strength=settings.augmentation)
        self._size = _patch_size(start, settings)
        self._n_classes = max(len(start.classes), len(active.classes))
        self._margin = start.spec.margin
        self._prepare_optimiser(start)

    def _prepare_optimiser(self, start: Network) -> None:
        settings, module = self._settings, self._learner.module
        layers = settings.layers or _LAYERS[settings.what]
        parts = parts_of(module, start.spec.n_outputs)
        self._head = parts.head
        self._names = {
            Layers.HEAD: parts.head,
            Layers.DECODER: parts.head + parts.decoder,
            Layers.ALL: parts.head + parts.decoder + parts.encoder,
        }[layers]
        self._rate = settings.learning_rate or _RATES[layers]
        weights = dict(module.named_parameters())
        let_change(module, self._names)
        self._optimiser = torch.optim.AdamW(
            [weights[name] for name in self._names], lr=self._rate, weight_decay=0.0
        )
        self._learner.anchor = Anchor(module, settings.anchor)

    def run(self, should_stop: Callable[[], bool] | None = None) -> Iterator[TeachReport]:
        before = self._judged(self._active, self._meaning)
        yield TeachReport(0, 0, 0.0, self._seconds, math.nan, before)
        judging = self._seconds
        points = Points.of(self._learner.network, self._lessons, self._learner.precision)
        sampler = VouchedSampler(self._lessons, points, self._margin, self._generator)
        end = max(60 * self._settings.minutes - judging, 1.0)
        report = TeachReport(0, 0, 0.0, self._seconds, math.nan)
        for report in self._steps(sampler, end):
            yield report
            if should_stop is not None and should_stop():
                break
        candidate = self._learner.own_copy()
        after = self._judged(candidate, None)
        found = verdict(candidate, before, after, self._split.missing)
        yield replace(
            report,
            progress=1.0,
            seconds=self._seconds,
            held_out=after,
            network=candidate,
            verdict=found,
        )

    def _steps(self, sampler: VouchedSampler, end: float) -> Iterator[TeachReport]:
        pixels = sum(one.vouchings.count for one in self._lessons)
        epoch_steps = math.ceil(pixels / (self._settings.batch * self._size**2))
        total = self._total_steps(pixels, epoch_steps)
        started, looked, judged = self._seconds, self._seconds, self._seconds
        step, progress = 0, 0.0
        while progress < 1:
            loss = self._step(sampler, progress)
            step += 1
            used = (self._seconds - started) / max(end - started, 1e-3)
            progress = min(max(step / total, used), 1.0)
            report = TeachReport(step, 1 + (step - 1) // epoch_steps, progress, self._seconds, loss)
            if self._learner.failures >= PATIENCE:
                self._give_up()
                yield report
                return
            if self._seconds - looked > _LOOK_S and progress < 1:
                looked = self._seconds
                report = replace(report, network=self._learner.own_copy())
            if self._seconds - judged > _JUDGE_S and progress < 1:
                report = replace(report, held_out=self._judged(self._learner.network, None))
                judged = self._seconds
            yield report

    def _total_steps(self, pixels: int, epoch_steps: int) -> float:
        if self._settings.epochs is not None:
            return self._settings.epochs * epoch_steps
        return math.inf

    def _step(self, sampler: VouchedSampler, progress: float) -> float:
        early = progress < _HEAD_FIRST
        let_change(self._learner.module, self._head if early else self._names)
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * rate(progress)
        images, masks = self._batch(sampler)
        return self._learner.step(images, masks, self._optimiser)

    def _batch(self, sampler: VouchedSampler) -> tuple[Tensor, Tensor]:
        settings, device = self._settings, self._learner.device
        images, masks = sampler.draw(settings.batch, self._size, self._augmentation.margin)
        whole = self._size + 2 * self._margin
        images, masks = self._augmentation(
            images.to(device), masks.to(device), whole, self._generator
        )
        inner = slice(self._margin, whole - self._margin)
        return images, masks[:, inner, inner]

    def _judged(self, network: Network, meaning: Sequence[int] | None) -> Confusion | None:
        if not self._split.n_held_out:
            return None
        return judge(
            network, self._held_out, self._n_classes, self._learner.precision, meaning=meaning
        )

    def _give_up(self) -> None:
        if not self._learner.average.updates:
            raise NetworkError(
                f"The loss was not a number {PATIENCE} times in a row, and nothing is learnt yet. "
                f"Try a learning rate below {self._rate:g}, or full precision (fp32)."
            )

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._begun


def _with(lessons: Sequence[Lesson], parts: Sequence[Vouchings]) -> list[Lesson]:
    pairs = zip(lessons, parts, strict=True)
    return [lesson.but(part) for lesson, part in pairs if part.count]


def _class_weights(
    lessons: Sequence[Lesson], network: Network, kind: ClassWeights
) -> Tensor | None:
    masks = (one.vouchings.labels(box) for one in lessons for box in one.vouchings.boxes())
    return balanced_weights(masks, len(network.classes), kind)


def _patch_size(network: Network, settings: TeachSettings) -> int:
    spec = network.spec
    wanted = settings.patch or min(_PATCH_PX, spec.tile)
    size = max(wanted // spec.stride, 1) * spec.stride
    if settings.patch is not None and size != wanted:
        raise SettingsError(
            f"The patch is {wanted} px, but '{spec.name}' reads multiples of {spec.stride} px; "
            f"choose {size} or {size + spec.stride}."
        )
    return size
