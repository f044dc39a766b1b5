"""What a person does to labels, as values that can be taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_tileseg.annotation.sparse import Region

    Mask = npt.NDArray[np.bool_]
    Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Marks:
    """What a person says about a row of pixels.

    Attributes
    ----------
    vouched
        (n,) bool: whether the person vouches for the pixel.
    labels
        (n,) uint8: the person's label; 0 where not vouched, because then it has no meaning.
    """

    vouched: Mask
    labels: Labels

    @classmethod
    def same(cls, label: int, count: int) -> Self:
        """Vouch for `count` pixels with one label, in the memory of one pixel."""
        return cls(np.broadcast_to(np.True_, count), np.broadcast_to(np.uint8(label), count))

    @classmethod
    def nothing(cls, count: int) -> Self:
        """Vouch for none of `count` pixels."""
        return cls(np.broadcast_to(np.False_, count), np.broadcast_to(np.uint8(0), count))


@dataclass(frozen=True, eq=False)
class Stroke:
    """A change of what a person says about some pixels; making it changes nothing yet.

    It holds nothing of the model, so that taking it back shows what the model says by then.

    Attributes
    ----------
    region
        The box around the pixels, in label coordinates.
    mask
        The region's shape: the n pixels that the stroke is about.
    before, after
        What the person says about those pixels, in the order of `region[mask]`.
    """

    region: Region
    mask: Mask
    before: Marks
    after: Marks

    def inverse(self) -> Stroke:
        """Return the stroke that takes this one back."""
        return Stroke(self.region, self.mask, before=self.after, after=self.before)
