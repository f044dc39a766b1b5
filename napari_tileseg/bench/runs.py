"""Whole runs of the engine, and the bare network on the same tiles."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from napari_tileseg.bench.networks import own_copy
from napari_tileseg.engine.allocator import pages_kept
from napari_tileseg.engine.device import autocast, in_fast_layout, prepared
from napari_tileseg.engine.folding import folded
from napari_tileseg.engine.half_decoder import computing_in
from napari_tileseg.engine.normalise import scaling_for
from napari_tileseg.engine.pipeline import written_behind
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import empty_labels, stream_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.io.label_store import LabelStore
from napari_tileseg.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.patches import Patch
    from napari_tileseg.engine.plan import Plan

_TINY = 1e-7
TIE = 1e-5
"""Where the two best log-probabilities are nearer to each other, either label is as good."""


def planned(image: Any, network: Network, **settings: Any) -> tuple[Source, Plan]:
    """Return the image as a source, and the plan of a run over it."""
    source = Source(image, spatial_dims=network.spec.spatial_dims)
    return source, make_plan(source, network, RunSettings(**settings))


def run_that_may_stop(
    plan: Plan, source: Source, network: Network, **options: Any
) -> closing[Generator[Patch]]:
    """Lend the patches of a run that is left before its end."""
    patches = stream_plan(plan, source, network, **options)
    return closing(cast("Generator[Patch]", patches))


def labels_of(plan: Plan, source: Source, network: Network, **options: Any) -> NDArray[np.uint8]:
    """Carry out a plan, and return its labels (H, W)."""
    labels = empty_labels(source, network)
    for patch in stream_plan(plan, source, network, provisional=False, **options):
        labels[patch.region] = patch.labels
    return labels


def labels_and_logs(
    plan: Plan, source: Source, network: Network, **options: Any
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Carry out a plan that keeps probabilities; return labels and log-probabilities (C, H, W)."""
    labels = empty_labels(source, network)
    logs = np.empty((len(network.classes), *source.label_shape), np.float32)
    for patch in stream_plan(plan, source, network, provisional=False, **options):
        labels[patch.region] = patch.labels
        if patch.probabilities is not None:
            logs[(slice(None), *patch.region)] = logs_of(patch.probabilities)
    return labels, logs


def logs_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log-probabilities; what is below 1e-7 counts as 1e-7."""
    return np.asarray(np.log(np.maximum(probabilities, _TINY)), np.float32)


def margins(logs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by how much the best of (C, H, W) log-probabilities is ahead of the second, (H, W)."""
    best = np.partition(logs, -2, axis=0)
    return np.asarray(best[-1] - best[-2])


def whole_logs(image: NDArray[Any], network: Network) -> NDArray[np.float32]:
    """Run the module itself on a whole (mirrored) image; return log-probabilities (C, *spatial).

    With the folded norms and the memory layout of a run: others round differently, by more
    than tiles may.
    """
    stride = network.spec.stride
    source = Source(image, spatial_dims=network.spec.spatial_dims)
    scaling = scaling_for(source, network.spec.normalisation, (0,))
    padded = np.pad(image, [(0, -size % stride) for size in image.shape], mode="symmetric")
    inside = tuple(slice(0, size) for size in image.shape)
    with torch.inference_mode():
        pixels = in_fast_layout(scaling.apply(torch.from_numpy(padded)[None, None]))
        module = prepared(folded(own_copy(network)).module, torch.device("cpu"))
        logits = module(pixels)[0]
    probabilities = logits[(slice(None), *inside)].softmax(0).numpy()
    return logs_of(probabilities)


def into_store(
    path: Path, image: Any, network: Network, device: str = "cpu", **settings: Any
) -> Plan:
    """Segment an image into a new store of labels; return how that was done."""
    source, plan = planned(image, network, device=device, precision="fp32", **settings)
    store = LabelStore.create(
        path, source.label_shape, spatial_dims=2, facts={}, classes=network.classes
    )
    with store:
        for _ in written_behind(stream_plan(plan, source, network, provisional=False), store):
            pass
        assert store.complete
    return plan


def batches_of(plan: Plan, source: Source, network: Network) -> list[torch.Tensor]:
    """Return the tiles of a plan as the network sees them, in batches of one shape."""
    scaling = scaling_for(source, network.spec.normalisation, plan.channels)
    by_shape: dict[tuple[int, ...], list[torch.Tensor]] = {}
    for tile in plan.grid:
        inside = tuple(
            slice(part.start, min(part.stop, size))
            for part, size in zip(tile.outer, source.spatial_shape, strict=True)
        )
        block = source.read((), inside, plan.channels)
        missing = [(0, n - m) for n, m in zip(tile.shape, block.shape[1:], strict=True)]
        block = np.pad(block, [(0, 0), *missing], mode="symmetric")
        by_shape.setdefault(tile.shape, []).append(scaling.apply(torch.from_numpy(block)[None])[0])
    return [
        in_fast_layout(torch.stack(tiles[first : first + plan.batch]).to(plan.device))
        for tiles in by_shape.values()
        for first in range(0, len(tiles), plan.batch)
    ]


def bare(plan: Plan, network: Network, batches: list[torch.Tensor]) -> Callable[[], None]:
    """Return a function that does nothing but run the network on batches, as fast as a run does.

    It has the folded norms, the memory layout and the allocator of a run.
    """
    module = prepared(computing_in(folded(network), plan.precision).module, plan.device)

    def run() -> None:
        with (
            pages_kept(plan.device),
            torch.inference_mode(),
            autocast(plan.device, plan.precision),
        ):
            for batch in batches:
                module(batch)
        if plan.device.type == "cuda":
            torch.cuda.synchronize(plan.device)

    return run


class Watched:
    """Counts what a network is shown from now on.

    Attributes
    ----------
    calls, tiles
        How often it was asked, and for how many tiles in all.
    """

    def __init__(self, network: Network) -> None:
        self.calls = self.tiles = 0
        self._hook = network.module.register_forward_pre_hook(self._on_forward)

    def stop(self) -> None:
        """Count no more."""
        self._hook.remove()

    def _on_forward(self, _: object, inputs: tuple[torch.Tensor, ...]) -> None:
        self.calls += 1
        self.tiles += len(inputs[0])
