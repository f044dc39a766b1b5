"""What one architecture is like: found out by building, running, saving and teaching it."""

from __future__ import annotations

import copy
import math
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.bench.fresh import forget_peak, peak_mb, resident_mb
from napari_tileseg.bench.onnx_export import onnx_export
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import predict
from napari_tileseg.engine.probe import receptive_field
from napari_tileseg.engine.source import Source
from napari_tileseg.errors import TilesegError
from napari_tileseg.io.checkpoints import load_model, save_model
from napari_tileseg.io.folders import Folders
from napari_tileseg.io.images import open_image
from napari_tileseg.io.labels import read_labels
from napari_tileseg.io.samples import sample_image
from napari_tileseg.models.registry import ARCHITECTURES
from napari_tileseg.models.upsampling import upsampling_weights
from napari_tileseg.settings import RunSettings, TrainSettings
from napari_tileseg.training.samples import Sample
from napari_tileseg.training.start import new_network
from napari_tileseg.training.train import train

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network

_STEPS, _BATCH, _PATCH = 50, 2, 128
_TILE = 512
_CLASSES = 3
_LARGE = 8192
_AT_MOST_IMAGES = 4


def row(
    name: str, arguments: dict[str, Any], images: str | None, masks: str | None, quick: bool
) -> dict[str, Any]:
    """Find out everything about one architecture.

    Parameters
    ----------
    name, arguments
        Of the architecture; it reads grey images, and tells three classes apart.
    images, masks
        Folders to learn from; None for the labelled sample.
    quick
        Small tiles and few steps.

    Returns
    -------
    Plain values: parameters, upsampling_parameters, stride and margin in px, receptive_field (how
    far a pixel looks to each side, in px, or "global"), mode (what a run of a large image begins
    with), exact_halo (the context that mode `exact` gives each tile in px; None if tiles can
    never be exact), odd_size and same_after_saving (whether it works), onnx ("ok" or why
    not), ms and peak_mb for a tile of tile_px, loss before and after, steps, learns.
    """
    network = _network(name, arguments)
    spec = network.spec
    # a run may change the memory layout of weights, and with it the last bits of answers
    untouched = {
        "same_after_saving": _same_after_saving(network),
        **_cost(network, 128 if quick else _TILE),
    }
    awake = _awake(network)
    field = receptive_field(awake)
    return {
        "parameters": sum(one.numel() for one in network.module.parameters()),
        "upsampling_parameters": upsampling_weights(network.module),
        "stride": spec.stride,
        "margin": spec.margin,
        "receptive_field": field.halo if field.bounded else "global",
        "size_dependent": field.size_dependent,
        "mode": _mode(awake),
        "exact_halo": field.halo if field.bounded and not field.size_dependent else None,
        **untouched,
        "onnx": onnx_export(network),
        **_learning(network, images, masks, 3 if quick else _STEPS),
        "odd_size": _works_on_an_odd_size(network),
    }


def _network(name: str, arguments: dict[str, Any]) -> Network:
    defaults = {one.name: one.default for one in ARCHITECTURES[name].arguments()}
    classes = ["background", *(f"class {index}" for index in range(1, _CLASSES))]
    encoder = str(defaults.get("encoder_name"))
    return new_network(
        name, classes, ["grey"], architecture=name, encoder=encoder, arguments=arguments
    )


def _awake(network: Network) -> Network:
    """Return a copy in which no branch is multiplied by zero, as some begin to learn.

    Of such a branch nobody could tell what it looks at.
    """
    awake = replace(network, module=copy.deepcopy(network.module))
    generator = torch.Generator().manual_seed(0)
    for weights in awake.module.parameters():
        if not weights.any():
            torch.nn.init.normal_(weights, std=0.1, generator=generator)
    return awake


def _mode(network: Network) -> str:
    image = np.broadcast_to(np.zeros((), np.uint8), (_LARGE, _LARGE))
    return make_plan(Source(image, axes="YX"), network, RunSettings()).mode.value


def _works_on_an_odd_size(network: Network) -> bool:
    image = np.random.default_rng(0).integers(0, 255, (250, 190), np.uint8)
    return bool(predict(image, network, axes="YX").max() < _CLASSES)


def _same_after_saving(network: Network) -> bool:
    side = _fitting(network, 64) + 2 * network.spec.margin
    tile = torch.rand((1, 1, side, side), generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        back = load_model(save_model(network, Path(folder) / "m"))
        return bool(torch.equal(back.logits(tile), network.logits(tile)))


def _fitting(network: Network, side: int) -> int:
    return math.ceil(side / network.spec.stride) * network.spec.stride


@torch.inference_mode()
def _cost(network: Network, side: int) -> dict[str, Any]:
    """Time a tile, and measure how much memory comes on top of the weights."""
    side = _fitting(network, side)
    shown = side + 2 * network.spec.margin
    tile = torch.rand(1, 1, shown, shown)
    network.logits(tile)
    forget_peak()
    before = resident_mb()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        network.logits(tile)
        seconds.append(time.perf_counter() - start)
    return {
        "tile_px": side,
        "ms": 1000 * statistics.median(seconds),
        "peak_mb": max(0.0, peak_mb() - before),
    }


def _learning(
    network: Network, images: str | None, masks: str | None, steps: int
) -> dict[str, Any]:
    """Teach it for some steps; the first and the last tenth of the losses are compared."""
    side = _fitting(network, _PATCH)
    settings = TrainSettings(patch=side, batch=_BATCH, augmentation=0.0, device="cpu", epochs=10**4)
    try:
        samples = [Sample.of(*one, network.spec) for one in _labelled(images, masks)]
        stream = train(network, samples, settings=_of_length(settings, samples, steps, side))
        losses = [report.loss for report in islice(stream, steps)]
    except TilesegError as error:
        return {"learns": None, "why_not": str(error), "steps": 0}
    few = max(1, steps // 10)
    before, after = statistics.fmean(losses[:few]), statistics.fmean(losses[-few:])
    return {
        "learns": after < before,
        "loss_before": before,
        "loss_after": after,
        "steps": len(losses),
    }


def _of_length(
    settings: TrainSettings, samples: list[Sample], steps: int, side: int
) -> TrainSettings:
    """Return settings whose budget is at least so many steps."""
    pixels = sum(sample.mask.size for sample in samples)
    an_epoch = math.ceil(pixels / (settings.batch * side**2))
    return settings.but(epochs=max(1, math.ceil(steps / an_epoch)))


def _labelled(
    images: str | None, masks: str | None
) -> list[tuple[NDArray[Any], NDArray[np.uint8]]]:
    if images is None or masks is None:
        image = sample_image("axon_myelin_sem")
        with open_image(image) as opened:
            pixels = np.asarray(opened.levels[0])
        mask = read_labels(image.with_name(f"{image.stem}_mask.png"))
        return [(pixels, np.asarray(mask.labels))]
    folders = Folders(Path(images), Path(masks))
    found = []
    for pair in folders.paired.pairs[:_AT_MOST_IMAGES]:
        with folders.open(pair) as one:
            found.append((np.asarray(one.read()), one.mask))
    return found
