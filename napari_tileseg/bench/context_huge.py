"""xT on an image of 29,000 x 25,000 px: every region passes the network, and knows the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg.bench.context_memory import about
from napari_tileseg.bench.figures import Figure, skipped
from napari_tileseg.bench.fresh import in_fresh_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.bench.setup import Setup

_BAR_MB = 8000.0


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield the time of one run, its peak of memory, and the size of its bank: CPU, then GPU."""
    size = (2900, 2500) if setup.quick else (29_000, 25_000)
    found = _run(size, "cpu")
    yield Figure("xT: time of the run", found["seconds"], "s", note=about(*size, found))
    yield Figure("xT: peak memory of the run", found["peak_mb"], "MB", _BAR_MB)
    yield Figure("xT: bank", found["bank_mb"], "MB", note=f"{found['tokens']:,} tokens")
    if not torch.cuda.is_available():
        yield skipped("xT: time of the run on a GPU", "there is none")
        return
    found = _run(size, "cuda")
    yield Figure("xT: time of the run on a GPU", found["seconds"], "s", note=about(*size, found))
    yield Figure("xT: peak memory of the GPU", found["gpu_mb"], "MB")


def _run(size: tuple[int, int], device: str) -> dict[str, Any]:
    rows, columns = size
    return in_fresh_process(
        "context_memory:peak_of_a_run", rows=rows, columns=columns, device=device
    )
