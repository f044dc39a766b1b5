"""Labels as tiled, compressed OME-TIFF with a pyramid, written piece by piece."""

from __future__ import annotations

import json
import math
import re
from itertools import product
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from napari_tileseg.errors import ImageError
from napari_tileseg.io.atomic import written_beside
from napari_tileseg.io.images import open_image
from napari_tileseg.io.label_values import (
    LabelsToWrite,
    ReadLabels,
    class_from_json,
    class_to_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_tileseg.engine.spec import ClassInfo

CLASSES = "napari-tileseg/classes"
PROVENANCE = "napari-tileseg/provenance"

_TILE = 512
_COARSEST = 1024
_CLASSIC_LIMIT = 3_500_000_000
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_ome_tiff(labels: LabelsToWrite, path: Path) -> None:
    """Write labels; memory need does not grow with their size.

    Raises
    ------
    OutputError
        If the file cannot be written, or a value is no class index.
    """
    height, width = labels.shape[-2:]
    n_smaller = max(0, math.ceil(math.log2(max(height, width) / _COARSEST)))
    # incompressible labels need as much as their pixels, and a third more for the pyramid
    big = math.prod(labels.shape) * 4 / 3 > _CLASSIC_LIMIT
    with written_beside(path) as part, tifffile.TiffWriter(part, bigtiff=big, ome=True) as tiff:
        for level in range(n_smaller + 1):
            step = 2**level
            shape = (*labels.shape[:-2], -(-height // step), -(-width // step))
            tiff.write(
                _tiles(labels, shape, step),
                shape=shape,
                dtype=np.uint8,
                tile=(_TILE, _TILE),
                compression="zlib",
                photometric="minisblack",
                **(_finest(labels, n_smaller) if level == 0 else {"subfiletype": 1}),
            )


def _tiles(labels: LabelsToWrite, shape: tuple[int, ...], step: int) -> Iterator[NDArray[np.uint8]]:
    """Give all tiles of one level of the pyramid, in the order of the file."""
    *leading, height, width = shape
    for plane in np.ndindex(*leading):
        for y, x in product(range(0, height, _TILE), range(0, width, _TILE)):
            region = (
                slice(y * step, min(y + _TILE, height) * step, step),
                slice(x * step, min(x + _TILE, width) * step, step),
            )
            tile = np.zeros((_TILE, _TILE), np.uint8)
            part = labels.read((*plane, *region))
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def _finest(labels: LabelsToWrite, n_smaller: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "Name": "labels",
        "axes": labels.axes,
        "MapAnnotation": [_class_notes(labels), _provenance_notes(labels)],
    }
    more: dict[str, Any] = {}
    size = labels.pixel_size_um
    if size is not None:
        metadata |= {f"PhysicalSize{axis}": size for axis in "XY"}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
        if 1e-4 < size < 1e4:  # what fits into a TIFF tag
            more = {"resolution": (1e4 / size, 1e4 / size), "resolutionunit": "CENTIMETER"}
    if labels.multilabel and len(labels.classes) == labels.shape[0]:
        metadata["Channel"] = {"Name": [_plain(one.name) for one in labels.classes]}
    return {"subifds": n_smaller, "metadata": metadata, **more}


def _class_notes(labels: LabelsToWrite) -> dict[str, str]:
    notes = {str(index): class_to_json(one) for index, one in enumerate(labels.classes)}
    return {"Namespace": CLASSES, "task": "multilabel" if labels.multilabel else "", **notes}


def _provenance_notes(labels: LabelsToWrite) -> dict[str, str]:
    notes = {
        _plain(str(name)): _plain(
            value if isinstance(value, str) else json.dumps(value, default=str)
        )
        for name, value in labels.provenance.items()
    }
    return {**notes, "Namespace": PROVENANCE}


def _plain(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)


def read_tiff_labels(path: Path) -> ReadLabels:
    """Read class indices from a TIFF file, with names and colours if we wrote it.

    Raises
    ------
    ImageError
        If the file is damaged, or holds colours instead of class indices.
    """
    with open_image(path) as opened:
        if opened.axes.endswith("C"):
            raise ImageError(
                f"'{path.name}' holds colours, not class indices. "
                "Save the mask with one number a pixel."
            )
        labels = np.asarray(opened.levels[0])
        size = opened.pixel_size_um
    notes = _read_class_notes(path)
    if notes.pop("task", "") == "multilabel":
        labels = labels.astype(bool)
    return ReadLabels(labels, _read_classes(notes), size)


def _read_classes(notes: dict[str, str]) -> tuple[ClassInfo, ...]:
    found = [class_from_json(notes.get(str(index), "")) for index in range(len(notes))]
    classes = tuple(one for one in found if one is not None)
    return classes if len(classes) == len(found) else ()


def _read_class_notes(path: Path) -> dict[str, str]:
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata
    if not text:
        return {}
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return {}
    for one in root.iter():
        if one.tag.endswith("}MapAnnotation") and one.get("Namespace") == CLASSES:
            return {m.get("K", ""): m.text or "" for m in one.iter() if m.tag.endswith("}M")}
    return {}
