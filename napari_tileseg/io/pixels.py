"""What every reader of image files gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.axes import name_axes
from napari_tileseg.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Pixels:
    """What a reader found in a file; `close` lets go of it."""

    levels: list[Any]
    axes: str
    pixel_size_um: float | None = None
    close: Callable[[], None] | None = None


def guessed_axes(shape: tuple[int, ...], file_name: str) -> str:
    """Return one letter an axis where a file names none; `ImageError` if there are too few."""
    if len(shape) < 2:
        raise ImageError(
            f"'{file_name}' has {len(shape)} axes (shape {shape}); an image has at least two, "
            "rows and columns. Choose another file."
        )
    return name_axes(shape, None, 2, None, file_name)
