"""PNG, JPEG, BMP and other pictures that Pillow reads, all at once."""

from __future__ import annotations

import math
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import psutil
from PIL import Image, UnidentifiedImageError

from napari_tileseg.errors import ImageError
from napari_tileseg.io.pixels import Pixels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LIMIT = Lock()
_BYTES = {"I": 4, "F": 4, "I;16": 2, "I;16B": 2, "I;16L": 2}
_AS_THEY_ARE = ("L", "RGB", "RGBA", "I", "F")


def read_picture(path: Path) -> Pixels:
    """Read a picture; grey stays grey, a palette becomes the colours it stands for.

    Raises
    ------
    ImageError
        If it is damaged, or too large to be held in memory.
    """
    with opened_picture(path) as picture:
        wanted = _mode(picture)
        pixels = np.asarray(picture if picture.mode == wanted else picture.convert(wanted))
    if picture.mode == "P" and _is_grey(pixels):
        pixels = pixels[..., 0]
    return Pixels([pixels], "YXC" if pixels.ndim == 3 else "YX")


@contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """Give a picture with its pixels loaded; `ImageError` if that is not possible.

    Pillow refuses large pictures as a protection against harmful files; what is protected is
    memory, so its need is compared with what is free instead.
    """
    try:
        with _LIMIT:
            before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                picture = Image.open(path)
            finally:
                Image.MAX_IMAGE_PIXELS = before
        with picture:
            _require_memory(picture, path)
            picture.load()
            yield picture
    except UnidentifiedImageError as error:
        raise ImageError(
            f"'{path.name}' is not a picture that can be read, or its beginning is damaged. "
            "Copy or download it again, or save it as TIFF or PNG."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(
            f"'{path.name}' is not complete or is damaged ({error}). Copy or download it again."
        ) from error


def _require_memory(picture: Image.Image, path: Path) -> None:
    depth = _BYTES.get(picture.mode, len(picture.getbands()))
    # decoded once, and once more when it is converted
    need = 2 * math.prod(picture.size) * depth
    free = psutil.virtual_memory().available
    if need > free:
        width, height = picture.size
        raise ImageError(
            f"'{path.name}' has {width:,} × {height:,} px and needs {need / 1e9:.1f} GB of memory; "
            f"{free / 1e9:.1f} GB are free. Convert it to a tiled TIFF, which is read piece by "
            "piece."
        )


def _mode(picture: Image.Image) -> str:
    if picture.mode.startswith("I;16"):
        return picture.mode
    if picture.mode in _AS_THEY_ARE:
        return picture.mode
    if picture.mode in ("1", "LA", "La"):
        return "L"
    if picture.mode == "P":
        return "RGBA" if "transparency" in picture.info else "RGB"
    return "RGB"


def _is_grey(pixels: np.ndarray) -> bool:
    return bool((pixels[..., :1] == pixels[..., 1:3]).all())
