"""Image files of any size, opened without reading their pixels."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from napari_tileseg.errors import ImageError
from napari_tileseg.io.lazy import lazy_array
from napari_tileseg.io.pixels import Pixels, guessed_axes

_FIRST_BYTES = 512
TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_NPY = b"\x93NUMPY"
PNG = b"\x89PNG\r\n"
JPEG = b"\xff\xd8\xff"
_PICTURES = (PNG, JPEG, b"BM", b"GIF8", b"RIFF")
_KINDS = "TIFF, OME-TIFF, PNG, JPEG, BMP, .npy and .zarr"


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """An image whose pixels are read from its file when they are asked for.

    Attributes
    ----------
    levels
        Array-likes, the finest first; one if the file holds no pyramid.
    axes
        One letter an axis: Y and X, C for channels, others are walked plane by plane.
    name
        The file name without suffix.
    pixel_size_um
        Micrometres per pixel; None if the file does not say.
    path
        The file or folder.
    """

    levels: list[Any]
    axes: str
    name: str
    pixel_size_um: float | None
    path: Path
    _open: ExitStack = field(default_factory=ExitStack, repr=False)

    def close(self) -> None:
        """Close the file; pixels cannot be read from then on."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_image(path: str | Path) -> OpenedImage:
    """Open an image file; a context manager that closes it again.

    Parameters
    ----------
    path
        TIFF or OME-TIFF, PNG, JPEG, BMP, .npy, or a .zarr folder (plain or OME-Zarr). What it
        is is told by its content.

    Raises
    ------
    ImageError
        If the file is missing, damaged, empty or no image.
    """
    path = Path(path).expanduser()
    pixels = _read(path)
    shape = tuple(pixels.levels[0].shape)
    with ExitStack() as opened:
        if pixels.close is not None:
            opened.callback(pixels.close)
        if 0 in shape:
            raise ImageError(
                f"'{path.name}' is empty: its size is {' × '.join(map(str, shape))}. "
                "Choose another image."
            )
        return OpenedImage(
            levels=pixels.levels,
            axes=pixels.axes,
            name=_name(path),
            pixel_size_um=pixels.pixel_size_um,
            path=path,
            _open=opened.pop_all(),
        )


def _name(path: Path) -> str:
    name = path.name.removesuffix(path.suffix)
    return name[: -len(".ome")] if name.lower().endswith(".ome") else name


def first_bytes(path: Path) -> bytes:
    """Return how a file begins, nothing for a folder.

    Raises
    ------
    ImageError
        If it is missing, empty, or may not be read.
    """
    if not path.exists():
        raise ImageError(f"There is no file '{path}'. Check the name and the folder.")
    if path.is_dir():
        return b""
    try:
        with path.open("rb") as stream:
            first = stream.read(_FIRST_BYTES)
    except OSError as error:
        raise ImageError(
            f"'{path}' cannot be opened ({error.strerror}). Check that you may read it."
        ) from error
    if not first:
        raise ImageError(f"'{path.name}' is empty (0 bytes). Copy or download it again.")
    return first


def _read(path: Path) -> Pixels:
    first = first_bytes(path)
    if path.is_dir():
        from napari_tileseg.io.zarr_images import read_zarr

        return read_zarr(path)
    if first.startswith(TIFF):
        from napari_tileseg.io.tiff_images import read_tiff

        return read_tiff(path)
    if first.startswith(_NPY):
        return _read_npy(path)
    if first.startswith(_PICTURES):
        from napari_tileseg.io.pictures import read_picture

        return read_picture(path)
    if first.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise ImageError(
            f"'{path.name}' is a web page, not an image. Download again: on the page that shows "
            "the file, use the link 'raw' or 'download'."
        )
    raise ImageError(
        f"'{path.name}' is not an image that can be read, or is damaged. "
        f"These can be read: {_KINDS}. Convert it, or open it in napari first."
    )


def _read_npy(path: Path) -> Pixels:
    try:
        data = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        objects = "pickle" in str(error) or "Python objects" in str(error)
        what = "holds Python objects, not numbers" if objects else "is not complete or damaged"
        raise ImageError(
            f"'{path.name}' {what}. Save it again with numpy.save, as an array of numbers."
        ) from error
    axes = guessed_axes(data.shape, path.name)
    return Pixels([lazy_array(data, axes, path.name)], axes)
