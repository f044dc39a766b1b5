"""Labels as PNG pictures whose palette is the colours of the classes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_tileseg.engine.spec import NOT_COMPUTED, default_colour
from napari_tileseg.errors import ImageError, OutputError
from napari_tileseg.io.atomic import written_beside
from napari_tileseg.io.label_values import (
    LabelsToWrite,
    ReadLabels,
    class_from_json,
    class_to_json,
)
from napari_tileseg.io.pictures import opened_picture

if TYPE_CHECKING:
    from pathlib import Path

_KEY = "napari-tileseg"
_NOT_COMPUTED_COLOUR = "#808080"
_LONGEST_SIDE = 2**31 - 1


def write_png(labels: LabelsToWrite, path: Path) -> None:
    """Write labels of one plane, values as they are, colours as a palette.

    Raises
    ------
    OutputError
        If there is more than one plane, or the file cannot be written.
    """
    if labels.axes != "YX" or max(labels.shape) > _LONGEST_SIDE:
        raise OutputError(
            f"PNG holds one plane of class indices; these labels have the shape {labels.shape}. "
            "Export them as .ome.tif, or one plane at a time."
        )
    pixels = labels.read((slice(None), slice(None)))
    picture = Image.frombytes("P", pixels.shape[::-1], pixels.tobytes())
    picture.putpalette(_palette(labels))
    notes = PngInfo()
    notes.add_text(_KEY, json.dumps(_notes(labels)))
    with written_beside(path) as part:
        picture.save(part, format="PNG", pnginfo=notes)


def _palette(labels: LabelsToWrite) -> bytes:
    colours = [one.colour for one in labels.classes]
    colours += [default_colour(index - 1) for index in range(len(colours), NOT_COMPUTED)]
    return b"".join(bytes.fromhex(colour[1:]) for colour in [*colours, _NOT_COMPUTED_COLOUR])


def _notes(labels: LabelsToWrite) -> dict[str, Any]:
    return {
        "classes": [class_to_json(one) for one in labels.classes],
        "pixel_size_um": labels.pixel_size_um,
        "provenance": json.loads(json.dumps(labels.provenance, default=str)),
    }


def read_png_labels(path: Path) -> ReadLabels:
    """Read class indices from a palette or grey picture.

    Raises
    ------
    ImageError
        If the picture is damaged, or holds colours instead of class indices.
    """
    with opened_picture(path) as picture:
        if len(picture.getbands()) != 1:
            raise ImageError(
                f"'{path.name}' holds colours ({picture.mode}), not class indices. "
                "Save the mask with one number a pixel: grey, or with a palette."
            )
        labels = np.asarray(picture)
        notes = _read_notes(picture.info.get(_KEY))
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    found = [class_from_json(str(text)) for text in notes.get("classes", [])]
    classes = tuple(one for one in found if one is not None)
    size = notes.get("pixel_size_um")
    return ReadLabels(
        labels,
        classes if len(classes) == len(found) else (),
        float(size) if isinstance(size, (int, float)) else None,
    )


def _read_notes(text: object) -> dict[str, Any]:
    try:
        notes = json.loads(str(text)) if text else {}
    except ValueError:
        return {}
    return notes if isinstance(notes, dict) else {}
