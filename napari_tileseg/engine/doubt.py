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
    """Return how far each decision is from going the other way, in probability.

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
    if network.spec.task is Task.MULTILABEL:
        return (sure - network.spec.threshold).abs()
    highest = sure.topk(2, dim=0).values
    return highest[0] - highest[1]


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
    row and column in the image are multiples of `STEP_PX`.
    """
    few: tuple[Any, ...] = tuple(slice(-at.start % STEP_PX, None, STEP_PX) for at in box[-2:])
    left = margins(network, evidence[..., few[0], few[1]].float() / unit)
    if network.spec.task is Task.MULTILABEL:
        left = left.amin(0) / max(network.spec.threshold, 1 - network.spec.threshold)
    return 1 - left
