"""The classes on the canvas: which one the brush paints, what they are called, which show."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_tileseg.session import Session
    from napari_tileseg.viewer.results import Results


class ClassTools:
    """Keeps the class list of the session and the labels layers of one image together."""

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self._results: Results | None = None
        self._bound = ExitStack()

    def bind(self, results: Results | None) -> None:
        """Work on these layers from now on."""
        self._bound.close()
        self._results = results
        if results is None:
            self._session.select_class(None)
            return
        events = results.front.events.selected_label
        events.connect(self._on_label_selected)
        self._bound.callback(events.disconnect, self._on_label_selected)
        self._on_label_selected()

    def close(self) -> None:
        """Let go of the layers."""
        self._bound.close()
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
        self._session.show_class(index, shown)
        if self._results is not None:
            self._results.show_classes(self._session.classes, self._session.hidden)

    def toggle_labels(self) -> None:
        """Hide all labels, or show them again."""
        if self._results is not None:
            visible = not any(layer.visible for layer in self._results.layers)
            for layer in self._results.layers:
                layer.visible = visible

    def _on_label_selected(self, event: Any = None) -> None:
        results = self._results
        if results is None or results.multilabel:
            return
        label = int(results.front.selected_label)
        self._session.select_class(label if self._has_class(label) else None)
