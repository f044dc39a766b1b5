"""A network that learns from vouched places: what of it may change, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_tileseg.errors import NetworkError
from napari_tileseg.settings import What
from napari_tileseg.training.anchor import Anchor
from napari_tileseg.training.augment import Augmentation
from napari_tileseg.training.drawing import Points, VouchedSampler
from napari_tileseg.training.layers import freeze_norms, let_change, parts_of
from napari_tileseg.training.learner import PATIENCE, Learner, rate
from napari_tileseg.training.losses import balanced_weights
from napari_tileseg.training.pace import learning_rates
from napari_tileseg.training.piece import piece_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from napari_tileseg.engine.network import Network
    from napari_tileseg.settings import ClassWeights, TeachSettings
    from napari_tileseg.training.lessons import Lesson

_PATCH_PX = 256

_HEAD_FIRST = 0.1
"""For this share of the time only the head learns, so that it suits before the rest follows."""


_KEPT = 0.25
"""The share of the weights at the start that stays where details alone are learnt."""


class Pupil:
    """A copy of a network that learns step by step.

    Parameters
    ----------
    start
        What it begins as; it is not changed.
    lessons
        What it learns from.
    settings
        What may change, how fast, and so on.
    steps
        How many there are going to be.
    check
        Called often before the first step; what it raises ends the teaching.

    Attributes
    ----------
    precision
        The number format it computes in.
    """

    def __init__(
        self,
        start: Network,
        lessons: Sequence[Lesson],
        settings: TeachSettings,
        steps: int,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._patch = patch_size(start, settings)
        self._margin = start.spec.margin
        self._learner = Learner(
            start, settings, settings.device, settings.precision, _kept(settings)
        )
        self._learner.class_weights = _class_weights(lessons, start, settings.class_weights)
        self.precision = self._learner.precision
        self._rates = learning_rates(settings, steps)
        self._choose_weights(start.spec.n_outputs)
        self._augmentation = Augmentation(strength=settings.augmentation)
        self._generator = torch.Generator().manual_seed(settings.seed)
        points = Points.of(self._learner.network, lessons, self.precision, check)
        self._sampler = VouchedSampler(lessons, points, self._margin, self._generator)

    @property
    def network(self) -> Network:
        """What it has become so far; the next steps change it."""
        return self._learner.network

    @property
    def is_stuck(self) -> bool:
        """Whether one step after the other comes to nothing.

        Raises
        ------
        NetworkError
            If nothing at all was learnt before.
        """
        if self._learner.failures < PATIENCE:
            return False
        if not self._learner.average.updates:
            raise NetworkError(
                f"The loss was not a number {PATIENCE} times in a row, and nothing is learnt yet. "
                f"Try a learning rate below {self._rates[0]:g}, or full precision (fp32)."
            )
        return True

    def own_copy(self) -> Network:
        """Return what it has become so far, with weights of its own, on the CPU."""
        return self._learner.own_copy()

    def step(self, progress: float) -> float:
        """Learn from one batch; return its loss, nan if nothing was learnt.

        Parameters
        ----------
        progress
            How much of the time to learn is over, 0 to 1.
        """
        early = progress < _HEAD_FIRST
        let_change(self._learner.module, self._head if early else self._names)
        groups = self._optimiser.param_groups
        for group, highest in zip(groups, self._rates, strict=True):
            group["lr"] = highest * rate(progress)
        images, masks = self._batch()
        return self._learner.step(images, masks, self._optimiser)

    def _choose_weights(self, n_outputs: int) -> None:
        """Make the optimiser, for the weights that may change."""
        module = self._learner.module
        freeze_norms(module)
        parts = parts_of(module, n_outputs)
        chosen = (parts.head, parts.decoder, parts.encoder)[: len(self._rates)]
        self._head = parts.head
        self._names = [name for names in chosen for name in names]
        let_change(module, self._names)
        weights = dict(module.named_parameters())
        self._optimiser = torch.optim.AdamW(
            [{"params": [weights[name] for name in names]} for names in chosen],
            weight_decay=0.0,
            fused=True,
        )
        # a head that has to tell other things apart has no home to be held near
        free = parts.head if self._settings.what is What.WHOLE_MODEL else ()
        self._learner.anchor = Anchor(module, self._settings.anchor, free)

    def _batch(self) -> tuple[Tensor, Tensor]:
        device = self._learner.device
        whole = self._patch + 2 * self._margin
        images, masks = self._sampler.draw(
            self._settings.batch, self._patch, self._augmentation.margin
        )
        images, masks = self._augmentation(
            images.to(device), masks.to(device), whole, self._generator
        )
        inner = slice(self._margin, whole - self._margin)
        return images, masks[:, inner, inner]


def _kept(settings: TeachSettings) -> float:
    details = settings.what is What.NEW_DETAILS
    return _KEPT if details and settings.anchor else 0.0


def _class_weights(
    lessons: Sequence[Lesson], network: Network, kind: ClassWeights
) -> Tensor | None:
    masks = (one.vouchings.labels(box) for one in lessons for box in one.vouchings.boxes())
    return balanced_weights(masks, len(network.classes), kind)


def patch_size(network: Network, settings: TeachSettings) -> int:
    """Return the side of what a network answers for at once, in pixels; see `piece_size`."""
    return piece_size(network, settings.patch, min(_PATCH_PX, network.spec.tile))
