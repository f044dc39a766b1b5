"""What the program promises, measured: each benchmark is a module with `measure(setup)`.

Two things that are compared run in turn in the same process, or each in a fresh process where
memory is measured; a ratio is the median over such pairs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.bench.figures import Figure
    from napari_tileseg.bench.setup import Setup

BENCHMARKS = {
    "overhead": "a run against the bare network on the same tiles",
    "peers": "speed on the same tiles against MONAI, pytorch-toolbelt, tiler and patchly",
    "accuracy": "mode auto against MONAI: speed, and nearness to the whole-image result",
    "exactness": "modes exact and frozen-norm against the whole image, on many networks",
    "own_cost": "what a tile costs besides reading and the network",
    "memory": "peak memory on huge images that are made as they are read, 4 classes",
    "memory20": "the same with 20 classes; takes long, so it runs only if named",
    "estimates": "time and memory that are told before a run, against what it takes",
    "interruption": "killed at random moments and gone on with; short of memory",
    "order": "the same result in any order, after any stop, with any batch size",
    "volume": "100 classes in a volume, against MONAI (its issue #6427)",
    "context": "xT: what it knows that tiles alone cannot, order, memory beyond its bank",
    "context_huge": "xT on 29,000 x 25,000 px; takes long, so it runs only if named",
    "latency": "time to the first labels in the middle of an image",
}
"""Name and summary of every benchmark, in the order in which they run."""

ON_REQUEST = ("memory20", "context_huge")
"""Those that take more than half an hour, and run only if they are named."""


def measure(name: str, setup: Setup) -> Iterator[Figure]:
    """Run one of `BENCHMARKS`, and yield its figures as they are known."""
    module = "memory" if name == "memory20" else name
    setup = setup.for_classes(20) if name == "memory20" else setup
    figures: Iterator[Figure] = import_module(f"{__name__}.{module}").measure(setup)
    yield from figures
