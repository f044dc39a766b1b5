"""What a network says where somebody vouched: a few large squares around all such pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

import torch

from napari_tileseg.annotation.sparse import CHUNK_PX, Region, bounding, shape_of
from napari_tileseg.engine.device import autocast
from napari_tileseg.training.losses import IGNORE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.spec import ModelSpec
    from napari_tileseg.settings import Precision
    from napari_tileseg.training.lessons import Lesson

CONTEXT_PX = 64
"""A network sees at least this much around what it is asked about."""

_SIDE_PX = 512


@dataclass(frozen=True)
class Window:
    """A square that a network sees at once, and the boxes in it that it is asked about.

    Attributes
    ----------
    plane
        An index on each leading axis of the labels.
    origin_yx
        Its upper left corner in pixels; negative only where the image is smaller.
    size
        Its side in pixels, a multiple of the stride.
    boxes
        What it is asked about: (y, x) regions of the plane.
    """

    plane: tuple[int, ...]
    origin_yx: tuple[int, int]
    size: int
    boxes: tuple[Region, ...]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network says about a window, and what a person says.

    Attributes
    ----------
    labels, truth
        (size, size) uint8; the truth is 255 outside the boxes and where nobody vouched.
    """

    window: Window
    labels: NDArray[np.uint8]
    truth: NDArray[np.uint8]


def windows(lesson: Lesson, spec: ModelSpec) -> list[Window]:
    """Return squares in which each pixel that is vouched for is asked about once."""
    return [
        _around(group, plane, lesson.source.spatial_shape, spec.stride)
        for plane, boxes in groupby(lesson.vouchings.boxes(), _plane)
        for group in _gathered([box[-2:] for box in boxes], _SIDE_PX - 2 * CONTEXT_PX)
    ]


@torch.inference_mode()
def answers(
    network: Network,
    lesson: Lesson,
    precision: Precision,
    check: Callable[[], None] | None = None,
) -> Iterator[Answer]:
    """Ask a network, in evaluation mode, about all that is vouched for in an image.

    A quick look, close to what a run gives: every pixel is seen with `CONTEXT_PX` around it.
    `check` is called before each window; what it raises ends the asking.
    """
    for window in windows(lesson, network.spec):
        if check is not None:
            check()
        image, mask = lesson.crop(window.plane, window.origin_yx, window.size, network.spec.margin)
        with autocast(network.device, precision):
            logits = network.logits(image[None].to(network.device))
        labels = network.decide(network.evidence(logits[0].float()))
        yield Answer(window, labels.cpu().numpy(), _asked(mask.numpy(), window))


def _plane(box: Region) -> tuple[int, ...]:
    return tuple(axis.start for axis in box[:-2])


def _gathered(boxes: Iterable[Region], most_px: int) -> Iterator[list[Region]]:
    """Put boxes together that fit into one square of side `most_px`; they come row by row."""
    left = list(boxes)
    while left:
        group = [left.pop(0)]
        # in rows further down none can fit
        near = partial(_begins_before, group[0][0].start + most_px + CHUNK_PX)
        for box in list(takewhile(near, left)):
            if max(shape_of(bounding([*group, box]))) <= most_px:
                group.append(box)
                left.remove(box)
        yield group


def _begins_before(row: int, box: Region) -> bool:
    return bool(box[0].start <= row)


def _around(
    boxes: list[Region], plane: tuple[int, ...], shape: tuple[int, ...], stride: int
) -> Window:
    box = bounding(boxes)
    wanted = max(shape_of(box)) + 2 * CONTEXT_PX
    size = -(-wanted // stride) * stride
    top, left = (
        max(min((axis.start + axis.stop - size) // 2, length - size), 0)
        if length >= size
        else (length - size) // 2
        for axis, length in zip(box, shape, strict=True)
    )
    return Window(plane, (top, left), size, tuple(boxes))


def _asked(mask: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """Return a mask that is 255 outside the boxes of a window."""
    truth = mask.copy()
    truth[...] = IGNORE
    for box in window.boxes:
        inside = tuple(
            slice(axis.start - start, axis.stop - start)
            for axis, start in zip(box, window.origin_yx, strict=True)
        )
        truth[inside] = mask[inside]
    return truth
