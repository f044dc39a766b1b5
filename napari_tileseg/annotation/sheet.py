"""The labels of one image as two write them: a model, and a person whose word counts more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.annotation.counting import histogram
from napari_tileseg.annotation.edits import Marks, Part, Stroke, is_all_true, lean
from napari_tileseg.annotation.model_sheet import ModelSheet, Words
from napari_tileseg.annotation.sparse import (
    Region,
    bands,
    chunk_region,
    chunks_under,
    shape_of,
)
from napari_tileseg.annotation.values import NOT_COMPUTED

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_tileseg.annotation.relabelling import Relabelling

    Mask = npt.NDArray[np.bool_]
    Labels = npt.NDArray[np.uint8]


class Sheet(ModelSheet):
    """What is shown is where(vouched, person, model); vouched is corrected or reviewed.

    A person's strokes are made first, which changes nothing, and then applied.
    """

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
            corrected = self.corrected.any(box) and self.corrected.read(box)[changed]
            chosen = right.ravel() if changed.all() else right[changed]
            return self._part(box, changed, corrected, True, chosen)

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
        after = Marks.of(corrected, reviewed, labels, count)
        return Part(region, lean(mask), self._marks(region, mask, count), after)

    def _marks(self, region: Region, mask: Mask, count: int) -> Marks:
        """Return what is said about the pixels of `mask` now."""
        if not self.vouched.any(region):
            return Marks.of(False, False, np.uint8(0), count)
        vouched = self.vouched.read(region)[mask]
        return Marks.of(
            self.corrected.read(region)[mask],
            self.reviewed.read(region)[mask],
            np.where(vouched, self.shown[region][mask], np.uint8(0)),
            count,
        )

    def apply(self, stroke: Stroke) -> None:
        """Carry out a stroke; released pixels show the newest word of the model again."""
        for part in stroke.parts:
            self._apply(part)

    def _apply(self, part: Part) -> None:
        if is_all_true(part.mask):
            self._apply_to_all(part.region, part.after)
        else:
            self._apply_to_some(part)
        self._changed.update(chunks_under(part.region))

    def _apply_to_all(self, region: Region, after: Marks) -> None:
        """Do what `_apply_to_some` does, in fewer passes, where every pixel changes."""
        shape = shape_of(region)
        model, will = self.model(region), lean(after.vouched.reshape(shape))
        if self.vouched.any(region):
            self._vouched_counts -= histogram(self.shown[region][self.vouched.read(region)])
        if is_all_true(will):
            labels = after.labels.reshape(shape)
            self._vouched_counts += histogram(labels)
            self._under.write(region, model)
        else:
            labels = np.where(will, after.labels.reshape(shape), model)
            self._vouched_counts += histogram(labels[will])
            self._under.write(region, np.where(will, model, NOT_COMPUTED))
        self._show(region, labels, None)
        self.corrected.put(region, after.corrected.reshape(shape))
        self.reviewed.put(region, after.reviewed.reshape(shape))
        self.vouched.put(region, will)

    def _apply_to_some(self, part: Part) -> None:
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
        self.renumbered += 1


def _spread(mask: Mask, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of the mask's shape with `values` where it is true, 0 elsewhere."""
    spread = np.zeros(mask.shape, values.dtype)
    spread[mask] = values
    return spread
