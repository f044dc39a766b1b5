"""Patches around what is vouched for: rare classes and mistakes are drawn more often."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_tileseg.training.losses import IGNORE
from napari_tileseg.training.windows import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_tileseg.engine.network import Network
    from napari_tileseg.settings import Precision
    from napari_tileseg.training.lessons import Lesson
    from napari_tileseg.training.windows import Answer

_MOST = 200_000
"""So many places are remembered; a finer choice makes no difference to patches."""

_MISTAKES, _CLASSES = 0.4, 0.3
"""Shares of the patches around a mistake, and around a class drawn by chance; the rest anywhere."""


@dataclass(frozen=True, eq=False)
class Points:
    """Pixels that are vouched for, and how often each is to be the centre of a patch.

    Attributes
    ----------
    planes
        The planes they lie in: which lesson, and an index on each of its leading axes.
    where
        (N, 3): which of the planes, y and x.
    weights
        (N,) float64, sum 1.
    """

    planes: tuple[tuple[int, tuple[int, ...]], ...]
    where: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        network: Network,
        lessons: Sequence[Lesson],
        precision: Precision,
        check: Callable[[], None] | None = None,
    ) -> Points:
        """Look for the mistakes that a network makes where somebody vouched; see `answers`."""
        total = sum(lesson.vouchings.count for lesson in lessons)
        step = max(1, math.ceil(total / _MOST))
        planes: list[tuple[int, tuple[int, ...]]] = []
        parts = []
        for index, lesson in enumerate(lessons):
            for answer in answers(network, lesson, precision, check):
                parts.append(_points(len(planes), answer, step))
                planes.append((index, answer.window.plane))
        where, classes, wrong = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls(tuple(planes), where, _weights(classes, wrong))


class VouchedSampler:
    """Cuts patches around vouched pixels.

    Parameters
    ----------
    lessons
        What to cut from.
    points
        Their vouched pixels.
    margin
        How many pixels more a network is shown than it answers for, on every side.
    generator
        Where chance comes from.
    """

    def __init__(
        self, lessons: Sequence[Lesson], points: Points, margin: int, generator: torch.Generator
    ) -> None:
        self._lessons = lessons
        self._points = points
        self._weights = torch.from_numpy(points.weights)
        self._margin = margin
        self._generator = generator

    def draw(self, count: int, size: int, spare: float = 1.0) -> tuple[Tensor, Tensor]:
        """Cut `count` squares of side `size * spare`, the network's margin added.

        Returns
        -------
        (count, channels, side, side) float32 and (count, side, side) uint8; the masks are as
        large as the images, 255 in the margin.
        """
        which = torch.multinomial(self._weights, count, True, generator=self._generator)
        side = math.ceil((size + 2 * self._margin) * spare)
        patches = [self._one(self._points.where[int(index)], size, side) for index in which]
        images, masks = zip(*patches, strict=True)
        return torch.stack(images), torch.stack(masks)

    def _one(self, point: NDArray[np.int64], size: int, side: int) -> tuple[Tensor, Tensor]:
        lesson, plane = self._points.planes[int(point[0])]
        # the pixel is anywhere in the middle half, so that it is seen in many surroundings
        top, left = (int(c) + self._below(size // 2 + 1) - size // 4 - side // 2 for c in point[1:])
        return self._lessons[lesson].crop(plane, (top, left), side)

    def _below(self, end: int) -> int:
        return int(torch.randint(max(end, 1), (), generator=self._generator))


def _points(
    plane: int, answer: Answer, step: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.bool_]]:
    yx = np.argwhere(answer.truth != IGNORE)[::step]
    classes = answer.truth[yx[:, 0], yx[:, 1]]
    wrong = answer.labels[yx[:, 0], yx[:, 1]] != classes
    where = np.column_stack([np.full(len(yx), plane), yx + answer.window.origin_yx])
    return where, classes, wrong


def _weights(classes: NDArray[np.uint8], wrong: NDArray[np.bool_]) -> NDArray[np.float64]:
    counts = np.bincount(classes, minlength=256)
    by_class = 1.0 / counts[classes]
    parts = [(_CLASSES, by_class), (1 - _CLASSES - _MISTAKES, np.ones(len(classes)))]
    # mistakes of rare classes are not drowned by those of frequent ones
    mistakes = wrong * _inverse_root(classes[wrong], classes) if wrong.any() else by_class
    parts.append((_MISTAKES, mistakes))
    shares = [share * part / part.sum() for share, part in parts]
    return np.asarray(np.sum(shares, axis=0))


def _inverse_root(some: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.float64]:
    counts = np.bincount(some, minlength=256)
    each: NDArray[np.float64] = 1.0 / np.sqrt(np.maximum(counts, 1))
    return np.take(each, classes)
