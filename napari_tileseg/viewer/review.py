"""Declaring regions right: what is in view, what a person draws around, another layer."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from psygnal import Signal

from napari_tileseg.annotation.sparse import Region, shape_of
from napari_tileseg.annotation.values import NOT_COMPUTED, as_uint8
from napari_tileseg.errors import TilesegError
from napari_tileseg.session import Severity
from napari_tileseg.viewer.layers import SegmentationLabels
from napari_tileseg.viewer.marking import Marking
from napari_tileseg.viewer.overlay import Overlay
from napari_tileseg.viewer.viewport import pixels_in_view, why_none

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.components import ViewerModel

    from napari_tileseg.session import Session
    from napari_tileseg.viewer.results import Results

    Mask = npt.NDArray[np.bool_]

_NO_LABELS = "There are no labels to review yet: run first."
_HOW = (
    "Drag a rectangle around what is right; hold Shift to draw freehand, Alt to take a region "
    "back. Escape ends it."
)


class Review:
    """What a person declares right, on the labels of the chosen image.

    Attributes
    ----------
    marking
        Emits whether the mouse draws regions.
    overlay
        Shows who said what.
    """

    marking = Signal(bool)

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self._results: Results | None = None
        self.overlay = Overlay(viewer)
        self._mouse = Marking(viewer, self._on_drawn)
        self._mouse.toggled.connect(self._on_toggled)
        session.changed.connect(self._on_session_changed)

    def bind(self, results: Results | None) -> None:
        """Work on these labels from now on."""
        self._mouse.end()
        self._results = results
        self.overlay.follow(None if results is None else results.front)

    def close(self) -> None:
        """Let go of viewer and labels."""
        self._session.changed.disconnect(self._on_session_changed)
        self._mouse.close()
        self.overlay.close()
        self._results = None

    def _on_session_changed(self, view: object) -> None:
        if self._session.view.busy:
            self.overlay.again_soon()

    # what is in view

    def mark_view(self) -> None:
        """Declare right all labels that are on screen."""
        self._mark(self._in_view(), None)

    def unmark_view(self) -> None:
        """Take back that what is on screen is right; corrected pixels stay."""
        self._unmark(self._in_view(), None)

    def _in_view(self) -> Region | None:
        if self._results is None:
            self._session.tell(_NO_LABELS, Severity.WARNING)
            return None
        region = pixels_in_view(self._viewer, self._results.front)
        if region is None:
            self._session.tell(why_none(self._viewer, "The labels are"), Severity.WARNING)
        return region

    # a region that is drawn

    def mark_region(self) -> None:
        """Let the mouse draw the region that is right, or stop that."""
        if self._mouse.is_on:
            self._mouse.end()
        elif self._results is None:
            self._session.tell(_NO_LABELS, Severity.WARNING)
        elif self._viewer.dims.ndisplay != 2:
            self._session.tell(why_none(self._viewer, "The labels are"), Severity.WARNING)
        else:
            self._mouse.begin(self._results.front)
            self._session.tell(_HOW)

    def _on_toggled(self, on: bool) -> None:
        notice = self._session.view.notice
        if not on and notice is not None and notice.text == _HOW:
            self._session.dismiss()
        self.marking.emit(on)

    def _on_drawn(self, region: Region, mask: Mask, takes_back: bool) -> None:
        if takes_back:
            self._unmark(region, mask)
        else:
            self._mark(region, mask)

    # another layer

    def take_selected_layer(self) -> None:
        """Declare right what the labels layer says that is chosen in the layer list."""
        chosen = self._viewer.layers.selection.active
        if isinstance(chosen, Labels) and not isinstance(chosen, SegmentationLabels):
            self.take_labels(chosen)
        else:
            text = "Choose the labels layer to take over in the layer list first."
            self._session.tell(text, Severity.WARNING)

    def take_labels(self, layer: Labels) -> None:
        """Declare right what another labels layer says; 255 in it is left open."""
        results = self._results
        try:
            if results is None:
                raise TilesegError(_NO_LABELS)
            labels = _labels_of(layer, results)
            everything = tuple(slice(0, size) for size in labels.shape)
            before = results.front.reviewed.count
            results.front.review(everything, labels=labels)
        except TilesegError as error:
            self._session.report(error)
            return
        count = results.front.reviewed.count - before
        self._session.tell(f"Took {count:,} px of '{layer.name}' as reviewed. Undo takes it back.")

    # both

    def _mark(self, region: Region | None, mask: Mask | None) -> None:
        if self._results is None or region is None:
            return
        layers = self._results.layers
        done = [layer.review(region, mask) for layer in layers]
        if any(done):
            self._say_what_was_left_out(layers[0], region, mask)
        elif not layers[0].reviewed.any(region):
            text = "Nothing here is computed yet. Run first, or paint the labels."
            self._session.tell(text, Severity.WARNING)
        else:
            self._session.tell("All of this is marked as reviewed already.")

    def _say_what_was_left_out(
        self, layer: SegmentationLabels, region: Region, mask: Mask | None
    ) -> None:
        open_px = np.count_nonzero(
            (layer.data[region] == NOT_COMPUTED) & (True if mask is None else mask)
        )
        if open_px:
            total = prod(shape_of(region)) if mask is None else int(np.count_nonzero(mask))
            self._session.tell(
                f"Marked {total - open_px:,} px as reviewed; {open_px:,} px that are not computed "
                "yet were left out."
            )

    def _unmark(self, region: Region | None, mask: Mask | None) -> None:
        if self._results is None or region is None:
            return
        done = [layer.unreview(region, mask) for layer in self._results.layers]
        if not any(done):
            self._session.tell("Nothing here is marked as reviewed.")


def _labels_of(layer: Labels, results: Results) -> npt.NDArray[np.uint8]:
    """Return the labels of another layer if they fit; TilesegError if they do not."""
    if results.multilabel:
        raise TilesegError(
            "The labels of this model have a layer for each class. Mark what is right in each of "
            "them instead."
        )
    labels = as_uint8(np.asarray(layer.data))
    if labels.shape != results.front.data.shape:
        raise TilesegError(
            f"'{layer.name}' is {_size(labels.shape)}, but the labels of this image are "
            f"{_size(results.front.data.shape)}. Choose a layer of the same size."
        )
    return labels


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in shape) + " px"
