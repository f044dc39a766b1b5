"""How much memory xT takes for images of any size, beyond its bank of tokens."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg.bench.figures import Figure
from napari_tileseg.bench.fresh import forget_peak, in_fresh_process, peak_mb, resident_mb
from napari_tileseg.bench.networks import described
from napari_tileseg.bench.pixels import Endless
from napari_tileseg.bench.runs import into_store
from napari_tileseg.engine.spec import Architecture
from napari_tileseg.models.registry import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.bench.setup import Setup

_GROWTH_BAR = 1.15
_CLASSES = 4


def growth(setup: Setup) -> Iterator[Figure]:
    """Compare the peak of memory, without the bank, for an image and for one of twice its side."""
    sides = (1024, 2048) if setup.quick else (4096, 8192)
    found = [in_fresh_process("context_memory:peak_of_a_run", rows=n, columns=n) for n in sides]
    beyond = [one["peak_mb"] - one["bank_mb"] for one in found]
    said = "; ".join(about(side, side, one) for side, one in zip(sides, found, strict=True))
    yield Figure("xT: bank of the larger image", found[1]["bank_mb"], "MB", note=said)
    yield Figure("xT: peak memory beyond the bank, larger image", beyond[1], "MB")
    name = f"xT: growth of memory beyond the bank, {sides[1]:,}² / {sides[0]:,}²"
    yield Figure(name, beyond[1] / beyond[0], bar=_GROWTH_BAR)


def about(rows: int, columns: int, found: dict[str, Any]) -> str:
    """Say what `peak_of_a_run` has found."""
    return (
        f"{rows:,} x {columns:,}: {found['peak_mb']:.0f} MB with a bank of "
        f"{found['bank_mb']:.0f} MB, {found['regions']:,} regions, {found['seconds']:.0f} s"
    )


def peak_of_a_run(rows: int, columns: int) -> dict[str, Any]:
    """Segment an endless image with xT into a store; return what it took.

    Called in a process of its own, after a first small run. Every region passes the network.
    """
    torch.manual_seed(0)
    arguments = {
        "encoder_name": "tu-test_convnext",
        "in_channels": 1,
        "classes": _CLASSES,
        "width": 8,
    }
    module: Any = build(Architecture("xt", arguments))
    network = described(module, _CLASSES, module.region)
    with tempfile.TemporaryDirectory() as folder:
        into_store(Path(folder) / "first.zarr", Endless(1024), network)
        forget_peak()
        before, start = resident_mb(), time.perf_counter()
        into_store(Path(folder) / "labels.zarr", Endless(rows, columns), network)
        seconds, peak = time.perf_counter() - start, peak_mb() - before
    regions = -(-rows // module.region) * -(-columns // module.region)
    tokens = regions * (module.region // module.cell) ** 2
    bank_mb = tokens * module.dim * 2 / 1e6
    return {
        **{"peak_mb": peak, "bank_mb": bank_mb, "seconds": seconds},
        **{"regions": regions, "tokens": tokens},
    }
