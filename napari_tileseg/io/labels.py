"""Labels out to files that other programs read, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.errors import ImageError, OutputError
from napari_tileseg.io.images import JPEG, PNG, TIFF, first_bytes, open_image
from napari_tileseg.io.label_store import read_about
from napari_tileseg.io.label_values import ReadLabels, to_write
from napari_tileseg.io.ome_tiff import read_tiff_labels, write_ome_tiff
from napari_tileseg.io.palette_png import read_png_labels, write_png

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_tileseg.engine.spec import ClassInfo

__all__ = ["FORMATS", "ReadLabels", "export", "read_labels"]

FORMATS = {"ome-tiff": (".ome.tif", ".ome.tiff", ".tif", ".tiff"), "png": (".png",)}
"""The formats that can be written, each with the suffixes that mean it."""

_WRITERS = {"ome-tiff": write_ome_tiff, "png": write_png}


def export(
    labels: Any,
    path: str | Path,
    *,
    classes: Sequence[ClassInfo] | Sequence[str] | None = None,
    pixel_size_um: float | None = None,
    to: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write labels with the names and colours of their classes.

    Parameters
    ----------
    labels
        (..., H, W) class indices, 255 for not computed; or (classes, ..., H, W) bool for
        pixels that can be several classes at once. An array or anything that can be sliced:
        it is read piece by piece.
    path
        The file; its suffix chooses the format: .ome.tif (or .tif) or .png. One that exists is
        replaced in one step at the end.
    classes
        Names, or names with colours, in the order of the label values.
    pixel_size_um
        Micrometres per pixel.
    to
        The format, if the suffix does not say: "ome-tiff" or "png".
    provenance
        Where the labels come from: model, settings, person; plain values.

    Returns
    -------
    The file that was written.

    Raises
    ------
    OutputError
        If labels cannot be written in that format or to that place; a file that was there is
        untouched.
    """
    target = Path(path).expanduser()
    write = _WRITERS[_format(target, to)]
    write(to_write(labels, classes, pixel_size_um, provenance), target)
    return target


def _format(path: Path, wanted: str | None) -> str:
    if wanted in FORMATS:
        return wanted
    name = path.name.lower()
    for known, suffixes in FORMATS.items():
        if wanted is None and name.endswith(suffixes):
            return known
    options = "; ".join(f"{known} ({', '.join(ends)})" for known, ends in FORMATS.items())
    asked = f"the format '{wanted}'" if wanted else f"the suffix '{path.suffix}'"
    raise OutputError(f"Labels cannot be written with {asked}. There are: {options}.")


def read_labels(path: str | Path) -> ReadLabels:
    """Read labels, with names, colours and pixel size where the file has them.

    Parameters
    ----------
    path
        What `export` wrote, or a mask of another program: TIFF, PNG, BMP, .npy, .zarr.

    Raises
    ------
    ImageError
        If the file is missing, damaged, or holds no class indices.
    """
    path = Path(path).expanduser()
    store = read_about(path) if path.is_dir() else None
    if store is not None:
        return ReadLabels(*store)
    first = first_bytes(path)
    if first.startswith(TIFF):
        return read_tiff_labels(path)
    if first.startswith(PNG):
        return read_png_labels(path)
    if first.startswith(JPEG):
        raise ImageError(
            f"'{path.name}' is a JPEG picture, which changes the numbers of a mask. "
            "Save the mask as PNG or TIFF."
        )
    with open_image(path) as opened:
        labels, size = np.asarray(opened.levels[0]), opened.pixel_size_um
    if labels.dtype.kind not in "bui":
        raise ImageError(
            f"'{path.name}' holds {labels.dtype}; labels are whole numbers, the index of the "
            "class of each pixel. Save it as such."
        )
    return ReadLabels(labels, (), size)
