"""Many classes in a volume (MONAI's issue #6427), each tool in a process of its own."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch
from torch import nn

from napari_tileseg.bench.figures import Figure, skipped
from napari_tileseg.bench.fresh import forget_peak, in_fresh_process, peak_mb, resident_mb
from napari_tileseg.bench.networks import AS_IT_IS, described
from napari_tileseg.bench.runs import labels_of, planned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.bench.setup import Setup
    from napari_tileseg.engine.network import Network

_CLASSES, _SHAPE, _TILE = 100, (384, 384, 256), 96
_SPARE = 1.3


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield time and memory of the engine, those of MONAI, and their ratios."""
    shape = (128, 128, 96) if setup.quick else _fitting_shape()
    classes, tile = (20, 64) if setup.quick else (_CLASSES, _TILE)
    about = " x ".join(map(str, shape)) + f", {classes} classes, tiles of {tile} px, overlap 25 %"
    if shape != _SHAPE and not setup.quick:
        about += "; smaller than in the issue, because MONAI's result would not fit here"
    arguments = {"shape": shape, "classes": classes, "tile": tile}
    ours = in_fresh_process("volume:with_engine", **arguments)
    yield Figure("volume: time of the engine", ours["seconds"], "s", note=about)
    yield Figure("volume: peak memory of the engine", ours["peak_mb"], "MB")
    if find_spec("monai") is None:
        yield skipped("volume: MONAI", "it is not installed (group 'bench')")
        return
    theirs = in_fresh_process("volume:with_monai", **arguments)
    yield Figure("volume: time of MONAI", theirs["seconds"], "s")
    yield Figure("volume: peak memory of MONAI", theirs["peak_mb"], "MB")
    yield Figure("volume: time of the engine / MONAI", ours["seconds"] / theirs["seconds"], bar=1.0)
    yield Figure(
        "volume: memory of the engine / MONAI", ours["peak_mb"] / theirs["peak_mb"], bar=1.0
    )
    counts = np.array([one["histogram"] for one in (ours, theirs)])
    moved = int(np.abs(counts[0] - counts[1]).sum()) // 2
    yield Figure("volume: voxels that are counted in another class than MONAI's", moved, "px")


def _fitting_shape() -> tuple[int, ...]:
    """Return the shape of the issue, or the deepest part of it whose logits fit into memory."""
    free = psutil.virtual_memory().available
    a_slice = _CLASSES * 4 * _SHAPE[0] * _SHAPE[1] * _SPARE
    depth = min(_SHAPE[2], int(free / a_slice) // 32 * 32)
    return (*_SHAPE[:2], max(depth, _TILE))


def with_engine(shape: list[int], classes: int, tile: int) -> dict[str, Any]:
    """Segment a volume with the engine; called in a process of its own."""
    network, volume = _network(classes), _volume(shape)

    def run() -> Any:
        source, plan = planned(
            volume,
            network,
            tile=tile,
            overlap=0.25,
            blend="gaussian",
            device="cpu",
            precision="fp32",
        )
        return labels_of(plan, source, network)

    return _measured(run, classes)


def with_monai(shape: list[int], classes: int, tile: int) -> dict[str, Any]:
    """Segment a volume with MONAI; called in a process of its own."""
    from monai.inferers.utils import sliding_window_inference

    network, volume = _network(classes), _volume(shape)

    @torch.inference_mode()
    def run() -> Any:
        logits = sliding_window_inference(
            torch.from_numpy(volume)[None, None],
            (tile,) * 3,
            1,
            network.module,
            overlap=0.25,
            mode="gaussian",
        )
        return torch.as_tensor(logits)[0].argmax(0).to(torch.uint8).numpy()

    return _measured(run, classes)


def _network(classes: int) -> Network:
    torch.manual_seed(0)
    return described(
        nn.Conv3d(1, classes, 1), classes, 1, dims=3, tile=_TILE, normalisation=AS_IT_IS
    )


def _volume(shape: list[int]) -> Any:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _measured(run: Any, classes: int) -> dict[str, Any]:
    forget_peak()
    before, start = resident_mb(), time.perf_counter()
    labels = run()
    seconds = time.perf_counter() - start
    counts = np.bincount(labels.ravel(), minlength=classes)
    return {"seconds": seconds, "peak_mb": peak_mb() - before, "histogram": counts.tolist()}
