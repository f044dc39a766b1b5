"""Peak memory on images that are made as they are read: it must not grow with the image."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.bench.figures import Figure
from napari_tileseg.bench.fresh import forget_peak, in_fresh_process, peak_mb, resident_mb
from napari_tileseg.bench.networks import Pooled, described
from napari_tileseg.bench.pixels import Endless
from napari_tileseg.bench.runs import into_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.bench.setup import Setup
    from napari_tileseg.engine.network import Network

_PEAK_BAR_MB, _GROWTH_BAR = 500.0, 1.1


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield the peak over the baseline of a large image, and how it compares to a smaller one."""
    small, large = (2048, 4096) if setup.quick else (16384, setup.side or 65536)
    for mode in ("blend", "exact"):
        found = [
            in_fresh_process("memory:peak_of_a_run", side=side, mode=mode, classes=setup.classes)
            for side in (small, large)
        ]
        name = f"{mode}, {setup.classes} classes"
        about = "; ".join(
            f"{side:,}²: {one['peak_mb']:.0f} MB, {one['tiles']:,} tiles, {one['seconds']:.0f} s"
            for side, one in zip((small, large), found, strict=True)
        )
        yield Figure(f"peak memory: {name}", found[1]["peak_mb"], "MB", _PEAK_BAR_MB, note=about)
        yield Figure(
            f"growth of memory: {name}, {large:,}² / {small:,}²",
            found[1]["peak_mb"] / found[0]["peak_mb"],
            bar=_GROWTH_BAR,
        )


def peak_of_a_run(side: int, mode: str, classes: int) -> dict[str, Any]:
    """Segment an endless image into a store; return the peak of memory over what was held before.

    Called in a process of its own, after a first small run.
    """
    network = described(Pooled(classes), classes, 32)
    with tempfile.TemporaryDirectory() as folder:
        _into_store(1024, mode, network, Path(folder) / "first.zarr")
        forget_peak()
        before, start = resident_mb(), time.perf_counter()
        tiles = _into_store(side, mode, network, Path(folder) / "labels.zarr")
        seconds = time.perf_counter() - start
    return {"peak_mb": peak_mb() - before, "seconds": seconds, "tiles": tiles}


def _into_store(side: int, mode: str, network: Network, path: Path) -> int:
    return into_store(path, Endless(side), network, mode=mode, tile=512).n_tiles
