"""Arrays in zarr folders: a plain array, or the levels of an OME-Zarr image (0.4 and 0.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr
from zarr.errors import BaseZarrError

from napari_tileseg.errors import ImageError
from napari_tileseg.io.lazy import lazy_array
from napari_tileseg.io.pixels import Pixels, guessed_axes
from napari_tileseg.io.units import in_micrometres

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MARKS = ("zarr.json", ".zarray", ".zgroup")
_DAMAGE = (BaseZarrError, KeyError, OSError, RuntimeError, TypeError, ValueError)


def read_zarr(folder: Path) -> Pixels:
    """Open a zarr folder.

    Raises
    ------
    ImageError
        If it is no zarr folder, is damaged, or holds no single image.
    """
    if not any((folder / mark).is_file() for mark in _MARKS):
        raise ImageError(
            f"'{folder}' is a folder, not an image. Choose a file inside it, or a .zarr folder."
        )
    try:
        node = zarr.open(folder, mode="r")
        if isinstance(node, zarr.Array):
            return _plain(node, folder.name)
        return _group(node, folder.name)
    except _DAMAGE as error:
        raise ImageError(
            f"'{folder.name}' is a zarr folder that cannot be read ({error}). Copy it again."
        ) from error


def _plain(array: zarr.Array[Any], name: str) -> Pixels:
    named: Any = getattr(array.metadata, "dimension_names", None)
    named = named or array.attrs.get("_ARRAY_DIMENSIONS")
    axes = "".join(str(one).upper() for one in named) if named else ""
    if len(axes) != array.ndim or not {"Y", "X"} <= set(axes):
        axes = guessed_axes(array.shape, name)
    return Pixels([lazy_array(array, axes, name)], axes)


def _group(group: zarr.Group, name: str) -> Pixels:
    attributes: dict[str, Any] = dict(group.attrs)
    attributes = attributes.get("ome", attributes)
    if "multiscales" in attributes:
        return _pyramid(group, attributes["multiscales"][0], name)
    if "bioformats2raw.layout" in attributes:
        first = group["0"]
        if isinstance(first, zarr.Group):
            return _group(first, name)
    arrays = dict(group.arrays())
    if len(arrays) == 1:
        return _plain(next(iter(arrays.values())), name)
    held = f"the arrays {', '.join(sorted(arrays))}" if arrays else "no array"
    raise ImageError(
        f"'{name}' is a zarr folder with {held} and no description of an image. "
        "Choose the folder of one array inside it."
    )


def _pyramid(group: zarr.Group, description: Mapping[str, Any], name: str) -> Pixels:
    arrays: list[Any] = [group[one["path"]] for one in description["datasets"]]
    described = description.get("axes") or ["t", "c", "z", "y", "x"][-arrays[0].ndim :]
    names = [one["name"] if isinstance(one, dict) else one for one in described]
    axes = "".join(str(one)[:1].upper() for one in names)
    if len(axes) != arrays[0].ndim or not {"Y", "X"} <= set(axes):
        axes = guessed_axes(arrays[0].shape, name)
    levels = [lazy_array(array, axes, name) for array in arrays]
    return Pixels(levels, axes, _pixel_size(description, described, axes.index("X")))


def _pixel_size(description: Mapping[str, Any], axes: list[Any], index: int) -> float | None:
    unit = axes[index].get("unit") if isinstance(axes[index], dict) else None
    finest = description["datasets"][0].get("coordinateTransformations", [])
    scales = [one["scale"][index] for one in finest if one.get("type") == "scale"]
    return in_micrometres(scales[0], unit) if scales and unit else None
