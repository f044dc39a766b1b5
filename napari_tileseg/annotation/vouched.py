"""Which pixels a person vouched for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.annotation.sparse import Region, SparseArray

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]


class VouchedPixels:
    """A set of pixels of an image of any size; what nobody touched costs nothing.

    Parameters
    ----------
    shape
        Of the labels: leading axes, then spatial ones.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._pixels = SparseArray(shape, np.bool_)
        self._count = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the labels."""
        return self._pixels.shape

    @property
    def count(self) -> int:
        """How many pixels are vouched for."""
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use."""
        return self._pixels.nbytes

    def mark(self, region: Region, mask: Mask | None = None) -> None:
        """Vouch for the pixels of `region` where `mask` (of its shape) is true, or for all."""
        self._set(region, mask, True)

    def unmark(self, region: Region, mask: Mask | None = None) -> None:
        """Take back the vouching for the pixels of `region` where `mask` is true, or for all."""
        self._set(region, mask, False)

    def read(self, region: Region) -> Mask:
        """Return a boolean array of the region's shape."""
        return self._pixels.read(region)

    def written(self) -> list[Region]:
        """Return boxes of at most 256 px a side outside which nothing is vouched for, in order."""
        return self._pixels.written()

    def any(self, region: Region) -> bool:
        """Say whether somebody vouched for a pixel of `region`."""
        return self._pixels.touched(region) and bool(self.read(region).any())

    def _set(self, region: Region, mask: Mask | None, value: bool) -> None:
        before = self.read(region)
        changed = before != value
        if mask is not None:
            changed &= mask
        difference = int(np.count_nonzero(changed))
        if difference:
            self._pixels.write(region, value, changed)
            self._count += difference if value else -difference
