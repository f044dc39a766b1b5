"""TIFF files of every kind that tifffile reads: OME, ImageJ, slides, plain ones."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import tifffile
import zarr

from napari_tileseg.errors import ImageError
from napari_tileseg.io.lazy import DAMAGE, lazy_array
from napari_tileseg.io.pixels import Pixels, guessed_axes
from napari_tileseg.io.units import in_micrometres

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST_CAMERA_PIXEL_UM = 10.0
"""Coarser than that, a resolution in TIFF tags is about printing (72 dpi is 353 µm)."""

_RESOLUTION_UNITS = {2: "inch", 3: "cm"}


def read_tiff(path: Path) -> Pixels:
    """Open the largest image in a TIFF file with the levels of its pyramid.

    Raises
    ------
    ImageError
        If the file is damaged, not complete, or holds no image.
    """
    with ExitStack() as opened:
        try:
            tiff = opened.enter_context(tifffile.TiffFile(path))
            number, series = _largest(tiff)
            _require_complete(series, path)
            axes = _axes(series.axes, tuple(series.shape), path.name)
            levels = [
                lazy_array(_stored(path, series, level), axes, path.name)
                for level in range(len(series.levels))
            ]
            size = _pixel_size(tiff, series, number)
        except DAMAGE as error:
            raise ImageError(
                f"'{path.name}' is a TIFF file that is not complete or is damaged ({error}). "
                "Copy or download it again."
            ) from error
        return Pixels(levels, axes, size, opened.pop_all().close)


def _largest(tiff: tifffile.TiffFile) -> tuple[int, Any]:
    # slides also hold a picture of the label and an overview
    numbered = list(enumerate(tiff.series))
    if not numbered:
        raise ValueError("it holds no image")
    return max(numbered, key=lambda one: one[1].size)


def _stored(path: Path, series: Any, level: int) -> Any:
    """Return one level: mapped into memory where nothing has to be decoded, else as zarr."""
    part = series.levels[level]
    if level == 0 and part.dataoffset is not None and part.size:
        import numpy as np

        dtype = part.dtype.newbyteorder(part.parent.byteorder)
        return np.memmap(path, dtype, "r", part.dataoffset, tuple(part.shape))
    return zarr.open(series.aszarr(level=level), mode="r")


def _require_complete(series: Any, path: Path) -> None:
    length = path.stat().st_size
    for level in series.levels:
        page = level.keyframe
        ends = (
            offset + count
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        )
        needed = max(ends, default=0)
        if needed > length:
            raise ImageError(
                f"'{path.name}' is not complete: it has {length:,} bytes and needs at least "
                f"{needed:,}. Copy or download it again."
            )


def _axes(named: str, shape: tuple[int, ...], file_name: str) -> str:
    """Return axes with each letter once, samples as channels."""
    if not {"Y", "X"} <= set(named):
        return guessed_axes(shape, file_name)
    if "S" in named:
        spare = next(letter for letter in "LPABDEF" if letter not in named)
        named = named.replace("C", spare).replace("S", "C")
    if len(set(named)) == len(named):
        return named
    return guessed_axes(shape, file_name)


def _pixel_size(tiff: tifffile.TiffFile, series: Any, number: int) -> float | None:
    if tiff.ome_metadata:
        return _ome_pixel_size(tiff.ome_metadata, number)
    page = series.keyframe
    found = re.search(r"\|\s*MPP\s*=\s*([\d.]+)", page.description or "")
    if found:
        return in_micrometres(float(found.group(1)), "µm")
    per_unit = _resolution(page)
    if not per_unit:
        return None
    if tiff.imagej_metadata:
        return in_micrometres(1 / per_unit, tiff.imagej_metadata.get("unit"))
    unit = page.tags.valueof("ResolutionUnit", 2)
    size = in_micrometres(1 / per_unit, _RESOLUTION_UNITS.get(int(unit)))
    return size if size and size <= _LARGEST_CAMERA_PIXEL_UM else None


def _resolution(page: Any) -> float:
    value = page.tags.valueof("XResolution")
    if not value or not value[1]:
        return 0.0
    return float(value[0] / value[1])


def _ome_pixel_size(text: str, number: int) -> float | None:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    found = [one for one in root.iter() if one.tag.rpartition("}")[2] == "Pixels"]
    if number >= len(found):
        return None
    size = found[number].get("PhysicalSizeX")
    try:
        return in_micrometres(float(size or "nan"), found[number].get("PhysicalSizeXUnit", "µm"))
    except ValueError:
        return None
