"""What half precision changes on images whose labels are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.bench.figures import Figure, skipped
from napari_tileseg.evaluation import evaluate
from napari_tileseg.io.images import open_image
from napari_tileseg.io.labels import read_labels
from napari_tileseg.io.samples import sample_image
from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.bench.setup import Setup
    from napari_tileseg.engine.network import Network

_BAR = 0.002


def miou_figures(setup: Setup, network: Network, precision: Precision) -> Iterator[Figure]:
    """Yield mIoU in fp32 and in `precision`, and how much it changes."""
    if setup.images is None and setup.model != "axon_myelin_sem":
        yield skipped("mIoU", f"no labelled images for '{setup.model}' (--images, --masks)")
        return
    images, masks = _labelled(setup)
    settings: dict[str, Any] = {"tile": 512, "overlap": 0.5, "blend": "gaussian", "device": "cpu"}
    full = evaluate(network, images, masks, **settings, precision=Precision.FP32).miou
    yield Figure("mIoU in fp32", full)
    if precision is Precision.FP32:
        yield skipped("mIoU in half precision", "automatic precision is fp32 here")
        return
    half = evaluate(network, images, masks, **settings, precision=precision).miou
    yield Figure(f"mIoU in {precision.value}", half)
    yield Figure("change of mIoU", abs(full - half), "", _BAR)


def _labelled(setup: Setup) -> tuple[Any, Any]:
    if setup.images is not None and setup.masks is not None:
        return setup.images, setup.masks
    image = sample_image(setup.model)
    mask = image.with_name(f"{image.stem}_mask.png")
    with open_image(image) as opened:
        pixels = np.asarray(opened.levels[0])
    return [pixels], [np.asarray(read_labels(mask).labels)]
