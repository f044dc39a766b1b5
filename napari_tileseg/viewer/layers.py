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
from napari_tileseg.annotation.sparse import box_around
from napari_tileseg.annotation.values import NOT_COMPUTED, as_uint8
from napari_tileseg.errors import ImageError
from napari_tileseg.viewer import internals
from napari_tileseg.viewer.painted import PaintedLabels

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt

    from napari_tileseg.annotation.relabelling import Relabelling
    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.engine.spec import ClassInfo

    Mask = npt.NDArray[np.bool_]

_UNKNOWN_COLOUR = "#808080"


class SegmentationLabels(PaintedLabels):
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

    def vouched_areas(self) -> npt.NDArray[np.int64]:
        """Return (classes,) how many pixels of each class a person vouches for."""
        return self._sheet.vouched_counts[: len(self._classes)]

    def areas(self) -> npt.NDArray[np.int64]:
        """Return (classes + 1,) how many pixels show each class; the last: not computed."""
        counts = self._sheet.counts
        return np.append(counts[: len(self._classes)], counts[NOT_COMPUTED])

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

    def relabel(self, change: Relabelling, classes: Sequence[ClassInfo]) -> None:
        """Merge or delete classes: model, person and the strokes that can be undone follow.

        This itself cannot be undone. A stroke that is undone or redone later has the class that
        became of its own; what was painted in a class that is deleted is not vouched for any
        more, because nobody said what it is instead.
        """
        internals.commit_staged(self)
        chosen = int(change.table[self.selected_label])
        self._sheet.relabel(change)
        internals.replace_history(self, lambda stroke: stroke.relabelled(change))
        self.set_classes(classes)
        self.selected_label = chosen
        self.refresh(extent=False, thumbnail=True, highlight=False)
        self.events.vouched_changed(value=_everything(self.data.shape))

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
