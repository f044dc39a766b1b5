"""How long somebody waits for the first labels where she looks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.bench.figures import Figure
from napari_tileseg.bench.pixels import real_image
from napari_tileseg.bench.runs import planned, run_that_may_stop
from napari_tileseg.engine.predict import Focus
from napari_tileseg.io.checkpoints import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.bench.setup import Setup
    from napari_tileseg.engine.network import Network


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield seconds from the start of a run to the first labels, and to the first final ones."""
    side = 1024 if setup.quick else 4096
    image, network = real_image(setup, side), load_model(setup.model)
    waits = [_waits(image, network) for _ in range(setup.pairs)]
    about = f"{side} x {side} px, focus in the middle, tiles of {network.spec.tile} px"
    labels, final = np.median(waits, axis=0)
    yield Figure("time to the first labels", float(labels), "s", note=about)
    yield Figure("time to the first final labels", float(final), "s")


def _waits(image: object, network: Network) -> tuple[float, float]:
    start = time.perf_counter()
    source, plan = planned(image, network, mode="blend", device="auto")
    middle = Focus([size / 2 for size in source.label_shape])
    first = None
    with run_that_may_stop(plan, source, network, focus=middle) as patches:
        for patch in patches:
            first = first or time.perf_counter() - start
            if patch.final:
                break
    return first or 0.0, time.perf_counter() - start
