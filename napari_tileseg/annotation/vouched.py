"""Which pixels a person vouched for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.annotation.sparse import Region, SparseArray, shape_of

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
        self.put(region, True, mask)

    def unmark(self, region: Region, mask: Mask | None = None) -> None:
        """Take back the vouching for the pixels of `region` where `mask` is true, or for all."""
        self.put(region, False, mask)

    def read(self, region: Region) -> Mask:
        """Return a boolean array of the region's shape."""
        return self._pixels.read(region)

    def written(self) -> list[Region]:
        """Return boxes of at most 256 px a side outside which nothing is vouched for, in order."""
        return self._pixels.written()

    def cells(self, region: Region, steps: tuple[int, ...]) -> Mask:
        """Say of every cell (see `SparseArray.largest`) whether a pixel in it is vouched for."""
        return self._pixels.largest(region, steps)

    def any(self, region: Region) -> bool:
        """Say whether somebody vouched for a pixel of `region`."""
        return self._pixels.touched(region) and bool(self.read(region).any())

    def put(self, region: Region, values: Mask | bool, mask: Mask | None = None) -> None:
        """Vouch for the pixels of `region` or not, as `values` say, where `mask` is true."""
        if not self._pixels.touched(region) and not np.any(values):
            return
        before = self.read(region)
        if mask is None:
            self._pixels.write(region, values)
            after = np.broadcast_to(values, shape_of(region))
            self._count += int(np.count_nonzero(after)) - int(np.count_nonzero(before))
            return
        changed = (before != values) & mask
        count = int(np.count_nonzero(changed))
        if count:
            lost = int(np.count_nonzero(changed & before))
            self._pixels.write(region, values, changed)
            self._count += count - 2 * lost
