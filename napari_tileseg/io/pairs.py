"""An image with its mask: out of files, or arrays paired by position."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_tileseg.errors import ImageError, ModelFitError
from napari_tileseg.io.masks import as_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")

_SHOWN = 8


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image with the mask that belongs to it.

    Attributes
    ----------
    name
        What a person calls it: the file name without suffix, or its number.
    data
        An array-like; read lazily.
    axes
        The letters of its axes; None guesses.
    mask
        Class indices, 255 where nobody knows; uint8.
    path
        The file of the image; None for an array.
    pixel_size_um
        In micrometres; None if unknown.
    """

    name: str
    data: Any
    axes: str | None
    mask: NDArray[np.uint8]
    path: Path | None = None
    pixel_size_um: float | None = None

    def read(self) -> NDArray[Any]:
        """Return all pixels, in memory."""
        return np.asarray(self.data)

    def sha256(self) -> str:
        """Return the checksum of the file, or of the pixels where there is no file."""
        if self.path is None:
            return sha256(np.ascontiguousarray(self.read()).tobytes()).hexdigest()
        with self.path.open("rb") as stream:
            digest = sha256()
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()


def from_arrays(images: Sequence[Any], masks: Sequence[Any]) -> Iterator[LabelledImage]:
    """Pair arrays by position.

    Raises
    ------
    ModelFitError
        If there are more of one than of the other, or a mask holds no class indices.
    """
    if len(images) != len(masks):
        raise ModelFitError(
            f"There are {len(images)} images and {len(masks)} masks; there has to be one mask "
            "for each image, in the same order."
        )
    return (
        LabelledImage(f"image {index}", image, None, as_mask(np.asarray(mask), f"mask {index}"))
        for index, (image, mask) in enumerate(zip(images, masks, strict=True))
    )


def use_all(items: Iterable[Item], use: Callable[[Item], Result]) -> list[Result]:
    """Do something with each of several files, and name all those that cannot be used.

    Raises
    ------
    ModelFitError, ImageError
        What `use` raised for the only one that cannot be used; for several of them one
        `ModelFitError` with a line for each.
    """
    done: list[Result] = []
    problems: list[ImageError | ModelFitError] = []
    for item in items:
        try:
            done.append(use(item))
        except (ImageError, ModelFitError) as problem:
            problems.append(problem)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        total = len(done) + len(problems)
        lines = [f"\n- {problem}" for problem in problems[:_SHOWN]]
        more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ModelFitError(
            f"{len(problems)} of {total} images cannot be used:{''.join(lines)}{more}"
        )
    return done
