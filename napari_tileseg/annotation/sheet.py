"""The labels of one image as two write them: a model, and a person whose word counts more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from napari_tileseg.annotation.counting import histogram
from napari_tileseg.annotation.edits import Marks, Stroke
from napari_tileseg.annotation.sparse import Region, SparseArray, bands, shape_of
from napari_tileseg.annotation.vouched import VouchedPixels

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]
    Labels = npt.NDArray[np.uint8]

NOT_COMPUTED = 255
"""The label of a pixel about which neither model nor person has said anything."""


class Sheet:
    """What is shown is where(vouched, person, model).

    Parameters
    ----------
    shown
        uint8 labels of any number of axes; the array itself is kept and written to. All of it
        counts as the model's word at first.
    counts
        (256,) how many pixels show each label, where the caller knows; None: they are counted.
    """

    def __init__(self, shown: Labels, *, counts: npt.NDArray[np.int64] | None = None) -> None:
        if shown.dtype != np.uint8:
            raise TypeError(f"labels are uint8, not {shown.dtype}")
        self.shown = shown
        self.vouched = VouchedPixels(shown.shape)
        self._under = SparseArray(shown.shape, np.uint8, fill=NOT_COMPUTED)
        self._stale = SparseArray(shown.shape, np.bool_)
        self._counts = histogram(shown) if counts is None else counts.copy()

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Self:
        """Make a sheet on which nothing is computed yet."""
        shown = np.full(shape, NOT_COMPUTED, np.uint8)
        counts = np.zeros(256, np.int64)
        counts[NOT_COMPUTED] = shown.size
        return cls(shown, counts=counts)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(256,) how many pixels show each label."""
        return self._counts.copy()

    def recount(self) -> None:
        """Count all pixels again, for when somebody else wrote into `shown`."""
        self._counts = histogram(self.shown)

    def model(self, region: Region) -> Labels:
        """Return a copy of the newest word of the model in `region`, also under a person's."""
        labels = self.shown[region].copy()
        if self.vouched.any(region):
            np.copyto(labels, self._under.read(region), where=self.vouched.read(region))
        return labels

    def result(self, region: Region) -> Labels:
        """Return a copy of the labels in `region`; what the newest run has not reached is 255."""
        labels = self.shown[region].copy()
        stale = self._stale.read(region) & ~self.vouched.read(region)
        labels[stale] = NOT_COMPUTED
        return labels

    def restart(self) -> None:
        """Begin another run: old labels stay in sight until the new ones replace them."""
        self._stale = SparseArray(self.shown.shape, np.bool_, fill=True)

    def write_model(self, region: Region, block: npt.ArrayLike) -> None:
        """Take the model's labels for `region`; a person's pixels only remember them."""
        labels = np.asarray(block).astype(np.uint8, copy=False)
        if labels.shape != shape_of(region):
            raise ValueError(f"labels of shape {labels.shape} for a region of {shape_of(region)}")
        if self._stale.touched(region) or self._stale.fill:
            self._stale.write(region, False)
        for part, inside in bands(region):
            self._write_around_person(part, labels[inside])

    def _write_around_person(self, region: Region, labels: Labels) -> None:
        if not self.vouched.any(region):
            self._show(region, labels, None)
            return
        vouched = self.vouched.read(region)
        self._under.write(region, labels, vouched)
        self._show(region, labels, ~vouched)

    def painting(self, region: Region, mask: Mask, labels: int | Labels) -> Stroke | None:
        """Make the stroke that vouches for pixels with a label; None if it changes nothing.

        Parameters
        ----------
        region
            A box around the pixels.
        mask
            The region's shape; which of its pixels are painted.
        labels
            One label for all, or an array of the region's shape.
        """
        after = np.broadcast_to(np.asarray(labels, np.uint8), mask.shape)
        changed = mask & ~(self.vouched.read(region) & (self.shown[region] == after))
        count = int(np.count_nonzero(changed))
        if not count:
            return None
        if isinstance(labels, np.ndarray):
            marks = Marks(np.broadcast_to(np.True_, count), after[changed])
        else:
            marks = Marks.same(labels, count)
        return Stroke(region, changed, self._marks(region, changed), marks)

    def releasing(self, region: Region, mask: Mask | None = None) -> Stroke | None:
        """Make the stroke that takes back all vouching in `region`; None if there is none."""
        vouched = self.vouched.read(region)
        if mask is not None:
            vouched &= mask
        count = int(np.count_nonzero(vouched))
        if not count:
            return None
        return Stroke(region, vouched, self._marks(region, vouched), Marks.nothing(count))

    def apply(self, stroke: Stroke) -> None:
        """Carry out a stroke; released pixels show the newest word of the model again."""
        region, mask = stroke.region, stroke.mask
        was = self.vouched.read(region)
        will = was.copy()
        will[mask] = stroke.after.vouched
        model = np.where(was, self._under.read(region), self.shown[region])
        labels = model.copy()
        labels[mask] = stroke.after.labels
        np.copyto(labels, model, where=~will)
        self._show(region, labels, mask)
        self._under.write(region, model, will & mask)
        self._under.write(region, NOT_COMPUTED, mask & ~will)
        self.vouched.mark(region, will & mask)
        self.vouched.unmark(region, mask & ~will)

    def _marks(self, region: Region, mask: Mask) -> Marks:
        vouched = self.vouched.read(region)[mask]
        return Marks(vouched, np.where(vouched, self.shown[region][mask], np.uint8(0)))

    def _show(self, region: Region, labels: Labels, where: Mask | None) -> None:
        target = self.shown[region]
        if where is None:
            self._counts += histogram(labels) - histogram(target)
            target[...] = labels
        else:
            self._counts += histogram(labels[where]) - histogram(target[where])
            np.copyto(target, labels, where=where)
