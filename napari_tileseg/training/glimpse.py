"""A quick look at what a network says about one part of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_tileseg.annotation.sparse import shape_of
from napari_tileseg.engine.device import autocast
from napari_tileseg.training.windows import CONTEXT_PX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.engine.network import Network
    from napari_tileseg.settings import Precision
    from napari_tileseg.training.lessons import Lesson


@torch.inference_mode()
def glimpse(
    network: Network, lesson: Lesson, region: Region, precision: Precision
) -> NDArray[np.uint8]:
    """Return the labels that a network gives to a small part of an image, seen at once.

    Close to what a run gives: every pixel is seen with `CONTEXT_PX` around it.

    Parameters
    ----------
    network
        In evaluation mode.
    lesson
        The image; what is vouched for is not looked at.
    region
        In label coordinates: one plane, and a few hundred pixels of it.
    precision
        The number format to compute in.

    Returns
    -------
    uint8 of the region's shape.
    """
    plane = tuple(axis.start for axis in region[:-2])
    stride = network.spec.stride
    longest = max(shape_of(region[-2:])) + 2 * CONTEXT_PX
    size = -(-longest // stride) * stride
    top, left = ((axis.start + axis.stop - size) // 2 for axis in region[-2:])
    image, _ = lesson.crop(plane, (top, left), size, network.spec.margin)
    with autocast(network.device, precision):
        logits = network.logits(image[None].to(network.device))
    labels = network.decide(network.evidence(logits[0].float())).cpu().numpy()
    rows, columns = (
        slice(axis.start - start, axis.stop - start)
        for axis, start in zip(region[-2:], (top, left), strict=True)
    )
    return labels[rows, columns].reshape(shape_of(region))
