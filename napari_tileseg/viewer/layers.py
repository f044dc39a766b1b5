"""A labels layer that a model and a person write to at the same time.

What is shown is where(vouched, person, model). The rules are in `annotation.sheet`, which knows
no napari; this file connects them to napari's tools and to the canvas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap
from napari.utils.events import Event

from napari_tileseg.annotation.sheet import Sheet
from napari_tileseg.annotation.sparse import bounding, box_around
from napari_tileseg.annotation.values import NOT_COMPUTED, as_uint8, whole_numbers
from napari_tileseg.errors import ImageError, ModelFitError
from napari_tileseg.viewer import internals

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt

    from napari_tileseg.annotation.edits import Stroke
    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.annotation.vouched import VouchedPixels
    from napari_tileseg.engine.spec import ClassInfo

    Mask = npt.NDArray[np.bool_]

_UNKNOWN_COLOUR = "#808080"
_NO_LABEL = -1
"""A label that no pixel shows: napari fills nothing where the new label is shown already."""


class SegmentationLabels(Labels):  # type: ignore[misc]  # napari has no types
    """Labels that a model streams into and a person corrects; the person's pixels stay.

    Painting, filling, polygons and erasing vouch for the pixels they cover; undo takes that
    back and shows what the model says by then. Setting `data` to an array of the same shape is
    a person's edit as well: it vouches for the pixels that differ. An array of another shape
    starts anew: all of it counts as the model's word, nothing is vouched for.

    Parameters
    ----------
    data
        uint8 labels, class indices, 255 where nothing is computed yet. A numpy uint8 array that
        can be written to is kept and written to; anything else is copied.
    classes
        Names and colours in the order of the label values; the first is background.
    **options
        Of `napari.layers.Labels`: name, scale, translate, units, ...

    Notes
    -----
    `events.vouched_changed` fires after pixels were vouched for or released, with the region
    (one slice an axis) as its `value`.
    """

    def __init__(self, data: Any, *, classes: Sequence[ClassInfo], **options: Any) -> None:
        self._sheet = data if isinstance(data, Sheet) else Sheet(as_uint8(data))
        self._classes = tuple(classes)
        self._hidden: frozenset[int] = frozenset()
        self._replaced = False
        super().__init__(
            self._sheet.shown,
            colormap=_colormap(self._classes, self._hidden),
            features=_features(self._classes),
            multiscale=False,
            **{"name": "Segmentation"} | options,
        )
        self.events.add(vouched_changed=Event)

    @classmethod
    def empty(cls, shape: tuple[int, ...], *, classes: Sequence[ClassInfo], **options: Any) -> Self:
        """Make a layer in which nothing is computed yet."""
        return cls(Sheet.empty(shape), classes=classes, **options)

    @property
    def _type_string(self) -> str:
        # controls, icons, saving and duplicating treat it as the labels layer it is
        return "labels"

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """The labels as shown: uint8, 255 where nothing is computed yet."""
        return self._sheet.shown

    @data.setter
    def data(self, data: Any) -> None:
        labels = as_uint8(data)
        if labels.shape == self._sheet.shown.shape:
            self._take_over(labels)
        else:
            self._sheet = Sheet(labels)
            self._replaced = True
            internals.forget_pending(self)
            self._reset_history()
        Labels.data.fset(self, self._sheet.shown)

    def _take_over(self, labels: npt.NDArray[np.uint8]) -> None:
        """Take the pixels that differ from what is shown as one stroke of a person."""
        if np.may_share_memory(labels, self._sheet.shown):
            self._sheet.recount()  # somebody may have written through this very memory
        changed = labels != self._sheet.shown
        if not changed.any():
            return
        region = box_around(changed)
        mask = changed[region]
        self._check_labels(labels[region][mask])
        self._do(self._sheet.painting(region, mask, labels[region]), show=False)

    # -- the model ---------------------------------------------------------------------------

    def stream_block(self, region: Region, block: npt.ArrayLike) -> None:
        """Write the model's labels, except where a person vouched; GUI thread only.

        Parameters
        ----------
        region
            In data coordinates, one slice an axis with explicit bounds.
        block
            Labels of the region's shape, integer or bool.

        Raises
        ------
        ImageError
            `data` was set to an array of another shape after the run began (`reset_model`).
        """
        if self._replaced:
            raise ImageError(
                "The labels were replaced by an array of another size; the run has ended. "
                "Run again to segment into labels of the right size."
            )
        self._sheet.write_model(region, block)
        internals.show_part(self, region)

    def reset_model(self) -> None:
        """Begin another run: old labels stay in sight until new ones replace them.

        They are saved like all that is in sight; `result` tells them from those of the run.
        """
        self._replaced = False
        self._sheet.restart()

    def settle(self) -> None:
        """Bring up to date what streaming leaves out: the thumbnail in the layer list."""
        internals.update_thumbnail(self)

    def result(self, region: Region | None = None) -> npt.NDArray[np.uint8]:
        """Return a copy of the labels of the newest run and of the person; 255 elsewhere."""
        return self._sheet.result(region or _everything(self.data.shape))

    def areas(self) -> npt.NDArray[np.int64]:
        """Return (classes + 1,) how many pixels show each class; the last: not computed."""
        counts = self._sheet.counts
        return np.append(counts[: len(self._classes)], counts[NOT_COMPUTED])

    # -- the person --------------------------------------------------------------------------

    @property
    def vouched(self) -> VouchedPixels:
        """The pixels that a person vouched for; to be read, changed by the methods here."""
        return self._sheet.vouched

    def vouch(
        self,
        region: Region,
        mask: Mask | None = None,
        labels: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        """Vouch for pixels as a person, with one undo step.

        Parameters
        ----------
        region
            In data coordinates, one slice an axis with explicit bounds.
        mask
            Which pixels of the region; None: all.
        labels
            What they are, of the region's shape; None: as they are shown, where computed.

        Raises
        ------
        ModelFitError
            One of `labels` is no class; nothing is written.
        """
        shown = self.data[region]
        chosen = np.ones(shown.shape, np.bool_) if mask is None else mask
        if labels is None:
            chosen = chosen & (shown != NOT_COMPUTED)
        else:
            self._check_labels(labels[chosen])
        self._do(self._sheet.painting(region, chosen, shown.copy() if labels is None else labels))

    def release(self, region: Region, mask: Mask | None = None) -> None:
        """Take back all vouching in a region, with one undo step; the model's word shows."""
        self._do(self._sheet.releasing(region, mask))

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

    def _do(self, stroke: Stroke | None, *, show: bool = True) -> None:
        if stroke is not None:
            self._apply([stroke], show=show)
            internals.add_to_history(self, stroke)

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
        with internals.any_label_may_be_filled(self):
            return super()._get_flood_mask_and_bbox(coord, _NO_LABEL, dims_to_paint)

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

    # -- classes -----------------------------------------------------------------------------

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Names and colours in the order of the label values."""
        return self._classes

    @property
    def hidden(self) -> frozenset[int]:
        """The indices of the classes that are not drawn."""
        return self._hidden

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Name and colour the classes anew: on the canvas, in the features, in the status bar."""
        if tuple(classes) == self._classes:
            return
        self._classes = tuple(classes)
        self.features = _features(self._classes)
        self.colormap = _colormap(self._classes, self._hidden)
        self.selected_label = self.selected_label

    def set_hidden(self, indices: Collection[int]) -> None:
        """Leave some classes out of the drawing; nothing of their pixels changes."""
        if frozenset(indices) != self._hidden:
            self._hidden = frozenset(indices)
            self.colormap = _colormap(self._classes, self._hidden)


def _everything(shape: tuple[int, ...]) -> Region:
    return tuple(slice(0, size) for size in shape)


def _colormap(classes: Sequence[ClassInfo], hidden: Collection[int]) -> DirectLabelColormap:
    """Colour the classes; background and what is not computed are transparent."""
    colours: dict[int | None, str] = {None: _UNKNOWN_COLOUR}
    colours.update(
        (index, f"{info.colour}00" if index in hidden else info.colour)
        for index, info in enumerate(classes)
    )
    return DirectLabelColormap(color_dict=colours | {0: "transparent", NOT_COMPUTED: "transparent"})


def _features(classes: Sequence[ClassInfo]) -> dict[str, list[Any]]:
    """Return the table that napari takes the name of the label under the cursor from."""
    return {
        "index": [*range(len(classes)), NOT_COMPUTED],
        "class": [*(info.name for info in classes), "not computed"],
    }
