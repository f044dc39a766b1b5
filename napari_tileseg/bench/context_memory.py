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
    """Compare the peak of memory, without the bank, for an image and for one of twice its side.

    Of the larger one far tokens are summed up, as it has more of them than are looked at one by
    one; so it is also compared with the smaller one where the same is done.
    """
    sides = (1024, 2048) if setup.quick else (4096, 8192)
    found = [_beyond(side) for side in sides]
    summed_up = _beyond(sides[0], budget=1024 if setup.quick else 8192)
    said = "; ".join(about(side, side, one) for side, one in zip(sides, found, strict=True))
    yield Figure("xT: bank of the larger image", found[1]["bank_mb"], "MB", note=said)
    yield Figure("xT: peak memory beyond the bank, larger image", found[1]["beyond_mb"], "MB")
    name = f"xT: growth of memory beyond the bank, {sides[1]:,}² / {sides[0]:,}²"
    for how, smaller in (("", found[0]), (", far tokens summed up in both", summed_up)):
        grown = found[1]["beyond_mb"] / smaller["beyond_mb"]
        yield Figure(f"{name}{how}", grown, bar=_GROWTH_BAR)


def _beyond(side: int, **more: int) -> dict[str, Any]:
    found = in_fresh_process("context_memory:peak_of_a_run", rows=side, columns=side, **more)
    return {**found, "beyond_mb": found["peak_mb"] - found["bank_mb"]}


def about(rows: int, columns: int, found: dict[str, Any]) -> str:
    """Say what `peak_of_a_run` has found."""
    return (
        f"{rows:,} x {columns:,}: {found['peak_mb']:.0f} MB with a bank of "
        f"{found['bank_mb']:.0f} MB, {found['regions']:,} regions, {found['seconds']:.0f} s"
    )


def peak_of_a_run(
    rows: int, columns: int, budget: int = 16_384, device: str = "cpu"
) -> dict[str, Any]:
    """Segment an endless image with xT into a store; return what it took.

    Called in a process of its own, after a first small run. Every region passes the network.

    Parameters
    ----------
    rows, columns
        The size of the image in pixels.
    budget
        How many tokens are looked at one by one.
    device
        Where the network runs.

    Returns
    -------
    Plain values: peak_mb (of the process), gpu_mb (of the GPU, 0 without one), bank_mb, seconds,
    regions, tokens.
    """
    torch.manual_seed(0)
    arguments = {
        "encoder_name": "tu-test_convnext",
        "in_channels": 1,
        "classes": _CLASSES,
        "width": 8,
        "budget": budget,
    }
    module: Any = build(Architecture("xt", arguments))
    network = described(module, _CLASSES, module.region)
    with tempfile.TemporaryDirectory() as folder:
        into_store(Path(folder) / "first.zarr", Endless(1024), network, device)
        forget_peak()
        before, start = resident_mb(), time.perf_counter()
        into_store(Path(folder) / "labels.zarr", Endless(rows, columns), network, device)
        seconds, peak = time.perf_counter() - start, peak_mb() - before
    gpu_mb = torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else 0.0
    regions = -(-rows // module.region) * -(-columns // module.region)
    tokens = regions * (module.region // module.cell) ** 2
    bank_mb = tokens * module.dim * 2 / 1e6
    return {
        **{"peak_mb": peak, "gpu_mb": gpu_mb, "bank_mb": bank_mb, "seconds": seconds},
        **{"regions": regions, "tokens": tokens},
    }
