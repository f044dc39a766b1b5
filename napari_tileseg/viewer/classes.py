"""The classes on the canvas: which one the brush paints, what they are called, which show."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_tileseg.annotation.relabelling import Relabelling
from napari_tileseg.engine.spec import ClassInfo, default_colour
from napari_tileseg.session import Severity
from napari_tileseg.session.teaching import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel

    from napari_tileseg.session import Session
    from napari_tileseg.viewer.layers import SegmentationLabels
    from napari_tileseg.viewer.results import Results

_COUNT_EVERY_MS = 200
"""While somebody paints, areas are told so often."""

MOST_CLASSES = 255
"""Labels are one byte a pixel, and 255 stands for what is not computed yet."""


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
            self._session.count_vouched(())
            return
        self._follow(results.front.events.selected_label, self._on_label_selected)
        for layer in results.layers:
            self._follow(layer.events.vouched_changed, self._on_painted)
            self._follow(layer.events.visible, self._on_visible)
        self._on_label_selected()
        self._on_visible()
        self._session.count_vouched(results.vouched_areas())

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
        self._name_anew(index, name=name)

    def add(self) -> None:
        """Add a class at the end of the list and take the brush for it."""
        classes = self._session.classes
        if self._results is None or self._refuses("add a class"):
            return
        if len(classes) >= MOST_CLASSES:
            self._warn(f"There are {len(classes)} classes already; there can be no more.")
            return
        self._change((*classes, new_class(classes)), self._session.hidden)
        self.select(len(classes))

    def recolour(self, index: int, colour: str) -> None:
        """Give a class another colour, "#rrggbb"; background stays transparent."""
        if self._has_class(index):
            self._name_anew(index, colour=colour)

    def merge(self, index: int, into: int) -> None:
        """Give all pixels of a class to another one; what undo brings back follows."""
        classes = self._session.classes
        if index == into or not (self._has_class(index) and self._has_class(into)):
            return
        if not self._refuses("merge classes"):
            self._take_away(index, Relabelling.merging(index, into))
            self._session.tell(
                f"'{classes[index].name}' is part of '{classes[into].name}' now. This cannot be "
                "undone."
            )

    def delete(self, index: int) -> None:
        """Delete a class: its pixels become background, and nobody vouches for them any more."""
        if not self._has_class(index) or self._refuses("delete a class"):
            return
        name = self._session.classes[index].name
        if len(self._session.classes) <= 2:
            self._warn("There are at least two classes: background and another one.")
            return
        self._take_away(index, Relabelling.deleting(index))
        self._session.tell(
            f"'{name}' is deleted. What was painted in it is not vouched for any more. "
            "This cannot be undone."
        )

    def _take_away(self, index: int, change: Relabelling) -> None:
        classes = list(self._session.classes)
        del classes[index]
        still = self._session.hidden - {index}
        self._change(tuple(classes), frozenset(int(change.table[one]) for one in still), change)

    def _change(
        self,
        classes: tuple[ClassInfo, ...],
        hidden: frozenset[int],
        change: Relabelling | None = None,
    ) -> None:
        assert self._results is not None, "classes are changed where there are labels"
        self._session.set_classes(classes, hidden)
        self._results.change_classes(classes, change)
        self._results.front.set_hidden(hidden)
        self._on_label_selected()
        self._count()

    def _refuses(self, what: str) -> bool:
        """Return whether the list of classes cannot be changed now, and say why."""
        if self._results is None:
            self._warn(f"There are no labels to {what} in yet: run first.")
        elif self._results.multilabel:
            self._warn(
                "The classes of this model can overlap and have a layer each; they can be renamed "
                "and recoloured only."
            )
        elif self._session.learning.known.phase is not Phase.IDLE:
            self._warn(f"A model has been taught these classes: decide about it, then {what}.")
        else:
            return False
        return True

    def _warn(self, text: str) -> None:
        self._session.tell(text, Severity.WARNING)

    def _name_anew(self, index: int, **changes: str) -> None:
        classes = list(self._session.classes)
        classes[index] = replace(classes[index], **changes)
        self._session.set_classes(tuple(classes), self._session.hidden)
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
            self._session.count_vouched(self._results.vouched_areas())


def new_class(classes: Sequence[ClassInfo]) -> ClassInfo:
    """Return a class that is told from these by its name and its colour."""
    names, colours = {one.name for one in classes}, {one.colour for one in classes}
    number = next(n for n in count(len(classes)) if f"class {n}" not in names)
    place = next(n for n in count() if default_colour(n) not in colours)
    return ClassInfo(f"class {number}", default_colour(place))
