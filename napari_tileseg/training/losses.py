"""What a network is trained to make small, over pixels whose class is known only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_tileseg.engine.spec import NOT_COMPUTED, Task
from napari_tileseg.settings import ClassWeights, Loss, LossSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

IGNORE = NOT_COMPUTED
"""The value in a mask that says: nobody knows, learn nothing here."""

_AREAS = (Loss.DICE, Loss.DICE_CE, Loss.DICE_FOCAL)
_MOST_WEIGHT = 20.0


@dataclass(frozen=True, eq=False)
class _Batch:
    """Logits, the truth and where it is known, in the shapes that all losses need.

    Attributes
    ----------
    logits
        (B, outputs, *spatial) float32; 0 where nobody knows.
    truth
        (B, *spatial) int64; 0 where nobody knows.
    weight
        (B, *spatial) float32: how much each pixel counts; 0 where nobody knows.
    """

    logits: Tensor
    truth: Tensor
    weight: Tensor
    task: Task

    @property
    def shares(self) -> Tensor:
        """(B, outputs, *spatial) probabilities."""
        return self.logits.sigmoid() if self.task is Task.BINARY else self.logits.softmax(1)

    @property
    def wanted(self) -> Tensor:
        """(B, outputs, *spatial) what the probabilities should be."""
        if self.task is Task.BINARY:
            return self.truth[:, None].to(self.logits.dtype)
        hot = functional.one_hot(self.truth, self.logits.shape[1])
        return hot.movedim(-1, 1).to(self.logits.dtype)


def segmentation_loss(
    logits: Tensor,
    target: Tensor,
    *,
    task: Task = Task.MULTICLASS,
    loss: Loss = Loss.DICE_CE,
    settings: LossSettings | None = None,
    class_weights: Tensor | None = None,
    pixel_weights: Tensor | None = None,
) -> Tensor:
    """Compare logits with a mask, over the pixels whose class is known.

    Parameters
    ----------
    logits
        (B, outputs, *spatial) float; one output a class, or a single one for a binary task.
    target
        (B, *spatial) class indices; 255 where nobody knows.
    task
        `Task.MULTICLASS` or `Task.BINARY`.
    loss
        Which one, where `settings` are not given.
    settings
        Which loss, and the weight of Dice, gamma and alpha of focal loss.
    class_weights
        (classes,) how much a pixel of each class counts in cross-entropy and focal loss.
    pixel_weights
        (B, *spatial) how much each pixel counts, in every loss.

    Returns
    -------
    A scalar, 0 for a perfect answer. Pixels with target 255 have no influence on it; where all
    are 255 it is 0, with gradients that are 0.
    """
    how = settings or LossSettings(loss=loss)
    known = target != IGNORE  # (B, *spatial)
    # not by multiplication: an infinity under an unknown pixel would turn into not-a-number
    logits = torch.where(known[:, None], logits.float(), 0.0)
    weight = known.to(logits.dtype)
    if pixel_weights is not None:
        weight = torch.where(known, pixel_weights.to(logits.dtype), 0.0)
    batch = _Batch(logits, torch.where(known, target, 0).long(), weight, task)
    total = logits.sum() * 0.0
    if how.loss in (Loss.CE, Loss.DICE_CE):
        total = total + _cross_entropy(batch, class_weights)
    if how.loss in (Loss.FOCAL, Loss.DICE_FOCAL):
        total = total + _focal(batch, class_weights, how.focal_gamma, how.focal_alpha)
    if how.loss in _AREAS:
        alone = how.loss is Loss.DICE
        total = total + _dice(batch) * (1.0 if alone else how.dice_weight)
    if how.loss is Loss.GENERALISED_DICE:
        total = total + _generalised_dice(batch)
    return total


def balanced_weights(
    masks: Iterable[NDArray[np.uint8]], n_classes: int, kind: ClassWeights = ClassWeights.BALANCED
) -> Tensor | None:
    """Return how much a pixel of each class is to count, (classes,); None if all the same.

    Balanced weights are the inverse of how often a class occurs, so that all classes together
    count the same; no class counts more than 20 times as much as the most frequent one, as a
    handful of pixels would decide everything otherwise. A class that does not occur counts 1.
    """
    if kind is ClassWeights.EQUAL:
        return None
    counts = torch.zeros(256, dtype=torch.float64)
    for mask in masks:
        counts += torch.bincount(torch.from_numpy(mask.ravel()).long(), minlength=256)
    return _inverse(counts[:n_classes].tolist())


def _inverse(counts: Sequence[float]) -> Tensor:
    most = max(counts)
    raw = [min(most / count, _MOST_WEIGHT) if count else 1.0 for count in counts]
    return torch.tensor(raw, dtype=torch.float32)


def _each_cross_entropy(batch: _Batch) -> Tensor:
    """Return the cross-entropy of each pixel, (B, *spatial), in nats."""
    if batch.task is Task.BINARY:
        truth = batch.truth.to(batch.logits.dtype)
        return functional.binary_cross_entropy_with_logits(
            batch.logits[:, 0], truth, reduction="none"
        )
    return functional.cross_entropy(batch.logits, batch.truth, reduction="none")


def _counting(batch: _Batch, class_weights: Tensor | None) -> Tensor:
    """Return how much each pixel counts, (B, *spatial), its class included."""
    if class_weights is None:
        return batch.weight
    return batch.weight * class_weights.to(batch.weight)[batch.truth]


def _cross_entropy(batch: _Batch, class_weights: Tensor | None) -> Tensor:
    """Return the weighted mean cross-entropy of the known pixels, in nats."""
    weight = _counting(batch, class_weights)
    return (_each_cross_entropy(batch) * weight).sum() / _at_least(weight.sum())


def _focal(
    batch: _Batch, class_weights: Tensor | None, gamma: float, alpha: float | None
) -> Tensor:
    """Return the focal loss (Lin 2017, eq. 5), the weighted mean over the known pixels.

    Alpha weighs foreground and 1 - alpha background; it is no part of what the mean divides by.
    """
    entropy = _each_cross_entropy(batch)
    # from 0 on the power has no slope for a gamma below 1
    unsure = (-torch.expm1(-entropy)).clamp(min=1e-7)
    weight = _counting(batch, class_weights)
    each = entropy * unsure**gamma * weight
    if alpha is not None:
        each = each * torch.where(batch.truth > 0, alpha, 1 - alpha)
    return each.sum() / _at_least(weight.sum())


def _dice(batch: _Batch) -> Tensor:
    """Return 1 - soft Dice (Milletari 2016, eq. 2 without squares), mean over classes present."""
    both, either, present = _overlaps(batch)
    dice = (2 * both + 1) / (either + 1)
    return ((1 - dice) * (present > 0)).sum() / (present > 0).sum().clamp(min=1)


def _generalised_dice(batch: _Batch) -> Tensor:
    """Return 1 - generalised Dice (Sudre 2017, eq. 1): classes weigh 1 / (their pixels)^2.

    A binary task has two classes here, as the weights would cancel out for one.
    """
    if batch.task is Task.BINARY:
        two = torch.cat([torch.zeros_like(batch.logits), batch.logits], 1)
        batch = _Batch(two, batch.truth, batch.weight, Task.MULTICLASS)
    both, either, present = _overlaps(batch)
    weight = torch.where(present > 0, present.clamp(min=1e-6) ** -2, 0.0)
    weight = weight / _at_least(weight.sum())
    score = (2 * (weight * both).sum()) / _at_least((weight * either).sum())
    return (1 - score) * (present.sum() > 0)


def _overlaps(batch: _Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return what truth and answer share, their sum, and what truly is there; (outputs,) each."""
    share, wanted, seen = batch.shares, batch.wanted, batch.weight[:, None]
    pixels = [axis for axis in range(share.ndim) if axis != 1]
    truly = (wanted * seen).sum(pixels)
    return (share * wanted * seen).sum(pixels), (share * seen).sum(pixels) + truly, truly


def _at_least(total: Tensor) -> Tensor:
    """Return what can be divided by."""
    return torch.where(total > 0, total, 1.0)
