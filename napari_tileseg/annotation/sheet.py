"""The labels of one image as two write them: a model, and a person whose word counts more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from napari_tileseg.annotation.counting import histogram
from napari_tileseg.annotation.edits import Marks, Part, Stroke, lean
from napari_tileseg.annotation.sparse import (
    Region,
    SparseArray,
    bands,
    chunk_region,
    chunks_under,
    shape_of,
)
from napari_tileseg.annotation.values import NOT_COMPUTED
from napari_tileseg.annotation.vouched import VouchedPixels
from napari_tileseg.annotation.vouchings import Vouchings

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_tileseg.annotation.relabelling import Relabelling

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


class Sheet:
    """What is shown is where(vouched, person, model); vouched is corrected or reviewed.

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

    # the person: strokes are made, and then applied

    def painting(self, region: Region, mask: Mask, labels: int | Labels) -> Stroke | None:
        """Make the stroke that gives pixels a label; None if it changes nothing.

        Parameters
        ----------
        region
            A box around the pixels.
        mask
            The region's shape; which of its pixels are painted.
        labels
            One label for all, or an array of the region's shape.
        """
        painted = np.broadcast_to(np.asarray(labels, np.uint8), mask.shape)

        def part(box: Region, inside: Region) -> Part | None:
            same = self.corrected.read(box) & (self.shown[box] == painted[inside])
            changed = mask[inside] & ~same
            reviewed = self.reviewed.read(box)[changed]
            return self._part(box, changed, True, reviewed, painted[inside][changed])

        return Stroke.of(part(box, inside) for box, inside in bands(region))

    def reviewing(
        self, region: Region, mask: Mask | None = None, labels: Labels | None = None
    ) -> Stroke | None:
        """Make the stroke that declares pixels right; None if it changes nothing.

        Parameters
        ----------
        region
            A box around the pixels.
        mask
            The region's shape; which of its pixels; None: all.
        labels
            What they are, of the region's shape; 255 is left out. None: as they are shown.
        """

        def part(box: Region, inside: Region) -> Part | None:
            shown = self.shown[box]
            right = shown if labels is None else labels[inside]
            changed = (right != NOT_COMPUTED) & ~(self.reviewed.read(box) & (right == shown))
            if mask is not None:
                changed &= mask[inside]
            return self._part(box, changed, self.corrected.read(box)[changed], True, right[changed])

        return Stroke.of(part(box, inside) for box, inside in bands(region))

    def unreviewing(self, region: Region, mask: Mask | None = None) -> Stroke | None:
        """Make the stroke that takes back reviewing; corrected pixels stay. None: no change."""

        def part(box: Region, inside: Region) -> Part | None:
            changed = self.reviewed.read(box)
            if mask is not None:
                changed &= mask[inside]
            corrected = self.corrected.read(box)[changed]
            labels = np.where(corrected, self.shown[box][changed], np.uint8(0))
            return self._part(box, changed, corrected, False, labels)

        return self._where_vouched(region, part)

    def releasing(self, region: Region, mask: Mask | None = None) -> Stroke | None:
        """Make the stroke that takes back all vouching in `region`; None if there is none."""

        def part(box: Region, inside: Region) -> Part | None:
            changed = self.vouched.read(box)
            if mask is not None:
                changed &= mask[inside]
            return self._part(box, changed, False, False, np.uint8(0))

        return self._where_vouched(region, part)

    def _where_vouched(
        self, region: Region, part: Callable[[Region, Region], Part | None]
    ) -> Stroke | None:
        cut = ((box, inside) for box, inside in bands(region) if self.vouched.any(box))
        return Stroke.of(part(box, inside) for box, inside in cut)

    def _part(
        self,
        region: Region,
        mask: Mask,
        corrected: Mask | bool,
        reviewed: Mask | bool,
        labels: Labels | np.uint8,
    ) -> Part | None:
        """Put together what is said about the pixels of `mask`; None if there are none."""
        count = int(np.count_nonzero(mask))
        if not count:
            return None
        vouched = self.vouched.read(region)[mask]
        before = Marks.of(
            self.corrected.read(region)[mask],
            self.reviewed.read(region)[mask],
            np.where(vouched, self.shown[region][mask], np.uint8(0)),
            count,
        )
        return Part(region, lean(mask), before, Marks.of(corrected, reviewed, labels, count))

    def apply(self, stroke: Stroke) -> None:
        """Carry out a stroke; released pixels show the newest word of the model again."""
        for part in stroke.parts:
            self._apply(part)

    def _apply(self, part: Part) -> None:
        region, mask, after = part.region, part.mask, part.after
        was = self.vouched.read(region)
        will = _spread(mask, after.vouched)
        model = np.where(was, self._under.read(region), self.shown[region])
        labels = np.where(will, _spread(mask, after.labels), model)
        self._vouched_counts -= histogram(self.shown[region][mask & was])
        self._vouched_counts += histogram(labels[will])
        self._show(region, labels, mask)
        self._under.write(region, model, will)
        self._under.write(region, NOT_COMPUTED, mask & ~will)
        self.corrected.put(region, _spread(mask, after.corrected), mask)
        self.reviewed.put(region, _spread(mask, after.reviewed), mask)
        self.vouched.put(region, will, mask)
        self._changed.update(chunks_under(region))

    # other ways in

    def words(self, region: Region) -> Words:
        """Return copies of all that was said about `region`; `restore` takes them back."""
        vouched = self.vouched.read(region)
        person = np.where(vouched, self.shown[region], np.uint8(0))
        model = self.model(region)
        return Words(model, person, self.corrected.read(region), self.reviewed.read(region))

    def restore(
        self,
        region: Region,
        model: npt.ArrayLike,
        person: npt.ArrayLike,
        corrected: npt.ArrayLike,
        reviewed: npt.ArrayLike,
    ) -> None:
        """Put back what `words` said of `region`, in the place of all that is there.

        It is no change for `take_changes`; strokes made before must not be undone afterwards.
        """
        said = Words(
            np.asarray(model, np.uint8),
            np.asarray(person, np.uint8),
            np.asarray(corrected, np.bool_),
            np.asarray(reviewed, np.bool_),
        )
        if {part.shape for part in said} != {shape_of(region)}:
            raise ValueError(f"{[part.shape for part in said]} for a region of {shape_of(region)}")
        if self._stale.touched(region) or self._stale.fill:
            self._stale.write(region, False)
        for box, inside in bands(region):
            self._restore(box, said.part(inside))

    def _restore(self, region: Region, said: Words) -> None:
        was = self.vouched.read(region)
        vouched = said.corrected | said.reviewed
        labels = np.where(vouched, said.person, said.model)
        self._vouched_counts += histogram(labels[vouched]) - histogram(self.shown[region][was])
        self._show(region, labels, None)
        self._under.write(region, np.where(vouched, said.model, NOT_COMPUTED))
        self.corrected.put(region, said.corrected)
        self.reviewed.put(region, said.reviewed)
        self.vouched.put(region, vouched)

    def relabel(self, change: Relabelling) -> None:
        """Give labels other numbers, the model's and the person's, in all of the image.

        Strokes made before are to be replaced by what `Stroke.relabelled` returns.
        """
        for box in self.vouched.written():
            forgotten = self.releasing(box, change.forgets[self.shown[box]])
            if forgotten is not None:
                self.apply(forgotten)
        for index in chunks_under(self._everything):
            shown = self.shown[chunk_region(index, self.shown.shape)]
            labels = change.table[shown]
            if (labels != shown).any():
                shown[...] = labels
                self._changed.add(index)
        for box in self._under.written():
            self._changed.update(chunks_under(box))
        self._under.change(change.table)
        self._counts = change.counts(self._counts)
        self._vouched_counts = change.counts(self._vouched_counts)

    def _show(self, region: Region, labels: Labels, where: Mask | None) -> None:
        target = self.shown[region]
        if where is None:
            self._counts += histogram(labels) - histogram(target)
            target[...] = labels
        else:
            self._counts += histogram(labels[where]) - histogram(target[where])
            np.copyto(target, labels, where=where)


def _spread(mask: Mask, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of the mask's shape with `values` where it is true, 0 elsewhere."""
    spread = np.zeros(mask.shape, values.dtype)
    spread[mask] = values
    return spread
