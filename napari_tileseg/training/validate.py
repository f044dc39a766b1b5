"""A quick look at how well a network does while it is being trained."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import torch

from napari_tileseg.engine.device import autocast
from napari_tileseg.training.metrics import Confusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_tileseg.engine.network import Network
    from napari_tileseg.settings import Precision
    from napari_tileseg.training.samples import Sample

_SIDE_PX = 1024


@torch.inference_mode()
def validate(network: Network, samples: Sequence[Sample], precision: Precision) -> Confusion:
    """Compare a network's labels with the masks, in large squares that do not overlap.

    Faster than a real run and close to it; for figures to report use `evaluate`.
    """
    confusion = Confusion(len(network.classes))
    for sample in samples:
        side = _side(sample.shape, network.spec.stride)
        starts = [range(0, n, side) for n in sample.shape]
        for top, left in product(*starts):
            image, mask = sample.crop((top, left), side)
            with autocast(network.device, precision):
                logits = network.module(image[None].to(network.device))
            labels = network.decide(network.evidence(logits[0].float()))
            confusion.add(labels.cpu().numpy(), mask.numpy())
    return confusion


def _side(shape: tuple[int, int], stride: int) -> int:
    """Return the side of squares that cover an image with little waste, in pixels."""
    whole = max(shape)
    side = whole / math.ceil(whole / _SIDE_PX)
    return math.ceil(side / stride) * stride
