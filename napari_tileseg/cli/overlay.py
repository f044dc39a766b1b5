"""A picture for a person: the colours of the labels over the image, with a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_tileseg.io.atomic import written_beside

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.spec import ClassInfo

_LONGEST_SIDE = 2048
_OPACITY = 0.45
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
    picture = _grey_or_rgb(source, plane, step)
    shown = np.asarray(labels[plane])[::step, ::step]
    colours = np.array([_rgb(one.colour) for one in classes], np.float32)
    coloured = (shown > 0) & (shown < len(classes))
    picture[coloured] *= 1 - _OPACITY
    picture[coloured] += _OPACITY * colours[shown[coloured]]
    whole = _with_legend(Image.fromarray(picture.astype(np.uint8)), classes, shares)
    with written_beside(path) as part:
        whole.save(part, format="PNG")


def _grey_or_rgb(source: Source, plane: tuple[int, ...], step: int) -> NDArray[np.float32]:
    """Return (H, W, 3) float32, 0 to 255, stretched between the 0.5th and 99.5th percentile."""
    channels = (0, 1, 2) if source.n_channels >= 3 else (0, 0, 0)
    region = tuple(slice(0, size) for size in source.spatial_shape)
    pixels = source.read(plane, region, channels)[:, ::step, ::step].astype(np.float32)
    low, high = np.percentile(pixels, (0.5, 99.5))
    stretched = (pixels - low) / max(float(high - low), 1e-6)
    return np.ascontiguousarray(255 * np.clip(stretched, 0, 1).transpose(1, 2, 0))


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


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
