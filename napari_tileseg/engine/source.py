"""Any array-like as a source of pixels, read lazily, whatever the order of its axes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_tileseg.engine.arrays import as_read, check_array, finest, numeric_dtype
from napari_tileseg.engine.axes import name_axes, spatial_axes
from napari_tileseg.engine.chunks import ChunkCache, chunk_edges, sweep_bytes
from napari_tileseg.errors import ImageError, ModelFitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_tileseg.engine.arrays import ArrayLike
    from napari_tileseg.engine.spec import ModelSpec


_MOST_CACHED = 256 * 2**20
"""Decoded chunks never take more memory than this."""


class Source:
    """An image of any size with named axes.

    Parameters
    ----------
    data
        An array-like, or a list of them: a pyramid with the finest level first, of which
        only the finest is read.
    axes
        One letter an axis: Y and X (and Z if `spatial_dims` is 3) are what the network slides
        over, C (or S) are channels, every other letter is walked plane by plane. Without it
        a last axis of 3 or 4 behind two axes over 30 px is taken for RGB(A), as napari does.
    spatial_dims
        2 for images and stacks of images, 3 for volumes.
    rgb
        Whether the last axis is RGB(A); None guesses.
    name
        What a person calls the image, for messages.

    Attributes
    ----------
    levels
        The pyramid as it was given, the finest level first.

    Raises
    ------
    ImageError
        If the array is empty, not of numbers, complex, or does not match `axes`.
    """

    def __init__(
        self,
        data: ArrayLike | Sequence[ArrayLike],
        *,
        axes: str | None = None,
        spatial_dims: int = 2,
        rgb: bool | None = None,
        name: str = "image",
    ) -> None:
        self.name = name
        self._data: ArrayLike = finest(data, name)
        self.levels = tuple(data) if isinstance(data, Sequence) else (self._data,)
        self.dtype = numeric_dtype(self._data, name)
        shape = tuple(int(size) for size in self._data.shape)
        check_array(shape, self.dtype, name, spatial_dims)
        self.axes = name_axes(shape, axes, spatial_dims, rgb, name)
        sizes = dict(zip(self.axes, shape, strict=True))
        self._spatial_axes = spatial_axes(spatial_dims)
        self._leading_axes = "".join(a for a in self.axes if a not in "C" + self._spatial_axes)
        self.n_channels = sizes.get("C", 1)
        self.leading_shape = tuple(sizes[a] for a in self._leading_axes)
        self.spatial_shape = tuple(sizes[a] for a in self._spatial_axes)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """The shape of the labels: leading axes, then spatial ones, no channels."""
        return self.leading_shape + self.spatial_shape

    @property
    def label_axes(self) -> str:
        """The letters of the axes of the labels."""
        return self._leading_axes + self._spatial_axes

    def for_sweep(self, tile: Sequence[int], width: int) -> Self:
        """Return the same image, whose chunks are decoded once while tiles sweep over it.

        Parameters
        ----------
        tile
            The size of what is read at once on each spatial axis, in pixels.
        width
            How many pixels of the last axis a sweep covers before it comes back.
        """
        edges = chunk_edges(self._data)
        if edges is None:
            return self
        reach = dict.fromkeys(self._leading_axes, 1) | {"C": self.n_channels}
        reach |= dict(
            zip(self._spatial_axes, (tile[0], *self.spatial_shape[1:-1], width), strict=True)
        )
        needed = sweep_bytes(edges, [reach[axis] for axis in self.axes], self.dtype.itemsize)
        swept = copy.copy(self)
        swept._data = ChunkCache(self._data, edges, min(needed, _MOST_CACHED))
        return swept

    def read(
        self,
        plane: tuple[int, ...],
        region: tuple[slice, ...],
        channels: Sequence[int],
    ) -> NDArray[Any]:
        """Read one region of one plane.

        Parameters
        ----------
        plane
            An index on each leading axis.
        region
            A slice in pixels on each spatial axis, inside the image.
        channels
            Which channels, in the order wanted; one may be named twice.

        Returns
        -------
        (channels, *spatial) in the dtype of the image; bool is read as uint8.

        Raises
        ------
        ImageError
            If the pixels cannot be read, or are not finite numbers.
        """
        where: dict[str, int | slice] = dict(zip(self._leading_axes, plane, strict=True))
        where.update(zip(self._spatial_axes, region, strict=True))
        first = min(channels)
        where["C"] = slice(first, max(channels) + 1)
        key = tuple(where[axis] for axis in self.axes)
        try:
            block = np.asarray(self._data[key])
        except (OSError, ValueError, RuntimeError) as error:
            raise ImageError(
                f"Pixels of '{self.name}' cannot be read at {_place(region)} ({error}). "
                "The file may be damaged or no longer be there; what is finished is kept."
            ) from error
        kept = [axis for axis in self.axes if isinstance(where[axis], slice)]
        if "C" not in kept:
            block, kept = block[None], ["C", *kept]
        block = block.transpose([kept.index(axis) for axis in "C" + self._spatial_axes])
        block = block[[channel - first for channel in channels]]
        self._require_finite(block, region)
        return np.ascontiguousarray(block, dtype=as_read(block.dtype))

    def check(self, spec: ModelSpec, channels: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return the channels that a model is to read from this image.

        Raises
        ------
        ModelFitError
            If the model reads another number of channels, or one that is not there.
        """
        wanted = len(spec.channels)
        if channels is None:
            if self.n_channels == wanted or (self.n_channels == 4 and wanted == 3):
                return tuple(range(wanted))
            raise ModelFitError(
                f"'{spec.name}' reads {_count(wanted, 'channel')} ({', '.join(spec.channels)}); "
                f"'{self.name}' has {self.n_channels}. Choose which ones it should see under "
                f"Model > Channels, or with --channels {self._example(wanted)}."
                + self._axes_hint(wanted)
            )
        if len(channels) != wanted:
            raise ModelFitError(
                f"'{spec.name}' reads {_count(wanted, 'channel')} ({', '.join(spec.channels)}), "
                f"but {len(channels)} were chosen. Choose one for each."
            )
        missing = [channel for channel in channels if not 0 <= channel < self.n_channels]
        if missing:
            raise ModelFitError(
                f"'{self.name}' has no channel {missing[0]}: its channels are counted from 0 to "
                f"{self.n_channels - 1}."
            )
        return channels

    def _example(self, wanted: int) -> str:
        return ",".join(str(min(index, self.n_channels - 1)) for index in range(wanted))

    def _axes_hint(self, wanted: int) -> str:
        if "C" in self.axes or wanted not in self.leading_shape:
            return ""
        place = len(self.leading_shape) - 1 - self.leading_shape[::-1].index(wanted)
        named = self._leading_axes[:place] + "C" + self._leading_axes[place + 1 :]
        named += self._spatial_axes
        return f" If an axis of the image holds its channels, say so: axes='{named}'."

    def _require_finite(self, block: NDArray[Any], region: tuple[slice, ...]) -> None:
        if block.dtype.kind != "f" or bool(np.isfinite(block).all()):
            return
        bad = ~np.isfinite(block).all(axis=0)
        first = tuple(
            int(index[0]) + part.start for index, part in zip(np.nonzero(bad), region, strict=True)
        )
        where = ", ".join(
            f"{axis.lower()} {index}" for axis, index in zip(self._spatial_axes, first, strict=True)
        )
        raise ImageError(
            f"'{self.name}' holds values that are not numbers (NaN or infinite), the first found "
            f"at {where}. Replace them, for instance with numpy.nan_to_num, and run again."
        )


def _place(region: tuple[slice, ...]) -> str:
    return " × ".join(f"{part.start}-{part.stop}" for part in region) + " px"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"
