"""What a tile costs besides reading, normalising and the network."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.bench.figures import Figure
from napari_tileseg.bench.networks import AS_IT_IS, Prepared, described
from napari_tileseg.bench.pixels import noise
from napari_tileseg.bench.runs import planned
from napari_tileseg.engine.device import in_fast_layout
from napari_tileseg.engine.normalise import scaling_for
from napari_tileseg.engine.predict import stream_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.bench.setup import Setup

_BAR_MS, _TILE, _CLASSES, _THREADS = 2.0, 512, 4, 2


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield milliseconds a tile, for either way of merging."""
    before = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        for blend in ("gaussian", "crop"):
            yield _cost(blend, 2048 if setup.quick else 6272)  # no tile is trimmed
    finally:
        torch.set_num_threads(before)


def _cost(blend: str, side: int) -> Figure:
    """Time from an answer of the network to its next question, less what asking it takes."""
    network = described(
        Prepared((_CLASSES, _TILE, _TILE)), _CLASSES, _TILE // 4, normalisation=AS_IT_IS
    )
    source, plan = planned(
        noise((side, side)),
        network,
        tile=_TILE,
        overlap=0.25,
        blend=blend,
        device="cpu",
        precision="fp32",
        batch=1,
    )
    asked: list[float] = []
    answered: list[float] = []
    network.module.register_forward_pre_hook(lambda *_: asked.append(time.perf_counter()))
    network.module.register_forward_hook(lambda *_: answered.append(time.perf_counter()))
    for _ in stream_plan(plan, source, network, provisional=False):
        pass
    gaps = 1000 * (np.array(asked[2:]) - np.array(answered[1:-1]))
    asking = _asking_ms(source, plan)
    return Figure(
        f"own cost of a tile, {blend}",
        float(np.median(gaps)) - asking,
        "ms",
        _BAR_MS,
        note=f"{_TILE} px, {_CLASSES} classes, {_THREADS} threads, median of {len(gaps)} tiles; "
        f"{np.median(gaps):.2f} ms with reading and normalising ({asking:.2f} ms)",
    )


def _asking_ms(source: Any, plan: Any, rounds: int = 30) -> float:
    """Return how long one tile takes to be read and normalised."""
    scaling = scaling_for(source, AS_IT_IS, plan.channels)
    times = []
    for number in range(rounds):
        start = time.perf_counter()
        tile = plan.grid[number % len(plan.grid)]
        raw = source.read((), tile.core, plan.channels)
        in_fast_layout(scaling.apply(torch.from_numpy(raw)[None], plan.device))
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))
