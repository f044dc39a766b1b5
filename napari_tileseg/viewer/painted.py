"""A labels layer in which a person's pixels are told from a model's, whatever tool made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_tileseg.annotation.sparse import bounding
from napari_tileseg.annotation.values import NOT_COMPUTED, whole_numbers
from napari_tileseg.errors import ModelFitError
from napari_tileseg.viewer import internals
from napari_tileseg.viewer.flooding import flooded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_tileseg.annotation.edits import Stroke
    from napari_tileseg.annotation.sheet import Sheet
    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.annotation.vouched import VouchedPixels
    from napari_tileseg.annotation.vouchings import Vouchings
    from napari_tileseg.engine.spec import ClassInfo

    Mask = npt.NDArray[np.bool_]

_NO_LABEL = -1
"""A label that no pixel shows: napari fills nothing where the new label is shown already."""


class PaintedLabels(Labels):  # type: ignore[misc]  # napari has no types
    """What a person does to labels: vouching, and the ways from napari's tools to it.

    `SegmentationLabels` is the layer; this is the half of it that strokes go through.
    """

    _sheet: Sheet
    _classes: tuple[ClassInfo, ...]

    @property
    def sheet(self) -> Sheet:
        """The labels as model and person wrote them; to be changed by the methods here."""
        return self._sheet

    @property
    def vouched(self) -> VouchedPixels:
        """The pixels that a person vouches for: corrected or reviewed."""
        return self._sheet.vouched

    @property
    def corrected(self) -> VouchedPixels:
        """The pixels whose label a person gave."""
        return self._sheet.corrected

    @property
    def reviewed(self) -> VouchedPixels:
        """The pixels that a person declared right."""
        return self._sheet.reviewed

    def freeze(self) -> Vouchings:
        """Return a copy of the person's word that does not change any more."""
        return self._sheet.freeze()

    def model(self, region: Region) -> npt.NDArray[np.uint8]:
        """Return a copy of the newest word of the model, also under a person's."""
        return self._sheet.model(region)

    def restore(self, region: Region, *words: npt.ArrayLike) -> None:
        """Put back what `sheet.words` said of a region; the history of undo is emptied."""
        self._sheet.restore(region, *words)
        self._reset_history()
        internals.show_part(self, region)
        self.events.vouched_changed(value=region)

    def review(
        self,
        region: Region,
        mask: Mask | None = None,
        labels: npt.NDArray[np.uint8] | None = None,
    ) -> bool:
        """Declare labels right as a person, with one undo step.

        Parameters
        ----------
        region
            In data coordinates, one slice an axis with explicit bounds.
        mask
            Which pixels of the region; None: all.
        labels
            What they are, of the region's shape, 255 where that is left open; None: as they
            are shown. What is not computed yet is left out.

        Returns
        -------
        Whether that changed anything.

        Raises
        ------
        ModelFitError
            One of `labels` is no class; nothing is written.
        """
        if labels is not None:
            known = labels[labels != NOT_COMPUTED] if mask is None else labels[mask]
            self._check_labels(known[known != NOT_COMPUTED])
        return self._do(self._sheet.reviewing(region, mask, labels))

    def unreview(self, region: Region, mask: Mask | None = None) -> bool:
        """Take back what was declared right, with one undo step; corrected pixels stay."""
        return self._do(self._sheet.unreviewing(region, mask))

    def release(self, region: Region, mask: Mask | None = None) -> bool:
        """Take back all vouching in a region, with one undo step; the model's word shows."""
        return self._do(self._sheet.releasing(region, mask))

    def data_setitem(self, indices: Any, value: Any, refresh: bool = True) -> None:
        """Write labels at a numpy multi-index as a person does, with one undo step.

        Raises
        ------
        ModelFitError
            One of the labels is no class; nothing is written.
        """
        self._check_labels(value)
        spots = np.broadcast_arrays(*indices)
        if not spots[0].size:
            return
        inside = tuple(
            np.where(s < 0, s + n, s) for s, n in zip(spots, self.data.shape, strict=True)
        )
        region = internals.box_of(inside)
        relative = tuple(s - axis.start for s, axis in zip(inside, region, strict=True))
        labels = self.data[region].copy()
        mask = np.zeros(labels.shape, np.bool_)
        labels[relative] = value
        mask[relative] = True
        self._do(self._sheet.painting(region, mask, labels), show=refresh)

    def _check_labels(self, labels: npt.ArrayLike) -> None:
        for label in np.unique(whole_numbers(labels)):
            self._validate_label_in_range(int(label))

    def _do(self, stroke: Stroke | None, *, show: bool = True) -> bool:
        if stroke is None:
            return False
        self._apply([stroke], show=show)
        internals.add_to_history(self, stroke)
        return True

    def _apply(self, strokes: Sequence[Stroke], *, show: bool = True) -> None:
        if not strokes:
            return
        for stroke in strokes:
            self._sheet.apply(stroke)
        region = bounding(stroke.region for stroke in strokes)
        if show:
            internals.show_part(self, region)
        self.events.vouched_changed(value=region)

    # -- napari's tools: the hooks through which brush, fill, polygon and undo come ----------

    def _apply_mask_to_data(
        self, data: npt.NDArray[np.uint8], mask: Mask, new_label: int, volume_slice: Region
    ) -> Mask | None:
        chosen = np.broadcast_to(mask, data.shape)
        if self.preserve_labels:
            free = internals.paintable_label(self, new_label)
            # what is not computed is as free to paint on as background
            chosen = chosen & ((data == free) | ((data == NOT_COMPUTED) & (free == 0)))
        stroke = self._sheet.painting(volume_slice, chosen, new_label)
        self._do(stroke, show=False)  # napari shows it itself, once for all dabs of a mouse move
        return None if stroke is None else stroke.mask_in(volume_slice)

    def _get_flood_mask_and_bbox(
        self, coord: Sequence[float], new_label: int, dims_to_paint: list[int]
    ) -> Any:
        spot = tuple(slice(c, c + 1) for c in np.round(coord).astype(int).tolist())
        if internals.is_drawing(self) and (self.data[spot] == new_label).all():
            return None  # the mouse moves on over what this very drag has filled
        # which pixels may be painted is decided for all tools alike, in _apply_mask_to_data
        if self.contiguous:
            return self._flooded(spot, dims_to_paint)
        with internals.any_label_may_be_filled(self):
            return super()._get_flood_mask_and_bbox(coord, _NO_LABEL, dims_to_paint)

    def _flooded(self, spot: Region, dims_to_paint: list[int]) -> Any:
        """Return what the method of napari above returns, at a cost of what is filled."""
        frame = tuple(
            slice(None) if axis in dims_to_paint else at.start for axis, at in enumerate(spot)
        )
        seed = tuple(spot[axis].start for axis in dims_to_paint)
        plane = self.data[frame]
        if any(not 0 <= at < size for at, size in zip(seed, plane.shape, strict=True)):
            return None
        mask, box = flooded(plane, seed)
        lows, highs = ([getattr(axis, end) for axis in box] for end in ("start", "stop"))
        return mask, np.array(lows), np.array(highs), plane[box]

    def _load_history(self, before: Any, after: Any, undoing: bool = True) -> None:
        if internals.is_drawing(self):
            return  # the strokes of a drag are one step, which is not there before its end
        internals.commit_staged(self)
        if not before:
            return
        strokes = list(reversed(before.pop()))
        after.append(strokes)
        self._apply([stroke.inverse() if undoing else stroke for stroke in strokes])
        internals.update_thumbnail(self)

    def _abort_stroke(self) -> None:
        staged: list[Any] = internals.take_staged(self)
        self._apply([stroke.inverse() for stroke in reversed(staged)])

    def _validate_label_in_range(self, label: int) -> None:
        if not 0 <= label < len(self._classes):
            names = ", ".join(f"{i} {info.name}" for i, info in enumerate(self._classes))
            raise ModelFitError(f"There is no class {label} in '{self.name}'. There are: {names}.")

    def _calculate_value_from_ray(self, values: npt.NDArray[np.uint8]) -> Any:
        return super()._calculate_value_from_ray(np.where(values == NOT_COMPUTED, 0, values))

    @property
    def selected_label(self) -> int:
        """The class that painting writes; always one of `classes`."""
        return int(self._selected_label)

    @selected_label.setter
    def selected_label(self, selected_label: int) -> None:
        # napari's keys "next label" and "new label" count on beyond the classes
        nearest = min(max(0, int(selected_label)), len(self._classes) - 1)
        Labels.selected_label.fset(self, nearest)
