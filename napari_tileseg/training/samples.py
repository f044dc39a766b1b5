"""Images with their masks, ready to learn from, and the patches cut out of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.engine.normalise import Scaling, scaling_for
from napari_tileseg.engine.source import Source
from napari_tileseg.errors import ImageError, ModelFitError
from napari_tileseg.training.losses import IGNORE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.arrays import ArrayLike
    from napari_tileseg.engine.spec import ModelSpec


@dataclass(frozen=True, eq=False)
class Sample:
    """One image as a model sees it, with its mask.

    Attributes
    ----------
    name
        What a person calls the image.
    source, channels, scaling
        Its pixels, which channels are read, and how they are normalised: as for prediction.
    mask
        (H, W) uint8 class indices, 255 where nobody knows.
    """

    name: str
    source: Source
    channels: tuple[int, ...]
    scaling: Scaling
    mask: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        pixels: ArrayLike,
        mask: NDArray[np.uint8],
        spec: ModelSpec,
        *,
        axes: str | None = None,
        name: str = "image",
    ) -> Sample:
        """Bring an image, its mask and a model together.

        Raises
        ------
        ModelFitError, ImageError
            If channels, classes or axes do not fit.
        """
        source = Source(pixels, axes=axes, name=name)
        if source.leading_shape:
            raise ImageError(
                f"'{name}' has more axes than height, width and channels "
                f"({source.axes}). Training reads single planes: save each as a file of its own."
            )
        if spec.spatial_dims != 2:
            raise ModelFitError(f"'{spec.name}' reads volumes; training is for 2-D images.")
        channels = source.check(spec)
        check_mask(mask, source.label_shape, len(spec.classes), name)
        scaling = scaling_for(source, spec.normalisation, channels, spec.name)
        return cls(name, source, channels, scaling, mask)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.mask.shape
        return height, width

    def crop(self, origin_yx: tuple[int, int], size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut out a square that may reach beyond the image.

        Parameters
        ----------
        origin_yx
            Its upper left corner in pixels, possibly negative.
        size
            Its side in pixels.

        Returns
        -------
        (channels, size, size) float32, normalised, mirrored beyond the border; and
        (size, size) uint8, 255 there.
        """
        inside = tuple(
            slice(min(max(start, 0), n - 1), max(min(start + size, n), 1))
            for start, n in zip(origin_yx, self.shape, strict=True)
        )
        around = [
            (part.start - start, start + size - part.stop)
            for start, part in zip(origin_yx, inside, strict=True)
        ]
        pixels = self.source.read((), inside, self.channels)
        pixels = np.pad(pixels, [(0, 0), *around], mode="reflect")
        mask = np.pad(self.mask[inside], around, constant_values=IGNORE)
        return self.scaling.apply(torch.from_numpy(pixels)[None])[0], torch.from_numpy(mask)


def check_mask(mask: NDArray[np.uint8], shape: tuple[int, ...], n_classes: int, name: str) -> None:
    """Raise `ModelFitError` unless a mask has the image's shape and known classes only."""
    if mask.shape != shape:
        raise ModelFitError(
            f"'{name}' is {_by(shape)} px, but its mask is {_by(mask.shape)} px. "
            "They have to match pixel by pixel: export the mask at full size."
        )
    strange = [value for value in np.unique(mask) if n_classes <= value != IGNORE]
    if strange:
        values = ", ".join(str(value) for value in strange[:5])
        raise ModelFitError(
            f"The mask of '{name}' holds {values}, but the model has {n_classes} classes: only 0 "
            f"to {n_classes - 1}, and 255 for 'unknown', can be in it. "
            "Correct the mask, or name as many classes as there are."
        )


def check_foreground(masks: Iterable[NDArray[np.uint8]], n_classes: int) -> None:
    """Refuse masks that say 255 where foreground is meant, as programs for pictures do.

    Parameters
    ----------
    masks
        All that belong together, as one without foreground is nothing unusual.
    n_classes
        Of the model; with more than two nobody writes 255 for a class.

    Raises
    ------
    ModelFitError
        If the masks of a model with two classes hold 0 and 255, and nothing else.
    """
    if n_classes != 2:
        return
    values = {int(value) for mask in masks for value in np.unique(mask)}
    if values == {0, IGNORE}:
        raise ModelFitError(
            "The masks hold 0 and 255 only, so there is no foreground in them: 255 means unknown "
            "here; save foreground as 1."
        )


class PatchSampler:
    """Cuts patches at random places; larger images are drawn more often, by their side.

    Parameters
    ----------
    samples
        What to cut from.
    generator
        Where chance comes from.
    """

    def __init__(self, samples: Sequence[Sample], generator: torch.Generator) -> None:
        self._samples = samples
        self._generator = generator
        sides = [math.sqrt(sample.mask.size) for sample in samples]
        self._weights = torch.tensor(sides)
        self._known = [_known_places(sample.mask) for sample in samples]

    def draw(self, count: int, size: int, margin: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut `count` squares of side `size * margin`; their middle `size` is well inside.

        Returns
        -------
        (count, channels, side, side) float32 and (count, side, side) uint8.
        """
        which = torch.multinomial(self._weights, count, True, generator=self._generator)
        side = math.ceil(size * margin)
        patches = [self._one(int(index), size, side) for index in which]
        images, masks = zip(*patches, strict=True)
        return torch.stack(images), torch.stack(masks)

    def _one(self, index: int, size: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
        sample, known = self._samples[index], self._known[index]
        if known is None:
            centre = [self._centre(n, size) for n in sample.shape]
        else:
            place = known[self._below(len(known))]
            centre = [int(c) + self._below(size // 2 + 1) - size // 4 for c in place]
        return sample.crop((centre[0] - side // 2, centre[1] - side // 2), side)

    def _centre(self, n: int, size: int) -> int:
        """Draw the middle of a patch such that at most a quarter of it hangs over."""
        inset = min(size // 4, n // 2)
        return inset + self._below(n - 2 * inset + 1)

    def _below(self, end: int) -> int:
        return int(torch.randint(max(end, 1), (), generator=self._generator))


def _known_places(mask: NDArray[np.uint8]) -> NDArray[Any] | None:
    """Return where a mostly empty mask says something, (N, 2) yx; None for a full one."""
    known = mask != IGNORE
    if known.mean() > 0.5:
        return None
    places = np.argwhere(known)
    return places[:: len(places) // 200_000 + 1]


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape)
