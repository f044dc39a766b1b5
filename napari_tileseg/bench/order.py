"""The same result in any order, after any stop, with any batch size; and quick to stop."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.bench.figures import Figure
from napari_tileseg.bench.pixels import noise
from napari_tileseg.bench.runs import (
    TIE,
    Watched,
    labels_and_logs,
    logs_of,
    margins,
    planned,
    run_that_may_stop,
)
from napari_tileseg.engine.folding import folded
from napari_tileseg.engine.predict import Focus, stream_plan
from napari_tileseg.errors import Cancelled
from napari_tileseg.io.checkpoints import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_tileseg.bench.setup import Setup
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.tiles import TileGrid

    Job = tuple[Plan, Source, Network]


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield differences in bits, then in logits, then how quick a run starts and stops."""
    before = set(threading.enumerate())
    job = _job(setup)
    raster = labels_and_logs(*job)
    yield _differing("order of tiles that changes at random", raster, _in_random_order(job, setup))
    yield _differing("interrupted and gone on with", raster, _in_two_parts(job))
    for batch in (2, 5):
        yield from _batch(batch, raster, labels_and_logs(replace(job[0], batch=batch), *job[1:]))
    for batch in (1, 5):
        yield _first_final((replace(job[0], batch=batch), *job[1:]))
    yield _cancelled(job)
    yield Figure("threads left behind", _threads_left(before), "", 0)


def _job(setup: Setup) -> Job:
    # trained: untrained weights amplify rounding to more than the bar, in any batch
    network = folded(load_model(setup.model))  # what runs is what is watched
    side = 300 if setup.quick else 700
    source, plan = planned(
        noise((side, side - 37)),
        network,
        tile=128,
        overlap=0.5,
        blend="gaussian",
        batch=1,
        device="cpu",
        precision="fp32",
        probabilities=True,
    )
    return plan, source, network


def _in_random_order(job: Job, setup: Setup) -> Any:
    """Look at another place after every patch."""
    plan, source, network = job
    rng, focus = np.random.default_rng(setup.seed), Focus()

    def elsewhere() -> bool:
        focus.move((rng.random(2) * source.label_shape).tolist())
        return False

    return labels_and_logs(plan, source, network, focus=focus, should_stop=elsewhere)


def _in_two_parts(job: Job) -> Any:
    """Stop in the middle, and compute anew only the tiles over what is not final."""
    plan, source, network = job
    final = np.zeros(source.label_shape, bool)
    labels = np.zeros(source.label_shape, np.uint8)
    logs = np.empty((len(network.classes), *source.label_shape), np.float32)
    with run_that_may_stop(plan, source, network, provisional=False) as patches:
        for patch in patches:
            if patch.tiles_done > plan.n_tiles // 2 or patch.probabilities is None:
                break
            final[patch.region], labels[patch.region] = True, patch.labels
            logs[(slice(None), *patch.region)] = logs_of(patch.probabilities)

    def wanted(grid: TileGrid) -> NDArray[np.bool_]:
        return np.array([not final[tile.core].all() for tile in grid])

    rest = labels_and_logs(plan, source, network, wanted=wanted)
    return np.where(final, labels, rest[0]), np.where(final, logs, rest[1])


def _differing(name: str, one: Any, other: Any) -> Figure:
    """Count the pixels whose label or probability is not the same to the last bit."""
    differ = (one[0] != other[0]) | (one[1].view(np.uint32) != other[1].view(np.uint32)).any(0)
    return Figure(f"pixels with other bits: {name}", int(differ.sum()), "px", 0)


def _batch(batch: int, one: Any, other: Any) -> Iterator[Figure]:
    worst = float(np.abs(one[1] - other[1]).max() / one[1].std())
    flips, ties = one[0] != other[0], margins(one[1]) < TIE
    yield Figure(f"batch {batch} against 1: max|d| of log-probabilities / std", worst, "", 1e-5)
    yield Figure(
        f"batch {batch} against 1: flipped labels that are no ties",
        int((flips & ~ties).sum()),
        "px",
        0,
        note=f"{int(flips.sum())} labels differ in all",
    )


def _first_final(job: Job) -> Figure:
    """Count the tiles the network has seen when the first final labels come."""
    plan, source, network = job
    watch = Watched(network)
    corner = Focus((0.0, 0.0))
    with run_that_may_stop(plan, source, network, focus=corner, provisional=False) as patches:
        next(patches)
        seen = watch.tiles
    watch.stop()
    allowed = max(2 * plan.batch, 4)
    return Figure(
        f"tiles seen before the first final labels, batch {plan.batch}", seen, "", allowed
    )


def _cancelled(job: Job) -> Figure:
    """Count the batches that begin after somebody asked to stop."""
    plan, source, network = job
    asked, begun_before = threading.Event(), 0
    watch = Watched(network)
    try:
        for patch in stream_plan(plan, source, network, should_stop=asked.is_set):
            if patch.tiles_done == 3 and not asked.is_set():
                begun_before = watch.calls
                asked.set()
    except Cancelled:
        pass
    watch.stop()
    return Figure("batches begun after a cancel", watch.calls - begun_before, "", 1)


def _threads_left(before: set[threading.Thread]) -> int:
    time.sleep(0.5)
    return len(set(threading.enumerate()) - before)
