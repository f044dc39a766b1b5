"""Images with what a person vouched for, ready to learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_tileseg.engine.normalise import Scaling, scaling_for
from napari_tileseg.engine.source import Source
from napari_tileseg.errors import ModelFitError
from napari_tileseg.training.losses import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.annotation.vouchings import Vouchings
    from napari_tileseg.engine.arrays import ArrayLike
    from napari_tileseg.engine.spec import ModelSpec


@dataclass(frozen=True, eq=False)
class Lesson:
    """One image as a model sees it, with what a person vouched for.

    Attributes
    ----------
    name
        What a person calls the image.
    source, channels, scaling
        Its pixels, which channels are read, and how they are normalised: as for prediction.
    vouchings
        In the shape of the labels of the image.
    """

    name: str
    source: Source
    channels: tuple[int, ...]
    scaling: Scaling
    vouchings: Vouchings

    @classmethod
    def of(
        cls,
        pixels: Source | ArrayLike | Sequence[ArrayLike],
        vouchings: Vouchings,
        spec: ModelSpec,
        *,
        axes: str | None = None,
        channels: tuple[int, ...] | None = None,
        name: str = "image",
    ) -> Lesson:
        """Bring an image, what is vouched for in it, and a model together.

        Parameters
        ----------
        pixels, axes
            As in `predict`; a stack is taught plane by plane. A `Source` is taken as it is.
        vouchings
            What a person said.
        spec
            Of the model that is to learn.
        channels
            Which channels the model reads, in its order; None for all.
        name
            What a person calls the image, for messages.

        Raises
        ------
        ModelFitError, ImageError
            If channels or shapes do not fit, or the model reads volumes.
        """
        if spec.spatial_dims != 2:
            raise ModelFitError(
                f"'{spec.name}' reads volumes; only models for images can learn from corrections. "
                "Choose a model that reads single planes."
            )
        source = pixels if isinstance(pixels, Source) else Source(pixels, axes=axes, name=name)
        if source.label_shape != vouchings.shape:
            raise ModelFitError(
                f"'{source.name}' has labels of shape {source.label_shape}, but what is vouched "
                f"for is of shape {vouchings.shape}. They have to match pixel by pixel."
            )
        chosen = source.check(spec, channels)
        scaling = scaling_for(source, spec.normalisation, chosen, spec.name)
        return cls(source.name, source, chosen, scaling, vouchings)

    def but(self, vouchings: Vouchings) -> Lesson:
        """Return the same image with something else vouched for."""
        return replace(self, vouchings=vouchings)

    def crop(
        self, plane: tuple[int, ...], origin_yx: tuple[int, int], size: int, margin: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut out a square that may reach beyond the image.

        Parameters
        ----------
        plane
            An index on each leading axis.
        origin_yx
            The upper left corner of the labels in pixels, possibly negative.
        size
            Their side in pixels.
        margin
            How many pixels more of the image there are on every side.

        Returns
        -------
        (channels, size + 2 margin, size + 2 margin) float32, normalised, mirrored beyond the
        border; and (size, size) uint8, 255 where nobody vouched.
        """
        origin = (origin_yx[0] - margin, origin_yx[1] - margin)
        inside, around = self._clipped(origin, size + 2 * margin)
        pixels = self.source.read(plane, inside, self.channels)
        pixels = np.pad(pixels, [(0, 0), *around], mode="symmetric")
        image = self.scaling.apply(torch.from_numpy(pixels)[None])[0]
        return image, torch.from_numpy(self._labels(plane, origin_yx, size))

    def _labels(
        self, plane: tuple[int, ...], origin_yx: tuple[int, int], size: int
    ) -> NDArray[np.uint8]:
        inside, around = self._clipped(origin_yx, size)
        region: Region = (*(slice(index, index + 1) for index in plane), *inside)
        labels = self.vouchings.labels(region)
        labels = labels.reshape(labels.shape[len(plane) :])
        return np.pad(labels, around, constant_values=IGNORE)

    def _clipped(
        self, origin_yx: tuple[int, int], size: int
    ) -> tuple[tuple[slice, ...], list[tuple[int, int]]]:
        """Return the part of a square inside the image, and what is missing on each side."""
        inside: list[slice] = []
        around: list[tuple[int, int]] = []
        for start, length in zip(origin_yx, self.source.spatial_shape, strict=True):
            low, high = min(max(start, 0), length - 1), max(min(start + size, length), 1)
            inside.append(slice(low, high))
            around.append((low - start, start + size - high))
        return tuple(inside), around


def check_lessons(lessons: Sequence[Lesson], n_classes: int) -> None:
    """Raise `ModelFitError` if there is nothing to learn, or a class that the model lacks."""
    if not any(lesson.vouchings.count for lesson in lessons):
        raise ModelFitError(
            "Nothing is corrected or reviewed yet, so there is nothing to learn from. Paint a "
            "few corrections, or mark a region as reviewed."
        )
    for lesson in lessons:
        highest = lesson.vouchings.highest
        if highest >= n_classes:
            raise ModelFitError(
                f"Label {highest} is painted in '{lesson.name}', but there are only {n_classes} "
                f"classes (0 to {n_classes - 1}). Add a class for it, or paint it over."
            )
