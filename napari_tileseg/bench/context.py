"""xT: tiles that know the whole image solve what no tile can, in any order, in bounded memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from napari_tileseg.bench.context_memory import growth
from napari_tileseg.bench.context_seams import seams
from napari_tileseg.bench.context_task import (
    CLASSES,
    COLUMNS,
    SMALLER,
    TILE,
    made,
    right,
    taught,
)
from napari_tileseg.bench.figures import Figure
from napari_tileseg.bench.networks import AS_IT_IS, described
from napari_tileseg.bench.runs import labels_and_logs, planned
from napari_tileseg.engine.predict import Focus, predict
from napari_tileseg.engine.spec import NOT_COMPUTED, Architecture
from napari_tileseg.models.registry import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import nn

    from napari_tileseg.bench.setup import Setup
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.tiles import TileGrid

    Images = NDArray[np.float32]
    Labels = NDArray[np.uint8]

_ENCODER = "tu-test_resnet"
_STEPS, _FEW_STEPS = 600, 3
_TESTED, _FEW_TESTED = 48, 4
_FAR_SEED = 1_000_000
"""Images that are tested on begin here; no training comes that far."""

_SOLVED, _CHANCE = 0.95, 0.65
"""There are two kinds of objects, so that half of them are right by chance."""

_FEW_TOKENS = 4
"""There are more in an image, so that far ones are summed up as in a large one."""

_IN_TILES: dict[str, Any] = {"tile": TILE, "device": "cpu", "precision": "fp32"}


@dataclass(frozen=True)
class _Way:
    """One way to solve the task.

    Attributes
    ----------
    name
        For a person.
    network
        Not trained yet.
    labels
        From the network and images (N, H, W) to labels of that shape.
    shown
        What training shows of a batch; see `taught`.
    """

    name: str
    network: Network
    labels: Callable[[Network, Images], Labels]
    shown: Callable[[torch.Tensor], torch.Tensor] | None = None


def measure(setup: Setup) -> Iterator[Figure]:
    """Yield what each network makes of the task, then order of tiles, then memory."""
    steps = _FEW_STEPS if setup.quick else _STEPS
    tested = made(_FEW_TESTED if setup.quick else _TESTED, _FAR_SEED)
    xt = _Way("xT", _xt(setup, "full"), _tiled)
    yield _solved(xt, steps, setup, tested, _SOLVED)
    summed_up = _Way("xT, all regions summed up", _xt(setup, "full", budget=_FEW_TOKENS), _tiled)
    yield _solved(summed_up, steps, setup, tested, _SOLVED)
    yield from _orders(xt.network, tested[0][:4], setup)
    unet = _Way("plain U-Net", _unet(setup), _tiled)
    for control in (
        unet,
        _Way("xT without context", _xt(setup, "none"), _tiled),
        _Way("xT on tiles by themselves", _xt(setup, "full"), _by_tiles, _cropped),
        _Way(f"xT on images of 1/{SMALLER} the size", _xt(setup, "full"), _made_small, _shrunk),
    ):
        yield _solved(control, steps, setup, tested)
    yield Figure(
        "objects that are right: the same U-Net, whole images at once",
        right(_whole(unet.network, tested[0]), tested[1]),
        bar=_CHANCE,
        note="without tiles, which a large image does not allow",
    )
    yield from seams(setup)
    yield from growth(setup)


def _xt(setup: Setup, attention: str, **more: int) -> Network:
    torch.manual_seed(setup.seed)
    arguments = {
        **{"encoder_name": _ENCODER, "in_channels": 1, "classes": CLASSES},
        **{"region": TILE, "halo": 0, "attention": attention, "dim": 64},
        # what context adds reaches the pixels on a short way; through the steps of a U-Net whether
        # it is learnt in a minute depends on the seed
        **{"decoder": "fpn", "width": 16},
        **more,
    }
    module = build(Architecture("xt", arguments))
    return described(module, CLASSES, TILE, name="xT", normalisation=AS_IT_IS)


def _unet(setup: Setup) -> Network:
    torch.manual_seed(setup.seed)
    arguments = {
        **{"encoder_name": _ENCODER, "in_channels": 1, "classes": CLASSES},
        "decoder_channels": [64, 32, 16, 8, 4],
    }
    module = build(Architecture("smp.Unet", arguments))
    return described(module, CLASSES, 32, name="U-Net", normalisation=AS_IT_IS)


def _solved(
    way: _Way,
    steps: int,
    setup: Setup,
    tested: tuple[Images, Labels],
    at_least: float | None = None,
) -> Figure:
    """Train a network, and say for how many pixels of objects it knows what they are."""
    module = way.network.module
    start = time.perf_counter()
    taught(module, steps, setup.seed, way.shown)
    seconds = time.perf_counter() - start
    weights = sum(one.numel() for one in module.parameters())
    return Figure(
        f"objects that are right: {way.name}",
        right(way.labels(way.network, tested[0]), tested[1]),
        bar=_CHANCE if at_least is None else at_least,
        better="lower" if at_least is None else "higher",
        note=f"{steps} steps, {seconds:.0f} s, {weights:,} weights; by chance 0.5",
    )


def _tiled(network: Network, images: Images) -> Labels:
    return np.stack([predict(image, network, **_IN_TILES) for image in images])


def _whole(network: Network, images: Images) -> Labels:
    return _labels(network.module, torch.from_numpy(images)[:, None])


def _by_tiles(network: Network, images: Images) -> Labels:
    labels = _labels(network.module, _cropped(torch.from_numpy(images)[:, None]))
    pieces = labels.reshape(len(images), -1, COLUMNS, TILE, TILE)
    return pieces.transpose(0, 1, 3, 2, 4).reshape(images.shape)


def _made_small(network: Network, images: Images) -> Labels:
    labels = _labels(network.module, _shrunk(torch.from_numpy(images)[:, None]))
    return labels.repeat(SMALLER, axis=1).repeat(SMALLER, axis=2)


@torch.inference_mode()
def _labels(module: nn.Module, tiles: torch.Tensor) -> Labels:
    answer: torch.Tensor = module(tiles)
    return np.asarray(answer.argmax(1).numpy(), np.uint8)


def _cropped(batch: torch.Tensor) -> torch.Tensor:
    """Cut (B, 1, H, W) into images of a tile each, (B * tiles, 1, TILE, TILE)."""
    return batch[:, 0].unfold(1, TILE, TILE).unfold(2, TILE, TILE).flatten(0, 2)[:, None]


def _shrunk(batch: torch.Tensor) -> torch.Tensor:
    """Make (B, 1, H, W) smaller: images by their mean, targets by their middle."""
    if batch.is_floating_point():
        return functional.avg_pool2d(batch, SMALLER)
    middle = SMALLER // 2
    return batch[..., middle::SMALLER, middle::SMALLER]


def _orders(network: Network, images: Images, setup: Setup) -> Iterator[Figure]:
    """Compare runs in other orders and in two parts with a run from left to right."""
    image = images.reshape(-1, images.shape[-1])
    source, plan = planned(image, network, mode="context", probabilities=True, **_IN_TILES)
    raster = labels_and_logs(plan, source, network)
    rng, focus = np.random.default_rng(setup.seed), Focus()

    def elsewhere() -> bool:
        focus.move((rng.random(2) * image.shape).tolist())
        return False

    moved = labels_and_logs(plan, source, network, focus=focus, should_stop=elsewhere)
    halves = [
        labels_and_logs(plan, source, network, wanted=partial(_every_other, which))
        for which in (0, 1)
    ]
    first = halves[0][0] != NOT_COMPUTED
    both = [np.where(first, one, other) for one, other in zip(*halves, strict=True)]
    for name, other in (("at random", moved), ("in two runs", both)):
        differ = (raster[0] != other[0]) | (raster[1] != other[1]).any(0)
        yield Figure(f"xT: pixels with other bits, tiles {name}", int(differ.sum()), "px", 0)


def _every_other(which: int, grid: TileGrid) -> NDArray[np.bool_]:
    return np.asarray(np.arange(len(grid)) % 2 == which)
