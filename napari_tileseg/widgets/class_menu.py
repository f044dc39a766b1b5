"""What can be done with a class, in a menu."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QMenu

from napari_tileseg.engine.spec import default_colour

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QAction
    from qtpy.QtWidgets import QWidget

    from napari_tileseg.session import ClassRow

_OFFERED = 8
"""So many of the default colours can be told apart by everybody."""


class ClassMenu(QMenu):
    """Rename, recolour, merge into another one, delete.

    Parameters
    ----------
    parent
        Where it belongs.
    shown, others
        The class, and all there are.
    """

    rename_chosen = Signal()
    colour_chosen = Signal(str)
    other_colour_chosen = Signal()
    merge_chosen = Signal(int)
    delete_chosen = Signal()

    def __init__(self, parent: QWidget, shown: ClassRow, others: tuple[ClassRow, ...]) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._add("Rename …", self.rename_chosen.emit, self)
        if shown.index == 0:
            return  # background is what is left when a class goes, and it is transparent
        self.colours = QMenu("Colour", self)
        for number in range(_OFFERED):
            colour = default_colour(number)
            pick = partial(self.colour_chosen.emit, colour)
            self._add(colour, pick, self.colours).setIcon(_icon(colour))
        self._add("Another colour …", self.other_colour_chosen.emit, self.colours)
        self.merges = QMenu("Merge into", self)
        for other in others:
            if other.index != shown.index:
                into = partial(self.merge_chosen.emit, other.index)
                self._add(other.name, into, self.merges).setIcon(_icon(other.colour))
        self.deletes = QMenu("Delete", self)
        delete = self.delete_chosen.emit
        self._add(f"Delete '{shown.name}'; this cannot be undone", delete, self.deletes)
        for part in (self.colours, self.merges, self.deletes):
            self.addMenu(part)

    def _add(self, text: str, do: Callable[[], object], to: QMenu) -> QAction:
        action = to.addAction(text)
        assert action is not None, "a menu makes the action it is asked for"
        action.triggered.connect(lambda: do())  # not whether it is checked
        return action


def _icon(colour: str) -> QIcon:
    pixmap = QPixmap(14, 14)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
