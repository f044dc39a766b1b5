"""What counts as an array: anything with a shape and a dtype that gives numbers when sliced."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, Protocol, cast

import numpy as np

from napari_tileseg.errors import ImageError


class ArrayLike(Protocol):
    """What has a shape and a dtype and gives an array when sliced: numpy, dask, zarr, ..."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def dtype(self) -> Any: ...  # noqa: D102

    def __getitem__(self, key: Any) -> Any: ...


def finest(data: object, name: str) -> ArrayLike:
    """Return an array, or the first of a list of them that get smaller.

    Raises
    ------
    ImageError
        If it is neither.
    """
    if hasattr(data, "dtype") and hasattr(data, "shape"):
        return cast("ArrayLike", data)
    if isinstance(data, str) or not isinstance(data, Sequence):
        raise ImageError(
            f"'{name}' is of type {type(data).__name__}; an array or a list of arrays (a pyramid) "
            "is needed. To open a file use napari_tileseg.io.images.open_image."
        )
    if len(data) == 0:
        raise ImageError(f"'{name}' is an empty list: there is no pyramid level to read.")
    if not all(hasattr(level, "dtype") and hasattr(level, "shape") for level in data):
        raise ImageError(f"'{name}' is a list without arrays in it; use numpy.asarray first.")
    sizes = [prod(level.shape) for level in data]
    if any(finer <= coarser for finer, coarser in pairwise(sizes)):
        raise ImageError(
            f"'{name}' is a list of arrays that do not get smaller. A list is a pyramid of one "
            "image, the finest level first; make a stack of several images with numpy.stack."
        )
    return cast("ArrayLike", data[0])


def as_read(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of pixels in memory: what torch knows, in the byte order of the machine."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize > 8:
        return np.dtype(np.float64)
    return dtype.newbyteorder("=")


def numeric_dtype(data: ArrayLike, name: str) -> np.dtype[Any]:
    """Return the dtype of an array, if it is one of numpy's; raises ImageError otherwise."""
    try:
        dtype: np.dtype[Any] = np.dtype(data.dtype)
    except TypeError as error:
        raise ImageError(
            f"'{name}' is a {type(data).__name__} of {data.dtype}; an array of numpy's types is "
            "needed, for instance image.numpy()."
        ) from error
    return dtype


def check_array(shape: tuple[int, ...], dtype: np.dtype[Any], name: str, spatial: int) -> None:
    """Refuse with an ImageError what holds no real numbers, or has too few axes or no pixels."""
    if dtype.kind == "c":
        raise ImageError(
            f"'{name}' is complex ({dtype}); a network reads real numbers. "
            "Take its magnitude first, for instance with numpy.abs."
        )
    if dtype.kind not in "biuf":
        raise ImageError(f"'{name}' holds {dtype}, not numbers; it cannot be segmented.")
    if len(shape) < spatial:
        raise ImageError(
            f"'{name}' has {len(shape)} {'axis' if len(shape) == 1 else 'axes'}; "
            f"at least {spatial} are needed."
        )
    if 0 in shape:
        raise ImageError(f"'{name}' is empty (its shape is {shape}): there is nothing to segment.")
