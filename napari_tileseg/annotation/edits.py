"""What a person does to labels, as values that can be taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_tileseg.annotation.sparse import Region, bounding, relative, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from napari_tileseg.annotation.relabelling import Relabelling

    Mask = npt.NDArray[np.bool_]
    Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Marks:
    """What a person says about a row of pixels.

    Attributes
    ----------
    corrected
        (n,) bool: whether the person gave the pixel its label.
    reviewed
        (n,) bool: whether the person declared its label right.
    labels
        (n,) uint8: the person's label; 0 where neither, because then it has no meaning.
    """

    corrected: Mask
    reviewed: Mask
    labels: Labels

    @classmethod
    def of(cls, corrected: Any, reviewed: Any, labels: Any, count: int) -> Self:
        """Mark `count` pixels; what is the same for all of them takes the memory of one."""
        return cls(
            _lean(corrected, np.bool_, count),
            _lean(reviewed, np.bool_, count),
            _lean(labels, np.uint8, count),
        )

    @property
    def vouched(self) -> Mask:
        """(n,) bool: whether the person vouches for the pixel."""
        return self.corrected | self.reviewed

    def relabelled(self, change: Relabelling) -> Marks:
        """Return what was said once the classes are others."""
        kept = ~change.forgets[self.labels]
        labels = np.where(kept, change.table[self.labels], np.uint8(0))
        return Marks.of(self.corrected & kept, self.reviewed & kept, labels, len(labels))


@dataclass(frozen=True, eq=False)
class Part:
    """The share of a stroke that lies in one box.

    Attributes
    ----------
    region
        The box, in label coordinates.
    mask
        The region's shape: the n pixels that the stroke is about.
    before, after
        What the person says about those pixels, in the order of `region[mask]`.
    """

    region: Region
    mask: Mask
    before: Marks
    after: Marks


@dataclass(frozen=True, eq=False)
class Stroke:
    """A change of what a person says about some pixels; making it changes nothing yet.

    It holds nothing of the model, so that taking it back shows what the model says by then.

    Attributes
    ----------
    parts
        Boxes that do not overlap, each small enough to be worked on at once.
    """

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, parts: Iterable[Part | None]) -> Stroke | None:
        """Put parts together; None if none of them changes anything."""
        made = tuple(part for part in parts if part is not None)
        return cls(made) if made else None

    @property
    def region(self) -> Region:
        """The box around all parts."""
        return bounding(part.region for part in self.parts)

    def mask_in(self, region: Region) -> Mask:
        """Return (shape of region) which of its pixels the stroke is about."""
        mask = np.zeros(shape_of(region), np.bool_)
        for part in self.parts:
            mask[relative(part.region, region)] = part.mask
        return mask

    def inverse(self) -> Stroke:
        """Return the stroke that takes this one back."""
        return Stroke(
            tuple(
                Part(part.region, part.mask, before=part.after, after=part.before)
                for part in reversed(self.parts)
            )
        )

    def relabelled(self, change: Relabelling) -> Stroke:
        """Return the stroke as it would have been with other classes."""
        return Stroke(
            tuple(
                Part(
                    part.region,
                    part.mask,
                    before=part.before.relabelled(change),
                    after=part.after.relabelled(change),
                )
                for part in self.parts
            )
        )


def lean(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values in the memory of one where all are the same."""
    if not values.size or values.strides == (0,) * values.ndim:
        return values
    first = values.flat[0]
    return np.broadcast_to(first, values.shape) if (values == first).all() else values


def is_all_true(mask: Mask) -> bool:
    """Say whether a mask that `lean` returned is true everywhere; never for any other mask."""
    return mask.size > 0 and mask.strides == (0,) * mask.ndim and bool(mask.flat[0])


def _lean(values: Any, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
    return lean(np.broadcast_to(np.asarray(values, dtype), (count,)))
