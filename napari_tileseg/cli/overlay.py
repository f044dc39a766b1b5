"""A picture for a person: the colours of the labels over the image, with a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_tileseg.annotation.picture import painted_over
from napari_tileseg.io.atomic import written_beside

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.spec import ClassInfo

_LONGEST_SIDE = 2048
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


def write_overlay(
    source: Source, labels: Any, classes: Sequence[ClassInfo], shares: Sequence[str], path: Path
) -> None:
    """Write a PNG of the first plane of an image with its labels on top.

    Parameters
    ----------
    source
        The image.
    labels
        An array of the source's `label_shape`, uint8 class indices.
    classes, shares
        What the legend says about each class. The first class is background: not coloured.
    path
        Where the picture goes; large images are drawn smaller.

    Raises
    ------
    OutputError
        If it cannot be written; a file that was there before is untouched.
    """
    step = max(1, -(-max(source.spatial_shape) // _LONGEST_SIDE))
    plane = (0,) * len(source.leading_shape)
    region = tuple(slice(0, size) for size in source.spatial_shape)
    pixels = source.read(plane, region, range(min(source.n_channels, 3)))[:, ::step, ::step]
    shown = np.asarray(labels[plane])[::step, ::step]
    picture = painted_over(pixels, shown, [one.colour for one in classes])
    whole = _with_legend(Image.fromarray(picture), classes, shares)
    with written_beside(path) as part:
        whole.save(part, format="PNG")


def _with_legend(
    picture: Image.Image, classes: Sequence[ClassInfo], shares: Sequence[str]
) -> Image.Image:
    """Put a white strip with the names of the classes below a picture."""
    size = max(14, picture.height // 60)
    font = ImageFont.load_default(size)
    lines = [
        (one.colour, f"{one.name}  {share}") for one, share in zip(classes, shares, strict=True)
    ][1:]
    row = 2 * size
    strip = Image.new("RGB", (picture.width, row * len(lines) + size), _PAPER)
    draw = ImageDraw.Draw(strip)
    for index, (colour, text) in enumerate(lines):
        top = size // 2 + index * row
        box = (size, top + size // 4, size + 2 * size, top + size // 4 + size)
        draw.rectangle(box, fill=colour, outline=_INK)
        draw.text((4 * size, top + size // 8), text, fill=_INK, font=font)
    whole = Image.new("RGB", (picture.width, picture.height + strip.height))
    whole.paste(picture, (0, 0))
    whole.paste(strip, (0, picture.height))
    return whole
