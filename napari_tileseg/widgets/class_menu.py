"""What can be done with a class, in a menu."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QColorDialog, QMenu

from napari_tileseg.engine.spec import default_colour

if TYPE_CHECKING:
    from qtpy.QtGui import QAction

    from napari_tileseg.session import ClassRow
    from napari_tileseg.widgets.class_row import Row

_OFFERED = 8
"""So many of the default colours can be told apart by everybody."""


class ClassMenu(QMenu):
    """Rename, recolour, merge, delete; the row announces what was chosen.

    Parameters
    ----------
    row
        Where it belongs.
    shown, others
        The class of the row, and all there are.
    """

    def __init__(self, row: Row, shown: ClassRow, others: tuple[ClassRow, ...]) -> None:
        super().__init__(row)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._row = row
        self._shown = shown
        self._add("Rename …", row.start_editing, self)
        if shown.index == 0:
            return  # background is what is left when a class goes, and it is transparent
        self.colours = QMenu("Colour", self)
        for number in range(_OFFERED):
            colour = default_colour(number)
            pick = partial(row.recolour_requested.emit, shown.index, colour)
            self._add(colour, pick, self.colours).setIcon(_icon(colour))
        self._add("Another colour …", self._choose_colour, self.colours)
        self.merges = QMenu("Merge into", self)
        for other in others:
            if other.index != shown.index:
                into = partial(row.merge_requested.emit, shown.index, other.index)
                self._add(other.name, into, self.merges).setIcon(_icon(other.colour))
        self.deletes = QMenu("Delete", self)
        delete = partial(row.delete_requested.emit, shown.index)
        self._add(f"Delete '{shown.name}'; this cannot be undone", delete, self.deletes)
        for part in (self.colours, self.merges, self.deletes):
            self.addMenu(part)

    def _add(self, text: str, do: object, to: QMenu) -> QAction:
        action = to.addAction(text)
        assert action is not None, "a menu makes the action it is asked for"
        action.triggered.connect(lambda: do())  # type: ignore[operator]
        return action

    def _choose_colour(self) -> None:
        dialog = QColorDialog(QColor(self._shown.colour), self._row)
        dialog.setWindowTitle(f"Colour of {self._shown.name}")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        row, index = self._row, self._shown.index
        dialog.colorSelected.connect(lambda c: row.recolour_requested.emit(index, c.name()))
        dialog.open()


def _icon(colour: str) -> QIcon:
    pixmap = QPixmap(14, 14)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
