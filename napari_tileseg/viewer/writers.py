"""napari's "Save" for labels: class names and pixel size go along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_tileseg.engine.spec import NOT_COMPUTED

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
        What napari knows about the layer: features, metadata, scale, units.

    Returns
    -------
    The path that was written.
    """
    from napari_tileseg.io.labels import export

    written = export(
        np.asarray(data[0] if attributes.get("multiscale") else data),
        Path(path),
        classes=_class_names(attributes.get("features")),
        pixel_size_um=_pixel_size_um(attributes),
    )
    return [str(written)]


def _class_names(features: Any) -> list[str] | None:
    """Read the names from the features, where each label has its row."""
    if features is None or not {"index", "class"} <= set(getattr(features, "columns", ())):
        return None
    names = dict(zip(features["index"], features["class"], strict=True))
    highest = max((int(index) for index in names if index != NOT_COMPUTED), default=-1)
    return [str(names.get(index, f"class {index}")) for index in range(highest + 1)]


def _pixel_size_um(attributes: dict[str, Any]) -> float | None:
    sizes = []
    for scale, unit in zip(attributes["scale"][-2:], attributes["units"][-2:], strict=True):
        quantity = 1 * unit
        if not quantity.is_compatible_with(_UM):
            return None
        sizes.append(abs(float(scale)) * float(quantity.to(_UM).magnitude))
    return float(np.sqrt(np.prod(sizes)))
