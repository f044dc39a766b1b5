"""napari's "Save" for labels: classes and pixel size go along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.utils import DirectLabelColormap

from napari_tileseg.engine.spec import NOT_COMPUTED, ClassInfo

_UM = "micrometer"


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one labels layer.

    Parameters
    ----------
    path
        Where; the suffix (.ome.tif, .png) says the format.
    data
        The labels, any integer type with values up to 255.
    attributes
        What napari knows about the layer: features, colormap, scale, units.

    Returns
    -------
    The path that was written.
    """
    from napari_tileseg.io.labels import export

    written = export(
        np.asarray(data[0] if attributes.get("multiscale") else data),
        Path(path),
        classes=_classes(attributes),
        pixel_size_um=_pixel_size_um(attributes),
    )
    return [str(written)]


def _classes(attributes: dict[str, Any]) -> list[ClassInfo] | list[str] | None:
    """Read names from the features, and colours from the colormap if it has one a label."""
    names = _names(attributes.get("features"))
    colormap = attributes.get("colormap")
    if names is None or not isinstance(colormap, DirectLabelColormap):
        return names
    return [ClassInfo(name, _colour(colormap, index)) for index, name in enumerate(names)]


def _names(features: Any) -> list[str] | None:
    if features is None or not {"index", "class"} <= set(getattr(features, "columns", ())):
        return None
    names = dict(zip(features["index"], features["class"], strict=True))
    highest = max((int(index) for index in names if index != NOT_COMPUTED), default=-1)
    return [str(names.get(index, f"class {index}")) for index in range(highest + 1)]


def _colour(colormap: DirectLabelColormap, label: int) -> str:
    """Return "#rrggbb"; how transparent a label is drawn does not matter to a file."""
    red, green, blue = np.rint(255 * np.asarray(colormap.map(label))[:3]).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _pixel_size_um(attributes: dict[str, Any]) -> float | None:
    sizes = []
    for scale, unit in zip(attributes["scale"][-2:], attributes["units"][-2:], strict=True):
        quantity = 1 * unit
        if not quantity.is_compatible_with(_UM):
            return None
        sizes.append(abs(float(scale)) * float(quantity.to(_UM).magnitude))
    return float(np.sqrt(np.prod(sizes)))
