"""Pixels that stay in their file until somebody asks for them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from tifffile import TiffFileError

from napari_tileseg.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST_CHUNK = 256
_UNCHUNKED = 1024

DAMAGE = (
    AssertionError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TiffFileError,
    TypeError,
    ValueError,
    zlib.error,
)
"""What libraries raise when a file is cut off or its bytes are not what they should be."""


class FilePixels:
    """An array in a file that says in plain words when its pixels cannot be read."""

    def __init__(self, data: Any, file_name: str) -> None:
        self._data = data
        self._file_name = file_name
        self.shape = tuple(int(size) for size in data.shape)
        self.dtype = np.dtype(data.dtype).newbyteorder("=")
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        try:
            return np.asarray(self._data[key]).astype(self.dtype, copy=False)
        except DAMAGE as error:
            raise ImageError(
                f"'{self._file_name}' is damaged or no longer there: some of its pixels cannot "
                f"be read ({error}). Copy or download the file again."
            ) from error


def lazy_array(data: Any, axes: str, file_name: str) -> da.Array:
    """Return a dask array over anything that can be sliced, in chunks that suit tiles.

    Parameters
    ----------
    data
        Has a shape and a dtype, and perhaps chunks.
    axes
        One letter an axis; all but Y, X and C are walked plane by plane.
    file_name
        What a person calls the file, for messages.
    """
    pixels = FilePixels(data, file_name)
    stored = getattr(data, "chunks", None) or (1,) * pixels.ndim
    whole = not hasattr(data, "chunks")
    chunks = tuple(
        _chunk(axis, size, int(chunk), _UNCHUNKED if whole else _SMALLEST_CHUNK)
        for axis, size, chunk in zip(axes, pixels.shape, stored, strict=True)
    )
    lazy: da.Array = da.from_array(  # type: ignore[no-untyped-call]
        pixels,
        chunks=chunks,
        name=False,  # a hash would read the whole file
        inline_array=True,
        meta=np.empty((0,) * pixels.ndim, pixels.dtype),
    )
    return lazy


def _chunk(axis: str, size: int, stored: int, wanted: int) -> int:
    """Return a multiple of the stored chunk that is worth a read of its own."""
    if axis == "C":
        return size
    if axis not in "YX":
        return stored
    return min(size, stored * max(1, -(-wanted // stored)))
