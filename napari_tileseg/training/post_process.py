"""From what a network answers to labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch

from napari_tileseg.engine.spec import MAX_CLASSES
from napari_tileseg.errors import NetworkError, SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@overload
def post_process(logits: torch.Tensor, *, threshold: float = ...) -> torch.Tensor: ...
@overload
def post_process(logits: NDArray[Any], *, threshold: float = ...) -> NDArray[np.uint8]: ...
def post_process(
    logits: torch.Tensor | NDArray[Any], *, threshold: float = 0.5
) -> torch.Tensor | NDArray[np.uint8]:
    """Turn the logits of a network into a label map.

    Parameters
    ----------
    logits
        (C, H, W) or, for a batch, (B, C, H, W): one channel a class, or a single one for
        foreground. A tensor on any device, or an array.
    threshold
        With a single channel: how probable (0 to 1, after sigmoid) foreground has to be.

    Returns
    -------
    (H, W), or (B, H, W) for a batch; uint8, of the same kind and on the same device as the
    logits. The class with the highest logit, the first one among equals; with a single channel 1
    for foreground and 0 for the rest.

    Raises
    ------
    NetworkError
        If the logits have another shape, are not numbers, or there are too many classes.
    SettingsError
        If the threshold is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise SettingsError(f"The threshold is {threshold:g}; it has to be between 0 and 1.")
    given = logits if isinstance(logits, torch.Tensor) else torch.from_numpy(np.asarray(logits))
    labels = _labels(_checked(given), threshold)
    return labels if isinstance(logits, torch.Tensor) else labels.numpy()


def _checked(logits: torch.Tensor) -> torch.Tensor:
    if logits.ndim not in (3, 4) or 0 in logits.shape:
        shape = " × ".join(map(str, logits.shape))
        raise NetworkError(
            f"These logits have the shape {shape}; it has to be classes × height × width, or "
            "batch × classes × height × width."
        )
    if logits.shape[-3] > MAX_CLASSES:
        raise NetworkError(
            f"These logits are for {logits.shape[-3]} classes; labels can hold {MAX_CLASSES}."
        )
    if not logits.is_floating_point() or bool(logits.isnan().any()):
        raise NetworkError(
            "These logits are not all floating-point numbers. Hand over what the network answers, "
            "before argmax; if it answers so, its weights or its input are damaged."
        )
    return logits.detach()


def _labels(logits: torch.Tensor, threshold: float) -> torch.Tensor:
    classes = logits.unbind(-3)
    if len(classes) == 1:
        return (classes[0].float() > math.log(threshold / (1 - threshold))).to(torch.uint8)
    best = classes[0].clone()
    labels = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
    for index, one in enumerate(classes[1:], 1):
        better = one > best
        labels[better] = index
        best = torch.maximum(best, one)
    return labels
