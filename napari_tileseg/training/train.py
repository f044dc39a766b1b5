"""Training as a stream: one report a step; close the stream to stop."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_tileseg.engine.device import memory_errors_explained, resolve_device
from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import ImageError, ModelFitError, NetworkError
from napari_tileseg.settings import TrainSettings
from napari_tileseg.training.augment import Augmentation
from napari_tileseg.training.learnable import require_learnable
from napari_tileseg.training.learner import PATIENCE, Learner, rate
from napari_tileseg.training.losses import IGNORE, balanced_weights
from napari_tileseg.training.norms import refuse_single_values
from napari_tileseg.training.piece import piece_size
from napari_tileseg.training.samples import PatchSampler, check_foreground
from napari_tileseg.training.validate import validate

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from torch import Tensor

    from napari_tileseg.engine.network import Network
    from napari_tileseg.training.metrics import Confusion
    from napari_tileseg.training.samples import Sample

PATCH_PX = 512
"""The side of the pieces that most networks learn from."""

_EPOCHS = 50
_CHECKS = 12


@dataclass(frozen=True, eq=False)
class TrainReport:
    """What one step of training has come to.

    Attributes
    ----------
    epoch, step
        Counted from 1; an epoch is as many steps as it takes to see every place once.
    progress
        How much of the budget is used up, 0 to 1.
    seconds
        Since the start.
    loss
        Of this step; nan if it was skipped because the loss was not a number.
    validation
        How the averaged weights do on the validation images, every now and then.
    best
        The best network so far, with weights of its own, whenever there is a better one.
    stopped
        Why training ends early, for a person; empty otherwise.
    """

    epoch: int
    step: int
    progress: float
    seconds: float
    loss: float
    validation: Confusion | None = None
    best: Network | None = None
    stopped: str = ""


def train(
    network: Network,
    samples: Sequence[Sample],
    *,
    validation: Sequence[Sample] = (),
    settings: TrainSettings | None = None,
) -> Generator[TrainReport, None, None]:
    """Train a copy of a network.

    AdamW with warm-up and a cosine to zero over the budget; what is validated and handed out
    are exponential moving averages of the weights.

    Parameters
    ----------
    network
        Where to start; it is not changed.
    samples
        What to learn from.
    validation
        What to choose the best network by (highest mIoU); without it the last one is the best.
    settings
        Budget, patch size and so on.

    Yields
    ------
    One report a step. Closing the stream stops; the last `best` is what there is by then.

    Raises
    ------
    ModelFitError, ImageError
        If the network cannot be trained on masks, or no mask says anything.
    SettingsError
        If patch or batch do not fit the network, or the precision is too coarse.
    NetworkError
        If the loss is not a number, time after time, before there is any result.
    """
    settings = settings or TrainSettings()
    _check(network, samples, validation, settings)
    with memory_errors_explained(resolve_device(settings.device)):
        yield from _Trainer(network, samples, validation, settings).run()


def _check(
    network: Network,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    settings: TrainSettings,
) -> None:
    require_learnable(network)
    _check_shape(network)
    piece_size(network, settings.patch, PATCH_PX)
    if network.spec.task is Task.MULTILABEL:
        raise ModelFitError(
            f"'{network.spec.name}' can give a pixel several classes at once; masks with one "
            "class for each pixel cannot teach it."
        )
    if not samples:
        raise ImageError("There is no image to learn from.")
    if _says_nothing(samples):
        raise ModelFitError("All masks are 255 (unknown) everywhere: there is nothing to learn.")
    if validation and _says_nothing(validation):
        raise ModelFitError(
            "All masks of the validation images are 255 (unknown) everywhere: the best model "
            "cannot be chosen by them. Correct these masks, or leave out the validation images."
        )
    for some in (samples, validation):
        check_foreground((sample.mask for sample in some), len(network.classes))


def _check_shape(network: Network) -> None:
    spec = network.spec
    if spec.margin:
        raise ModelFitError(
            f"'{spec.name}' answers for less than it is shown ({spec.margin} px less on every "
            "side); only networks that answer for all of a patch can be trained here. Choose one "
            "with padding='same'."
        )
    if spec.spatial_dims != 2:
        raise ModelFitError(
            f"'{spec.name}' reads volumes; only networks for images can be trained here."
        )


def _says_nothing(samples: Sequence[Sample]) -> bool:
    return all((sample.mask == IGNORE).all() for sample in samples)


class _Trainer:
    def __init__(
        self,
        network: Network,
        samples: Sequence[Sample],
        validation: Sequence[Sample],
        settings: TrainSettings,
    ) -> None:
        self._settings = settings
        self._learner = Learner(network, settings, settings.device, settings.precision)
        refuse_single_values(self._learner.module)
        masks = (sample.mask for sample in samples)
        self._learner.class_weights = balanced_weights(
            masks, len(network.classes), settings.class_weights
        )
        self._optimiser = torch.optim.AdamW(
            self._learner.module.parameters(),
            lr=settings.learning_rate,
            weight_decay=1e-2,
            fused=True,
        )
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._sampler = PatchSampler(samples, self._generator)
        self._augmentation = Augmentation(strength=settings.augmentation)
        self._validation = validation
        pixels = sum(sample.mask.size for sample in samples)
        self._patch = piece_size(network, settings.patch, PATCH_PX)
        self._epoch_steps = math.ceil(pixels / (settings.batch * self._patch**2))
        self._best = -math.inf

    def run(self) -> Iterator[TrainReport]:
        settings = self._settings
        start = time.monotonic()
        step, checks, progress = 0, 0, 0.0
        found = False
        while progress < 1:
            for group in self._optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate(progress)
            loss = self._learner.step(*self._batch(), self._optimiser)
            step += 1
            seconds = time.monotonic() - start
            progress = _progress(settings, step / self._epoch_steps, seconds)
            report = TrainReport(
                epoch=1 + (step - 1) // self._epoch_steps,
                step=step,
                progress=progress,
                seconds=seconds,
                loss=loss,
            )
            if self._learner.failures >= PATIENCE:
                yield replace(report, stopped=self._diverged(found))
                return
            if self._learner.average.updates and progress * _CHECKS >= checks + 1:
                checks = int(progress * _CHECKS)
                report = self._judged(report)
                found = found or report.best is not None
            yield report

    def _batch(self) -> tuple[Tensor, Tensor]:
        size, device = self._patch, self._learner.device
        images, masks = self._sampler.draw(self._settings.batch, size, self._augmentation.margin)
        return self._augmentation(images.to(device), masks.to(device), size, self._generator)

    def _judged(self, report: TrainReport) -> TrainReport:
        """Validate the averaged weights, and hand them out if they are the best so far."""
        learner = self._learner
        if not self._validation:
            return replace(report, best=learner.own_copy())
        confusion = validate(learner.network, self._validation, learner.precision)
        if not confusion.miou > self._best:
            return replace(report, validation=confusion)
        self._best = confusion.miou
        return replace(report, validation=confusion, best=learner.own_copy())

    def _diverged(self, found: bool) -> str:
        reason = (
            f"The loss was not a number {PATIENCE} times in a row. Try a learning rate below "
            f"{self._settings.learning_rate:g}, or --precision fp32."
        )
        if not found:
            raise NetworkError(f"{reason} There is no result yet to keep.")
        return f"{reason} The best network until then is kept."


def _progress(settings: TrainSettings, epochs_done: float, seconds: float) -> float:
    """Return how much of the budget is used up, 0 to 1: of time or of epochs."""
    minutes, epochs = settings.minutes, settings.epochs
    if minutes is None and epochs is None:
        epochs = _EPOCHS
    of_epochs = 0.0 if epochs is None else epochs_done / epochs
    of_time = 0.0 if minutes is None else seconds / (60 * minutes)
    return min(max(of_epochs, of_time), 1.0)
