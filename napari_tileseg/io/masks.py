"""Masks out of files: class indices, or colours that stand for classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.errors import ImageError, ModelFitError
from napari_tileseg.io.images import JPEG, PNG, first_bytes, open_image
from napari_tileseg.io.labels import read_labels
from napari_tileseg.io.pictures import opened_picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_tileseg.io.colour_tables import ColourTable


def read_mask(path: Path, colours: ColourTable | None = None) -> NDArray[np.uint8]:
    """Read a mask.

    Parameters
    ----------
    path
        A picture or TIFF with class indices (grey, or the indices of a palette), or with
        colours if there is a table.
    colours
        Which colour means which class. None reads numbers as they are.

    Returns
    -------
    Class indices, 255 where nobody knows; (H, W), or the shape of the planes of a stack.

    Raises
    ------
    ImageError, ModelFitError
        If the file cannot be read, or holds what is no mask.
    """
    _refuse_jpeg(path)
    if colours is not None:
        return colours.decode(read_colours(path), path.name)
    if not has_indices(path):
        raise ImageError(
            f"'{path.name}' holds colours, not class indices. Say with --colours which colour "
            "means which class, or save the mask with one number a pixel."
        )
    return as_mask(np.asarray(read_labels(path).labels), path.name)


def _refuse_jpeg(path: Path) -> None:
    if first_bytes(path).startswith(JPEG):
        raise ImageError(
            f"'{path.name}' is a JPEG picture, which changes the numbers and colours of a mask. "
            "Save the mask as PNG or TIFF."
        )


def has_indices(path: Path) -> bool:
    """Whether a file holds one number a pixel: grey, or with a palette."""
    if first_bytes(path).startswith(PNG):
        with opened_picture(path) as picture:
            return len(picture.getbands()) == 1
    with open_image(path) as opened:
        return "C" not in opened.axes


def as_mask(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Return class indices as uint8, or say why these are none."""
    if values.dtype.kind not in "bui":
        raise ModelFitError(
            f"'{name}' holds {values.dtype}; a mask holds whole numbers: the index of the class "
            "of each pixel, 255 for unknown."
        )
    if values.size and (values.min() < 0 or values.max() > 255):
        raise ModelFitError(
            f"'{name}' holds values from {values.min()} to {values.max()}; a mask holds the "
            "index of a class (0 to 254) or 255 for unknown. Are these objects, not classes?"
        )
    return values.astype(np.uint8)


def read_colours(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) RGB; a palette becomes the colours it stands for.

    Raises
    ------
    ImageError
        If it is no picture of 8 bits a colour, or is partly transparent.
    """
    if first_bytes(path).startswith(PNG):
        with opened_picture(path) as picture:
            if picture.mode == "P":
                return np.asarray(picture.convert("RGB"))
            pixels = np.asarray(picture)
            if picture.mode == "LA":
                pixels = pixels[..., [0, 0, 0, 1]]
    else:
        with open_image(path) as opened:
            pixels = np.asarray(opened.levels[0])
    return _as_rgb(pixels, path.name)


def _as_rgb(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.dtype == bool:
        pixels = pixels * np.uint8(255)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        shape = " × ".join(map(str, pixels.shape))
        raise ImageError(
            f"'{name}' holds {pixels.dtype} in the shape {shape}; colours are looked up in "
            "pictures with 8 bits of red, green and blue. Save it as RGB, or leave out the colour "
            "table if it holds class indices."
        )
    if pixels.shape[2] == 4 and (pixels[..., 3] < 255).any():
        raise ImageError(
            f"'{name}' is partly transparent, so that its colours are not certain. "
            "Save it without transparency."
        )
    return np.ascontiguousarray(pixels[..., :3])
