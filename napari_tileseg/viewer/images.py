"""From a napari image layer to a source of pixels, and the geometry that its labels share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.engine.source import Source
from napari_tileseg.session.facts import ImageFacts, channel_names

if TYPE_CHECKING:
    from napari.layers import Image
    from numpy.typing import NDArray

_LEADING = "ABDEFGHT"
"""Letters for axes that are walked plane by plane; what they mean does not matter."""


def open_layer(
    layer: Image, *, channel_axis: int | None = None, spatial_dims: int = 2
) -> tuple[Source, ImageFacts]:
    """Read a layer as an image with named axes.

    Parameters
    ----------
    layer
        Any image layer; of a multiscale one the finest level is read.
    channel_axis
        Which axis in front holds the channels; None if none does. RGB needs no such axis.
    spatial_dims
        How many of the last axes the network slides over.

    Raises
    ------
    ImageError
        If the layer holds nothing that a network can read.
    """
    others = max(0, layer.ndim - spatial_dims)
    if layer.rgb or channel_axis is None or channel_axis >= others:
        channel_axis = None
    letters = list(_LEADING[len(_LEADING) - others :])
    if channel_axis is not None:
        letters[channel_axis] = "C"
    axes = "".join(letters) + "ZYX"[-spatial_dims:] + ("C" if layer.rgb else "")
    data = list(layer.data) if layer.multiscale else layer.data
    fits = layer.ndim >= spatial_dims
    source = Source(data, axes=axes if fits else None, spatial_dims=spatial_dims, name=layer.name)
    facts = ImageFacts(
        name=layer.name,
        spatial_shape=source.spatial_shape,
        channels=channel_names(source.n_channels, rgb=bool(layer.rgb)),
        dtype=str(source.dtype),
        other_axes=tuple(
            (_axis_name(layer, index), int(_finest_shape(layer)[index])) for index in range(others)
        ),
        channel_axis=channel_axis,
        pixel_size_um=pixel_size_um(layer),
        folder=_folder(layer),
    )
    return source, facts


def _folder(layer: Image) -> str:
    path = layer.source.path
    folder = None if path is None else Path(path).parent
    # what came from the internet has a path as well, but no folder to write to
    return str(folder) if folder is not None and folder.is_dir() else ""


def likely_channel_axis(layer: Image) -> int | None:
    """Return the axis that is called channel, if the layer names its axes."""
    if layer.rgb:
        return None
    for index, name in enumerate(layer.axis_labels[:-2]):
        if name.lower() in ("c", "channel", "channels"):
            return index
    return None


def pixel_size_um(layer: Any) -> float | None:
    """Return micrometres per pixel of a layer; None unless its units are lengths."""
    sizes = []
    for scale, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True):
        if not unit.is_compatible_with("micrometer"):
            return None
        sizes.append(float(scale) * float((1 * unit).to("micrometer").magnitude))
    return float(np.sqrt(np.prod(np.abs(sizes))))


def geometry(layer: Image, channel_axis: int | None) -> dict[str, Any]:
    """Return the arguments that put a labels layer exactly onto an image layer."""
    kept = [axis for axis in range(layer.ndim) if axis != channel_axis]
    square = np.ix_(kept, kept)
    affine_kept = [*kept, layer.ndim]
    return {
        "scale": np.asarray(layer.scale)[kept],
        "translate": np.asarray(layer.translate)[kept],
        "rotate": np.asarray(layer.rotate)[square],
        "shear": _shear_matrix(layer)[square],
        "affine": np.asarray(layer.affine.affine_matrix)[np.ix_(affine_kept, affine_kept)],
        "units": [layer.units[axis] for axis in kept],
        "axis_labels": [layer.axis_labels[axis] for axis in kept],
    }


def _shear_matrix(layer: Image) -> NDArray[np.float64]:
    matrix = np.eye(layer.ndim)
    matrix[np.triu_indices(layer.ndim, 1)] = layer.shear
    return matrix


def _axis_name(layer: Image, index: int) -> str:
    name = str(layer.axis_labels[index])
    # napari numbers the axes that nobody has named from the end: "-3"
    return f"axis {index}" if name.lstrip("-").isdigit() else name


def _finest_shape(layer: Image) -> tuple[int, ...]:
    data = layer.data[0] if layer.multiscale else layer.data
    return tuple(data.shape)
