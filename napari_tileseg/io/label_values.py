"""Labels on their way into a file or out of one, whatever the format."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.engine.spec import MAX_CLASSES, NOT_COMPUTED, ClassInfo, default_classes
from napari_tileseg.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import zarr
    from numpy.typing import NDArray

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_LEADING = "TZ"


@dataclass(frozen=True, eq=False)
class ReadLabels:
    """Labels out of a file.

    Attributes
    ----------
    labels
        Class indices, 255 where nothing was computed; (classes, ...) bool for multilabel. Those
        of a zarr store stay on disk until they are sliced: they can be larger than the memory.
    classes
        In the order of the label values; empty if the file names none.
    pixel_size_um
        Micrometres per pixel; None if the file does not say.
    """

    labels: NDArray[Any] | zarr.Array[Any]
    classes: tuple[ClassInfo, ...]
    pixel_size_um: float | None


@dataclass(frozen=True, eq=False)
class LabelsToWrite:
    """Labels and all that goes along, checked.

    Attributes
    ----------
    data
        Array-like; only parts of it are read at a time.
    axes
        One letter an axis, ending in "YX"; C for the classes of a multilabel result.
    classes
        In the order of the label values; empty if nobody named any.
    """

    data: Any
    axes: str
    classes: tuple[ClassInfo, ...] = ()
    pixel_size_um: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return tuple(int(size) for size in self.data.shape)

    @property
    def multilabel(self) -> bool:
        """Whether a pixel can be several classes at once."""
        return "C" in self.axes

    def read(self, key: tuple[int | slice, ...]) -> NDArray[np.uint8]:
        """Return a part as uint8; `OutputError` if it holds what is no class index."""
        values = np.asarray(self.data[key])
        if values.dtype == np.uint8:
            return values
        if values.dtype != bool and values.size and not 0 <= values.min() <= values.max() <= 255:
            wrong = values.min() if values.min() < 0 else values.max()
            raise OutputError(
                f"These labels hold the value {wrong}. A file of labels holds class indices from "
                f"0 to {MAX_CLASSES - 1}, and {NOT_COMPUTED} for 'not computed'. "
                "Number the classes within that range."
            )
        return values.astype(np.uint8)


def to_write(
    labels: Any,
    classes: Sequence[ClassInfo] | Sequence[str] | None,
    pixel_size_um: float | None,
    provenance: Mapping[str, Any] | None,
) -> LabelsToWrite:
    """Check labels and all that goes along; raise `OutputError` if they cannot be written."""
    data = labels if hasattr(labels, "shape") and hasattr(labels, "dtype") else np.asarray(labels)
    dtype = np.dtype(data.dtype)
    if dtype.kind not in "bui":
        raise OutputError(
            f"Labels have to be whole numbers, the index of the class of each pixel; these are "
            f"{dtype}. Convert them first, for instance with labels.astype('uint8')."
        )
    if pixel_size_um is not None and not 0 < pixel_size_um < float("inf"):
        raise OutputError(f"The pixel size is {pixel_size_um} µm; it has to be above 0, or None.")
    axes = label_axes(tuple(data.shape), multilabel=dtype.kind == "b" and len(data.shape) > 2)
    return LabelsToWrite(data, axes, _classes(classes), pixel_size_um, dict(provenance or {}))


def label_axes(shape: tuple[int, ...], *, multilabel: bool) -> str:
    """Name the axes of labels, one letter each; `OutputError` if no file can hold them."""
    leading = len(shape) - 2 - multilabel
    if not 0 <= leading <= len(_LEADING) or 0 in shape:
        raise OutputError(
            f"Labels of shape {shape} cannot be written; two axes (rows, columns) are needed, "
            "up to two more may stand before them, and none may be empty."
        )
    return "C" * multilabel + _LEADING[len(_LEADING) - leading :] + "YX"


def _classes(given: Sequence[ClassInfo] | Sequence[str] | None) -> tuple[ClassInfo, ...]:
    if not given:
        return ()
    if len(given) > MAX_CLASSES:
        raise OutputError(
            f"There are {len(given)} classes; at most {MAX_CLASSES} can be written. Merge some."
        )
    defaults = default_classes(len(given))
    found = tuple(map(_named, given, defaults))
    for one in found:
        if not _COLOUR.fullmatch(one.colour):
            raise OutputError(
                f"The colour of the class '{one.name}' is '{one.colour}'; "
                "write it as #rrggbb, for instance #0072b2."
            )
    return found


def _named(given: ClassInfo | str, default: ClassInfo) -> ClassInfo:
    return ClassInfo(given, default.colour) if isinstance(given, str) else given


def class_to_json(one: ClassInfo) -> str:
    """Return a class as text of plain ASCII, which every format can hold unchanged."""
    return json.dumps({"name": one.name, "colour": one.colour})


def class_from_json(text: str) -> ClassInfo | None:
    """Read what `class_to_json` wrote; None if it is something else."""
    try:
        found = json.loads(text)
        one = ClassInfo(str(found["name"]), str(found["colour"]))
    except (ValueError, TypeError, KeyError):
        return None
    return one if _COLOUR.fullmatch(one.colour) else None
