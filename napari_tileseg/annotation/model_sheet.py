"""The labels of one image as the model writes them, around and below those of a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from napari_tileseg.annotation.counting import histogram
from napari_tileseg.annotation.sparse import (
    Region,
    SparseArray,
    bands,
    chunks_under,
    shape_of,
)
from napari_tileseg.annotation.values import NOT_COMPUTED
from napari_tileseg.annotation.vouched import VouchedPixels
from napari_tileseg.annotation.vouchings import Vouchings

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]
    Labels = npt.NDArray[np.uint8]


class Words(NamedTuple):
    """All that was said about a region: four arrays of its shape.

    `model` is the model's newest label (255: none yet), `person` the person's; the latter has a
    meaning where `corrected` (the person gave the label) or `reviewed` (declared it right).
    """

    model: Labels
    person: Labels
    corrected: Mask
    reviewed: Mask

    def part(self, inside: Region) -> Words:
        """Return what was said about a part of the region."""
        return Words(
            self.model[inside], self.person[inside], self.corrected[inside], self.reviewed[inside]
        )


class ModelSheet:
    """What is shown, and what the model says where a person's word stands in front of it.

    Parameters
    ----------
    shown
        uint8 labels of any number of axes; the array itself is kept and written to. All of it
        counts as the model's word at first.
    counts
        (256,) how many pixels show each label, where the caller knows; None: they are counted.

    Attributes
    ----------
    corrected, reviewed, vouched
        Pixels whose label a person gave; that she declared right; either. To be read only.
    renumbered
        How often the labels got other numbers: whoever saves them has to save all of them then.
    """

    def __init__(self, shown: Labels, *, counts: npt.NDArray[np.int64] | None = None) -> None:
        if shown.dtype != np.uint8:
            raise TypeError(f"labels are uint8, not {shown.dtype}")
        self.shown = shown
        self.corrected = VouchedPixels(shown.shape)
        self.reviewed = VouchedPixels(shown.shape)
        self.vouched = VouchedPixels(shown.shape)
        self._under = SparseArray(shown.shape, np.uint8, fill=NOT_COMPUTED)
        self._stale = SparseArray(shown.shape, np.bool_)
        self._counts = histogram(shown) if counts is None else counts.copy()
        self._vouched_counts = np.zeros(256, np.int64)
        self._changed: set[tuple[int, ...]] = set()
        self.renumbered = 0

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

    @property
    def vouched_counts(self) -> npt.NDArray[np.int64]:
        """(256,) how many pixels of each label a person vouches for."""
        return self._vouched_counts.copy()

    def recount(self) -> None:
        """Count all pixels again, for when somebody else wrote into `shown`."""
        self._counts = histogram(self.shown)
        self._vouched_counts[:] = 0
        for box in self.vouched.written():
            self._vouched_counts += histogram(self.shown[box][self.vouched.read(box)])
        self._changed.update(chunks_under(self._everything))

    @property
    def _everything(self) -> Region:
        return tuple(slice(0, size) for size in self.shown.shape)

    def take_changes(self) -> frozenset[tuple[int, ...]]:
        """Return the chunks (see `sparse.chunk_region`) written since this was last asked."""
        changed, self._changed = frozenset(self._changed), set()
        return changed

    def freeze(self) -> Vouchings:
        """Return a copy of the person's word that does not change any more."""
        return Vouchings.of(self.shown, self.vouched, self.reviewed)

    # the model

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
        self._changed.update(chunks_under(region))
        for part, inside in bands(region):
            self._write_around_person(part, labels[inside])

    def _write_around_person(self, region: Region, labels: Labels) -> None:
        if not self.vouched.any(region):
            self._show(region, labels, None)
            return
        vouched = self.vouched.read(region)
        self._under.write(region, labels, vouched)
        self._show(region, labels, ~vouched)

    def words(self, region: Region) -> Words:
        """Return copies of all that was said about `region`; `restore` takes them back."""
        if not self.vouched.any(region):
            nowhere = np.broadcast_to(np.False_, shape_of(region))
            return Words(self.shown[region].copy(), nowhere.view(np.uint8), nowhere, nowhere)
        vouched = self.vouched.read(region)
        person = np.where(vouched, self.shown[region], np.uint8(0))
        model = self.model(region)
        return Words(model, person, self.corrected.read(region), self.reviewed.read(region))

    def _show(self, region: Region, labels: Labels, where: Mask | None) -> None:
        target = self.shown[region]
        if where is None:
            self._counts += histogram(labels) - histogram(target)
            target[...] = labels
        else:
            self._counts += histogram(labels[where]) - histogram(target[where])
            np.copyto(target, labels, where=where)
