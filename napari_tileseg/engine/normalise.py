"""Intensities into the range a network was trained on: one scaling for the whole image.

The same scaling holds for every tile, so that no tile is brighter than its neighbour, and
for prediction and training alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.engine.spec import Normalisation, NormalisationKind
from napari_tileseg.errors import ModelFitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.source import Source

_WHOLE_PX = 4_000_000
"""An image up to this many pixels is read as a whole for its statistics."""

_SAMPLES, _SAMPLE_PX = 36, 256**2
"""A larger one is sampled: this many windows of so many pixels, of up to four channels."""

_WIDE = (torch.float64, torch.int32, torch.int64, torch.uint32, torch.uint64)
"""Numbers that float32 rounds."""


@dataclass(frozen=True)
class Scaling:
    """An affine map a channel: normalised = (raw - shift) * factor + offset.

    Attributes
    ----------
    shift, factor, offset
        One number for each channel that is read. The shift is taken off first, in the precision
        of the raw values, so that a signal on top of a large offset survives.
    """

    shift: tuple[float, ...]
    factor: tuple[float, ...]
    offset: tuple[float, ...]

    def apply(self, tiles: torch.Tensor, device: torch.device | str | None = None) -> torch.Tensor:
        """Scale raw tiles (B, C, *spatial) of any dtype to float32, and bring them to a device.

        What float32 can hold travels as it is; wider numbers are shifted before they leave.
        """
        target = tiles.device if device is None else torch.device(device)
        dims = tiles.ndim - 2
        if tiles.dtype in _WIDE:
            shift = _on_device(self.shift, tiles.device, torch.float64, dims)
            shifted = (tiles.to(torch.float64) - shift).to(torch.float32)
            shifted = shifted.to(target, non_blocking=True)
        else:
            shift = _on_device(self.shift, target, torch.float32, dims)
            shifted = tiles.to(target, non_blocking=True).to(torch.float32) - shift
        factor = _on_device(self.factor, target, torch.float32, dims)
        offset = _on_device(self.offset, target, torch.float32, dims)
        return torch.addcmul(offset, shifted, factor)


@lru_cache(64)
def _on_device(
    values: tuple[float, ...], device: torch.device, dtype: torch.dtype, dims: int
) -> torch.Tensor:
    """Bring one number a channel to a device, once: each transfer would wait for it."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device).view(1, -1, *(1,) * dims)


def scaling_for(
    source: Source,
    normalisation: Normalisation,
    channels: Sequence[int],
    spec_name: str = "model",
    before_read: Callable[[], None] | None = None,
) -> Scaling:
    """Resolve what a model asks for on one image.

    Statistics of the image, where they are needed, come from all of a small image and from a
    fixed set of windows spread over a large one; equal images give equal scalings.
    `before_read` is called before each read; what it raises ends the reading.

    Raises
    ------
    ModelFitError
        If the model's mean or std are for another number of channels.
    ImageError
        If pixels cannot be read or are not numbers.
    """
    count = len(channels)
    mean = _per_channel(normalisation.mean, count, spec_name)
    std = _per_channel(normalisation.std, count, spec_name)
    kind = normalisation.kind
    if kind is NormalisationKind.NONE:
        return Scaling((0.0,) * count, (1.0,) * count, (0.0,) * count)
    if kind is NormalisationKind.ZSCORE:
        low, high = _mean_and_above(_sample(source, channels, before_read))
    elif kind is NormalisationKind.FIXED and source.dtype in (np.uint8, np.bool_):
        top = 255.0 if source.dtype == np.uint8 else 1.0
        low, high = np.zeros(count), np.full(count, top)
    else:
        percentiles = [normalisation.low, normalisation.high]
        low, high = np.percentile(_sample(source, channels, before_read), percentiles, axis=1)
    spread = np.where(high > low, high - low, 1.0)
    factor, offset = 1 / (spread * std), -mean / std
    return Scaling(tuple(low.tolist()), tuple(factor.tolist()), tuple(offset.tolist()))


def _per_channel(values: tuple[float, ...], count: int, name: str) -> NDArray[np.float64]:
    if len(values) not in (1, count):
        raise ModelFitError(
            f"'{name}' has intensities for {len(values)} channels, but reads {count}. "
            "Save it again with one mean and one std for each channel."
        )
    return np.broadcast_to(np.asarray(values, dtype=np.float64), (count,))


def _mean_and_above(sample: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = sample.astype(np.float64, copy=False)
    mean = values.mean(axis=1)
    return mean, mean + values.std(axis=1)


def _sample(
    source: Source, channels: Sequence[int], before_read: Callable[[], None] | None
) -> NDArray[Any]:
    """Return pixels of the image, (channels, pixels)."""
    parts = []
    for plane, region in _windows(source, len(channels)):
        if before_read is not None:
            before_read()
        parts.append(source.read(plane, region, channels).reshape(len(channels), -1))
    return np.concatenate(parts, axis=1)


def _windows(
    source: Source, n_channels: int
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    planes = list(np.ndindex(*source.leading_shape))
    if prod(source.label_shape) * n_channels <= _WHOLE_PX:
        whole = tuple(slice(0, size) for size in source.spatial_shape)
        yield from ((plane, whole) for plane in planes)
        return
    few = [planes[i] for i in _spread(len(planes), _SAMPLES)]
    shape = source.spatial_shape
    side = max(1, round((_SAMPLE_PX / max(1, n_channels / 4)) ** (1 / len(shape))))
    counts = _windows_along(shape, side, max(1, _SAMPLES // len(few)))
    starts = [
        np.linspace(0, max(0, size - side), count, dtype=int).tolist()
        if count > 1
        else [max(0, size - side) // 2]
        for size, count in zip(shape, counts, strict=True)
    ]
    for plane, corner in product(few, product(*starts)):
        region = tuple(
            slice(start, min(start + side, size)) for start, size in zip(corner, shape, strict=True)
        )
        yield plane, region


def _windows_along(shape: tuple[int, ...], side: int, wanted: int) -> list[int]:
    """Share a number of windows out among the axes, more of them along longer ones."""
    counts = [1] * len(shape)
    while True:
        gaps = [size / (side * count) for size, count in zip(shape, counts, strict=True)]
        longest = int(np.argmax(gaps))
        counts[longest] += 1
        if prod(counts) > wanted or gaps[longest] <= 1:
            counts[longest] -= 1
            return counts


def _spread(count: int, wanted: int) -> list[int]:
    """Choose at most `wanted` of `count` indices, evenly."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, wanted))})
