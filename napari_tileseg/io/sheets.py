"""The arrays that a run fills: labels, and if asked for probabilities and confidence.

All of a run's sheets are cut into the same blocks, so that a block is finished on all of them
at the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from napari_tileseg.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_CHUNK = {2: 512, 3: 128}
KEY = "tileseg"
"""The attribute that says what a folder is."""


@dataclass(frozen=True)
class Sheet:
    """One array of a run.

    Attributes
    ----------
    path
        Its folder.
    array
        The zarr array: (*planes, *spatial), or (classes, *planes, *spatial).
    take
        Makes the values of a region from its labels and its probabilities.
    classes
        How long the first axis is, if it is that of the classes.
    """

    path: Path
    array: zarr.Array[Any]
    take: Callable[[NDArray[Any], Any], NDArray[Any]]
    classes: int | None = None

    @property
    def leading(self) -> tuple[int, ...]:
        """The sizes of the axes before those of the labels."""
        return () if self.classes is None else (self.classes,)

    @property
    def block_bytes(self) -> int:
        """Memory that a whole block takes."""
        shape = (*self.leading, *self.array.chunks[len(self.leading) :])
        return prod(shape) * self.array.dtype.itemsize

    def empty(self, shape: Sequence[int]) -> NDArray[Any]:
        """Return a block of a shape in which nothing is computed."""
        return np.full((*self.leading, *shape), self.array.fill_value, self.array.dtype)

    def write(self, where: tuple[slice, ...], values: NDArray[Any]) -> None:
        """Write a block; one chunk after the other, so that no more than one core is taken."""
        if self.classes is None:
            self.array[where] = values
            return
        for number in range(self.classes):
            within: Any = (number, *where)
            self.array[within] = values[number]

    def read(self, where: tuple[slice, ...]) -> NDArray[Any]:
        """Read a block back."""
        within: Any = where if self.classes is None else (slice(None), *where)
        return np.array(self.array[within])

    def files(self, key: tuple[int, ...]) -> Iterator[Path]:
        """Name the files that a block lies in; one without any pixel computed has none."""
        encode = self.array.metadata.encode_chunk_key
        if self.classes is None:
            yield self.path / encode(key)
            return
        for number in range(self.classes):
            yield self.path / encode((number, *key))


def label_sheet(path: Path, array: zarr.Array[Any]) -> Sheet:
    """Return the sheet of class indices."""
    return Sheet(path, array, lambda labels, _: labels)


def probability_sheet(path: Path, array: zarr.Array[Any]) -> Sheet:
    """Return the sheet of (classes, ...) probabilities, float16."""
    return Sheet(path, array, lambda _, values: values.astype(np.float16), array.shape[0])


def confidence_sheet(path: Path, array: zarr.Array[Any]) -> Sheet:
    """Return the sheet of the highest probability of any class, 0 to 255."""
    return Sheet(path, array, lambda _, values: confidence(values))


def confidence(probabilities: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the highest probability of each pixel, (classes, ...) to (...) uint8, 255 for 1."""
    highest: NDArray[np.uint8] = np.rint(probabilities.max(axis=0) * 255).astype(np.uint8)
    return highest


def new_array(
    path: Path,
    shape: Sequence[int],
    *,
    spatial_dims: int,
    dtype: str,
    fill: int,
    about: Mapping[str, Any],
) -> zarr.Array[Any]:
    """Make an empty array in a folder.

    Parameters
    ----------
    path
        The folder.
    shape
        Its shape; the last `spatial_dims` axes are cut into chunks.
    spatial_dims
        How many of the last axes are spatial.
    dtype, fill
        What it holds, and what stands where nothing is computed yet.
    about
        The attributes.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    leading = len(shape) - spatial_dims
    side = _CHUNK.get(spatial_dims, 512)
    try:
        return zarr.create_array(
            store=str(path),
            shape=tuple(shape),
            chunks=(1,) * leading + tuple(min(side, n) for n in shape[leading:]),
            dtype=dtype,
            # labels lie in few bits: sorted by bits they take a third less room than by bytes
            compressors=BloscCodec(cname="zstd", clevel=1),
            fill_value=fill,
            attributes=dict(about),
        )
    except OSError as error:
        raise not_written(path, error) from error


def not_written(path: Path, error: OSError) -> OutputError:
    """Say that a disk refused, and what to do."""
    return OutputError(
        f"'{path}' cannot be written ({error.strerror or error}). What is finished is kept; make "
        "room and go on with --resume, or choose another --out."
    )
