"""Knowing an image layer again, in another window and another year."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_tileseg.io.project_place import ImageIdentity
from napari_tileseg.viewer.links import OURS

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

_NUMBER = re.compile(r" \[\d+\]$")


def identify(
    viewer: ViewerModel, layer: Image, shape: tuple[int, ...]
) -> Callable[[], ImageIdentity]:
    """Return what finds out about a layer, to be called in another thread.

    Parameters
    ----------
    viewer
        Where it is; several layers may come from one file.
    layer
        The image.
    shape
        Of the labels on it.
    """
    path = file_of(layer)
    name = plain_name(layer)
    if path is None:
        data = layer.data[0] if layer.multiscale else layer.data
        return partial(ImageIdentity.of_pixels, data, shape, name=name)
    siblings = {plain_name(one) for one in images(viewer) if file_of(one) == path}
    return partial(
        ImageIdentity.of_file,
        path,
        shape,
        name=name,
        part=name if len(siblings) > 1 else "",
        reader=layer.source.reader_plugin or "",
    )


def file_of(layer: Image) -> Path | None:
    """Return the file that a layer was read from; None if it is of none on this computer."""
    path = layer.source.path
    if path is None:
        return None
    file = Path(path)
    return file.resolve() if file.exists() else None


def images(viewer: ViewerModel) -> list[Image]:
    """Return the image layers that are not results."""
    return [one for one in viewer.layers if isinstance(one, Image) and OURS not in one.metadata]


def plain_name(layer: Image) -> str:
    """Return the name without the number that napari gives to a second layer of it."""
    return _NUMBER.sub("", layer.name)
