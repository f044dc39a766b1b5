"""How undecided a network is: of all pixels for a comparison, of a few to know where to look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.spec import Task

if TYPE_CHECKING:
    import torch

    from napari_tileseg.engine.canvas import Box
    from napari_tileseg.engine.network import Network

STEP_PX = 8
"""On the last two axes every eighth pixel of the image is looked at, the first one included."""


def margins(network: Network, evidence: torch.Tensor) -> torch.Tensor:
    """Return how far each decision is from a tie, as a difference of two probabilities.

    Parameters
    ----------
    network
        Which one decides.
    evidence
        (outputs, *spatial) float.

    Returns
    -------
    (*spatial), for a multilabel model (classes, *spatial).
    """
    sure = network.probabilities(evidence)
    if network.spec.task is Task.MULTICLASS:
        return _ahead(sure)
    return 2 * (_yes(network, sure) - network.spec.threshold).abs()


def doubt(network: Network, evidence: torch.Tensor, box: Box, unit: float = 1.0) -> torch.Tensor:
    """Return how undecided a network is at some of the pixels of a box.

    Parameters
    ----------
    network
        Which one decides.
    evidence
        (outputs, *box) numbers of any type.
    box
        Where that lies in the image, in pixels.
    unit
        What one unit of evidence is in these numbers.

    Returns
    -------
    (*middle, rows, columns) float32, 0 for sure to 1 for a tie, at the pixels of the box whose
    row and column in the image are multiples of `STEP_PX`. Of several labels the least sure one
    counts.
    """
    few: tuple[Any, ...] = tuple(slice(-at.start % STEP_PX, None, STEP_PX) for at in box[-2:])
    sure = network.probabilities(evidence[..., few[0], few[1]].float() / unit)
    if network.spec.task is Task.MULTICLASS:
        return 1 - _ahead(sure)
    threshold = network.spec.threshold
    off = _yes(network, sure) - threshold
    left = 1 - off.clamp(min=0) / (1 - threshold) + off.clamp(max=0) / threshold
    return left.amax(0) if network.spec.task is Task.MULTILABEL else left


def told_within(inner: Box, outer: Box) -> tuple[slice, ...]:
    """Return where the doubt of a box lies in the doubt of another box around it."""
    middle = (
        slice(at.start - whole.start, at.stop - whole.start)
        for at, whole in zip(inner[:-2], outer[:-2], strict=True)
    )
    few = (
        slice(_told_before(at.start, whole), _told_before(at.stop, whole))
        for at, whole in zip(inner[-2:], outer[-2:], strict=True)
    )
    return (*middle, *few)


def _told_before(end: int, whole: slice) -> int:
    return int(-(-end // STEP_PX) - -(-whole.start // STEP_PX))


def _ahead(sure: torch.Tensor) -> torch.Tensor:
    """Return how far the best class is ahead of the next."""
    highest = sure.topk(2, dim=0).values
    return highest[0] - highest[1]


def _yes(network: Network, sure: torch.Tensor) -> torch.Tensor:
    """Return what is compared with the threshold."""
    return sure if network.spec.task is Task.MULTILABEL else sure[-1]
