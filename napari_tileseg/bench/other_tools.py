"""The same job with other tools, written as somebody who knows them would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.engine.normalise import scaling_for
from napari_tileseg.engine.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network

    Tool = Callable[[Network, NDArray[Any], int, float, int], NDArray[np.uint8]]


def _normalised(network: Network, image: NDArray[Any]) -> torch.Tensor:
    """Return (1, H, W) float32 as the network reads it."""
    scaling = scaling_for(Source(image), network.spec.normalisation, (0,), network.spec.name)
    return scaling.apply(torch.from_numpy(image)[None, None])[0]


def monai_logits(
    network: Network, image: NDArray[Any], tile: int, overlap: float, batch: int
) -> torch.Tensor:
    """Return (1, classes, H, W) from MONAI's `sliding_window_inference`."""
    from monai.inferers.utils import sliding_window_inference

    pixels = _normalised(network, image)[None]
    answer = sliding_window_inference(
        pixels, (tile, tile), batch, network.module, overlap=overlap, mode="gaussian"
    )
    return torch.as_tensor(answer)


def with_monai(
    network: Network, image: NDArray[Any], tile: int, overlap: float, batch: int
) -> NDArray[np.uint8]:
    """Segment with MONAI."""
    logits = monai_logits(network, image, tile, overlap, batch)
    return np.asarray(logits[0].argmax(0).to(torch.uint8))


def with_toolbelt(
    network: Network, image: NDArray[Any], tile: int, overlap: float, batch: int
) -> NDArray[np.uint8]:
    """Segment with pytorch-toolbelt's `ImageSlicer` and `TileMerger`."""
    from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger

    pixels = np.ascontiguousarray(_normalised(network, image).numpy().transpose(1, 2, 0))
    step = int(tile * (1 - overlap))
    slicer = ImageSlicer(pixels.shape, tile_size=tile, tile_step=step, weight=_gaussian(tile))
    merger = TileMerger(slicer.target_shape, network.spec.n_outputs, slicer.weight)
    tiles = [np.atleast_3d(piece).transpose(2, 0, 1) for piece in slicer.split(pixels)]
    for first in range(0, len(tiles), batch):
        part = torch.from_numpy(np.stack(tiles[first : first + batch]))
        merger.integrate_batch(network.module(part), slicer.crops[first : first + batch])
    labels = merger.merge().argmax(0).to(torch.uint8).numpy()
    return np.asarray(slicer.crop_to_orignal_size(labels[..., None])[..., 0])


def with_tiler(
    network: Network, image: NDArray[Any], tile: int, overlap: float, batch: int
) -> NDArray[np.uint8]:
    """Segment with tiler's `Tiler` and `Merger`; it has no Gaussian window, so Hann."""
    from tiler import Merger, Tiler

    pixels = _normalised(network, image).numpy()
    tiler = Tiler(pixels.shape, (1, tile, tile), overlap=overlap, channel_dimension=0)
    shape = (network.spec.n_outputs, *pixels.shape[1:])
    out = Tiler(shape, (network.spec.n_outputs, tile, tile), overlap=overlap, channel_dimension=0)
    merger = Merger(out, window="hann")
    for number, tiles in tiler(pixels, batch_size=batch):
        merger.add_batch(number, batch, network.module(torch.from_numpy(tiles)).numpy())
    return np.asarray(merger.merge(unpad=True).argmax(0).astype(np.uint8))


def with_patchly(
    network: Network, image: NDArray[Any], tile: int, overlap: float, batch: int
) -> NDArray[np.uint8]:
    """Segment with patchly's `GridSampler` and `Aggregator`; it takes one tile at a time."""
    from patchly import Aggregator, GridSampler

    pixels = _normalised(network, image).numpy()
    sizes = {
        "spatial_size": pixels.shape[1:],
        "patch_size": (tile, tile),
        "step_size": (int(tile * (1 - overlap)),) * 2,
        "spatial_first": False,
    }
    sampler = GridSampler(image=pixels, **sizes)
    out = np.zeros((network.spec.n_outputs, *pixels.shape[1:]), np.float32)
    aggregator = Aggregator(sampler=sampler, output=out, weights="gaussian", spatial_first=False)
    for piece, box in sampler:
        aggregator.append(network.module(torch.from_numpy(piece)[None])[0].numpy(), box)
    return np.asarray(aggregator.get_output().argmax(0).astype(np.uint8))


def _gaussian(tile: int) -> NDArray[np.float64]:
    """Return MONAI's window: sigma is an eighth of the tile."""
    places = np.arange(tile) - (tile - 1) / 2
    line = np.exp(-0.5 * (places / (tile / 8)) ** 2)
    window: NDArray[np.float64] = np.maximum(np.outer(line, line), 1e-3)
    return window


TOOLS: dict[str, Tool] = {
    "monai": with_monai,
    "pytorch_toolbelt": with_toolbelt,
    "tiler": with_tiler,
    "patchly": with_patchly,
}
"""By the name they are imported by."""
