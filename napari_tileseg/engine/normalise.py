"""Intensities into the range a network was trained on: one scaling for the whole image.

The same scaling holds for every tile, so that no tile is brighter than its neighbour, and
for prediction and training alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.engine.spec import Normalisation, NormalisationKind
from napari_tileseg.errors import ModelFitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.source import Source

_WHOLE_PX = 4_000_000
"""An image up to this many pixels is read as a whole for its statistics."""

_SAMPLES, _SAMPLE_PX = 36, 256
"""A larger one is sampled: this many windows, of this side."""


@dataclass(frozen=True)
class Scaling:
    """An affine map a channel: normalised = raw * factor + offset.

    Attributes
    ----------
    factor, offset
        One number for each channel that is read.
    """

    factor: tuple[float, ...]
    offset: tuple[float, ...]

    def apply(self, tiles: torch.Tensor) -> torch.Tensor:
        """Scale raw tiles (B, C, *spatial) of any dtype to float32, on their device."""
        per_channel = (1, -1) + (1,) * (tiles.ndim - 2)
        factor = torch.tensor(self.factor, device=tiles.device).view(per_channel)
        offset = torch.tensor(self.offset, device=tiles.device).view(per_channel)
        return torch.addcmul(offset, tiles.to(torch.float32), factor)


def scaling_for(
    source: Source, normalisation: Normalisation, channels: Sequence[int], spec_name: str = "model"
) -> Scaling:
    """Resolve what a model asks for on one image.

    Statistics of the image, where they are needed, come from all of a small image and from a
    fixed set of windows spread over a large one; equal images give equal scalings.

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
        return Scaling((1.0,) * count, (0.0,) * count)
    if kind is NormalisationKind.ZSCORE:
        low, high = _mean_and_above(_sample(source, channels))
    elif kind is NormalisationKind.FIXED and source.dtype in (np.uint8, np.bool_):
        top = 255.0 if source.dtype == np.uint8 else 1.0
        low, high = np.zeros(count), np.full(count, top)
    else:
        percentiles = [normalisation.low, normalisation.high]
        low, high = np.percentile(_sample(source, channels), percentiles, axis=1)
    spread = np.where(high > low, high - low, 1.0)
    factor = 1 / (spread * std)
    offset = -(low / spread + mean) / std
    return Scaling(tuple(factor.tolist()), tuple(offset.tolist()))


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


def _sample(source: Source, channels: Sequence[int]) -> NDArray[Any]:
    """Return pixels of the image, (channels, pixels)."""
    parts = [
        source.read(plane, region, channels).reshape(len(channels), -1)
        for plane, region in _windows(source)
    ]
    return np.concatenate(parts, axis=1)


def _windows(source: Source) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    planes = list(np.ndindex(*source.leading_shape))
    whole = tuple(slice(0, size) for size in source.spatial_shape)
    if np.prod(source.label_shape, dtype=np.int64) <= _WHOLE_PX:
        yield from ((plane, whole) for plane in planes)
        return
    few = [planes[i] for i in _spread(len(planes), _SAMPLES)]
    per_plane = max(1, _SAMPLES // len(few))
    per_axis = max(1, round(per_plane ** (1 / len(whole))))
    starts = [
        [i * max(0, size - _SAMPLE_PX) // max(1, per_axis - 1) for i in range(per_axis)]
        if per_axis > 1
        else [max(0, size - _SAMPLE_PX) // 2]
        for size in source.spatial_shape
    ]
    for plane in few:
        for corner in product(*starts):
            yield (
                plane,
                tuple(
                    slice(start, min(start + _SAMPLE_PX, size))
                    for start, size in zip(corner, source.spatial_shape, strict=True)
                ),
            )


def _spread(count: int, wanted: int) -> list[int]:
    """Choose at most `wanted` of `count` indices, evenly."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, wanted))})
