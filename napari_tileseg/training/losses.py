"""What a network is trained to make small: Dice and cross-entropy over known pixels only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_tileseg.engine.spec import NOT_COMPUTED, Task
from napari_tileseg.settings import Loss

if TYPE_CHECKING:
    from torch import Tensor

IGNORE = NOT_COMPUTED
"""The value in a mask that says: nobody knows, learn nothing here."""


def segmentation_loss(
    logits: Tensor, target: Tensor, *, task: Task = Task.MULTICLASS, loss: Loss = Loss.DICE_CE
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
        The terms to add up; each is 0 for a perfect answer.

    Returns
    -------
    A scalar. Pixels with target 255 have no influence on it; where all are 255 it is 0, with
    gradients that are 0.
    """
    known = target != IGNORE  # (B, *spatial)
    # not by multiplication: an infinity under an unknown pixel would turn into not-a-number
    logits = torch.where(known[:, None], logits.float(), 0.0)
    truth = torch.where(known, target, 0).long()
    total = logits.new_zeros(())
    if loss in (Loss.DICE_CE, Loss.CE):
        total = total + _cross_entropy(logits, truth, known, task)
    if loss in (Loss.DICE_CE, Loss.DICE):
        total = total + _dice(logits, truth, known, task)
    return total


def _cross_entropy(logits: Tensor, truth: Tensor, known: Tensor, task: Task) -> Tensor:
    """Return the mean cross-entropy of the known pixels, in nats."""
    if task is Task.BINARY:
        each = functional.binary_cross_entropy_with_logits(
            logits[:, 0], truth.to(logits.dtype), reduction="none"
        )
    else:
        each = functional.cross_entropy(logits, truth, reduction="none")  # (B, *spatial)
    return (each * known).sum() / known.sum().clamp(min=1)


def _dice(logits: Tensor, truth: Tensor, known: Tensor, task: Task) -> Tensor:
    """Return 1 - soft Dice (Milletari 2016, eq. 2 without squares), mean over classes present."""
    if task is Task.BINARY:
        share = logits.sigmoid()  # (B, 1, *spatial)
        wanted = truth[:, None].to(share.dtype)
    else:
        share = logits.softmax(1)  # (B, classes, *spatial)
        wanted = functional.one_hot(truth, logits.shape[1]).movedim(-1, 1).to(share.dtype)
    seen = known[:, None].to(share.dtype)
    pixels = [axis for axis in range(share.ndim) if axis != 1]
    both = (share * wanted * seen).sum(pixels)  # (classes,)
    either = ((share + wanted) * seen).sum(pixels)
    present = (wanted * seen).sum(pixels) > 0
    dice = (2 * both + 1) / (either + 1)
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)
