"""Which numbers may stand for labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.errors import ImageError

if TYPE_CHECKING:
    import numpy.typing as npt

NOT_COMPUTED = 255
"""The label of a pixel about which neither model nor person has said anything."""


def whole_numbers(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return labels as an array of integers or booleans; ImageError if they are neither."""
    labels = np.asarray(values)
    if labels.dtype.kind not in "biu":
        raise ImageError(
            f"Labels are whole numbers, but these are {labels.dtype}. Round them first."
        )
    return labels


def as_uint8(values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Return labels as uint8 that can be written to; a copy only where it has to be one.

    Raises
    ------
    ImageError
        They are no whole numbers, or some do not lie between 0 and 255.
    """
    labels = whole_numbers(values)
    if labels.dtype == np.uint8:
        return labels if labels.flags.writeable else labels.copy()
    if labels.size and not 0 <= labels.min() <= labels.max() <= NOT_COMPUTED:
        raise ImageError(
            f"Labels of this layer are class numbers from 0 to {NOT_COMPUTED}, but these go from "
            f"{labels.min()} to {labels.max()}. Put them into a layer of their own."
        )
    return labels.astype(np.uint8)
