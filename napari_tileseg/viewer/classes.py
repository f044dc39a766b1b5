"""The classes on the canvas: which one the brush paints, what they are called, which show."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_tileseg.session import Session
    from napari_tileseg.viewer.layers import SegmentationLabels
    from napari_tileseg.viewer.results import Results

_COUNT_EVERY_MS = 200
"""While somebody paints, areas are told so often."""


class ClassTools:
    """Keeps the class list of the session and the labels layers of one image together.

    The layers say what is so; the session repeats it.
    """

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self._results: Results | None = None
        self._bound = ExitStack()
        self._seen_before: list[SegmentationLabels] = []
        self._count_soon = QTimer()
        self._count_soon.setSingleShot(True)
        self._count_soon.setInterval(_COUNT_EVERY_MS)
        self._count_soon.timeout.connect(self._count)

    def bind(self, results: Results | None) -> None:
        """Work on these layers from now on."""
        self._bound.close()
        self._count_soon.stop()
        self._results = results
        if results is None:
            self._session.select_class(None)
            return
        self._follow(results.front.events.selected_label, self._on_label_selected)
        for layer in results.layers:
            self._follow(layer.events.vouched_changed, self._on_painted)
            self._follow(layer.events.visible, self._on_visible)
        self._on_label_selected()
        self._on_visible()

    def _follow(self, emitter: Any, slot: Callable[..., None]) -> None:
        emitter.connect(slot)
        self._bound.callback(emitter.disconnect, slot)

    def close(self) -> None:
        """Let go of the layers."""
        self._bound.close()
        self._count_soon.stop()
        self._results = None

    def select(self, index: int) -> None:
        """Take the brush and paint this class."""
        if self._results is None or not self._has_class(index):
            return
        self._viewer.layers.selection.active = self._results.layer_of(index)
        self._results.take_brush(index)
        self._session.select_class(index)

    def select_next(self) -> None:
        """Paint the next class in the list; after the last comes the first."""
        self._step(1)

    def select_previous(self) -> None:
        """Paint the class before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        count = len(self._session.classes)
        if count:
            chosen = self._session.selected
            self.select(0 if chosen is None else (chosen + by) % count)

    def _has_class(self, index: int) -> bool:
        return 0 <= index < len(self._session.classes)

    def rename(self, index: int, name: str) -> None:
        """Give a class another name, here and on the layers."""
        self._session.rename_class(index, name)
        if self._results is not None:
            self._results.show_classes(self._session.classes, self._session.hidden)

    def show(self, index: int, shown: bool) -> None:
        """Show or hide one class on the canvas."""
        if self._results is None:
            self._session.show_class(index, shown)
            return
        self._results.show_class(index, shown)
        self._session.hide_classes(self._results.hidden)

    def toggle_labels(self) -> None:
        """Hide all labels, or show those again that were seen before."""
        if self._results is None:
            return
        layers = self._results.layers
        seen = [layer for layer in layers if layer.visible]
        before = [layer for layer in self._seen_before if layer in layers]
        for layer in seen or before or layers:
            layer.visible = not seen
        self._seen_before = seen

    def _on_label_selected(self, event: Any = None) -> None:
        results = self._results
        if results is None or results.multilabel:
            return
        label = int(results.front.selected_label)
        self._session.select_class(label if self._has_class(label) else None)

    def _on_visible(self, event: Any = None) -> None:
        if self._results is not None:
            self._session.hide_classes(self._results.hidden)

    def _on_painted(self, event: Any = None) -> None:
        if not self._count_soon.isActive():
            self._count_soon.start()

    def _count(self) -> None:
        if self._results is not None:
            self._session.count_areas(*self._results.areas())
