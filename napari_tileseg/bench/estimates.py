"""What is said before a run against what the run then takes, each in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.bench.figures import Figure
from napari_tileseg.bench.fresh import forget_peak, in_fresh_process, peak_mb, resident_mb
from napari_tileseg.bench.pixels import real_image
from napari_tileseg.bench.runs import labels_of, planned
from napari_tileseg.bench.setup import Setup
from napari_tileseg.engine.estimate import estimate
from napari_tileseg.io.checkpoints import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator

_CASES: tuple[dict[str, Any], ...] = (
    {"mode": "blend", "precision": "fp32", "tile": 512},
    {"mode": "blend", "precision": "fp32", "tile": 512, "overlap": 0.5, "batch": 2},
    {"mode": "blend"},
    {"mode": "auto"},
)
_SIDES = (1536, 4096)
_BAR = 0.3


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield how far estimates are off, as a share of what then happens."""
    for side in (768,) if setup.quick else _SIDES:
        for case in _CASES[:1] if setup.quick else _CASES:
            found = in_fresh_process(
                "estimates:said_and_taken",
                model=setup.model,
                image=None if setup.image is None else str(setup.image),
                side=side,
                settings=case,
            )
            name = ", ".join(f"{key} {value}" for key, value in case.items())
            for what, unit in (("seconds", "s"), ("memory", "MB")):
                said, taken = found["said"][what], found["taken"][what]
                yield Figure(
                    f"estimate of {what}, off by: {side} x {side} px, {name}",
                    abs(said / taken - 1),
                    bar=_BAR,
                    note=f"said {said:.1f} {unit}, taken {taken:.1f} {unit}",
                )


def said_and_taken(
    model: str, image: str | None, side: int, settings: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Estimate a run, and carry it out; called in a process of its own."""
    network = load_model(model)
    pixels = real_image(Setup(model=model, image=None if image is None else Path(image)), side)
    source, plan = planned(pixels, network, device="cpu", **settings)
    found = estimate(plan, source, network)
    forget_peak()
    before, began = resident_mb(), time.perf_counter()
    labels_of(found.plan, source, network)
    seconds = time.perf_counter() - began
    return {
        "said": {"seconds": found.seconds, "memory": found.memory_bytes / 1e6},
        "taken": {"seconds": seconds, "memory": peak_mb() - before},
    }
