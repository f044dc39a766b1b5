"""One class: colour, name, what is vouched for, share of the area, eye."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QPoint, Qt, Signal
from qtpy.QtGui import QColor, QContextMenuEvent, QKeyEvent, QMouseEvent
from qtpy.QtWidgets import QColorDialog, QFrame, QHBoxLayout, QLabel, QLineEdit, QToolButton

from napari_tileseg.session.texts import brief
from napari_tileseg.widgets.class_menu import ClassMenu
from napari_tileseg.widgets.line import Line
from napari_tileseg.widgets.style import restyle

if TYPE_CHECKING:
    from napari_tileseg.session import ClassRow

_SWATCH_PX = 14


class Row(QFrame):
    """One class."""

    select_requested = Signal(int)
    rename_requested = Signal(int, str)
    show_requested = Signal(int, bool)
    recolour_requested = Signal(int, str)
    merge_requested = Signal(int, int)
    delete_requested = Signal(int)

    def __init__(self, index: int) -> None:
        super().__init__()
        self._index = index
        self._shown: ClassRow | None = None
        self._all: tuple[ClassRow, ...] = ()
        self.setObjectName("classRow")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._swatch = QLabel()
        self._swatch.setFixedSize(_SWATCH_PX, _SWATCH_PX)
        self.name = Line()
        self.editor = QLineEdit()
        self.editor.setVisible(False)
        self.editor.editingFinished.connect(self._on_edited)
        self.editor.installEventFilter(self)
        self.vouched = QLabel()
        self.vouched.setObjectName("dim")
        self._share = QLabel()
        self.more = QToolButton()
        self.more.setObjectName("fold")
        self.more.setText("⋯")
        self.more.setToolTip("Rename, recolour, merge or delete this class")
        self.more.clicked.connect(self._on_more)
        self.eye = QToolButton()
        self.eye.setObjectName("eye")
        self.eye.setCheckable(True)
        self.eye.setFixedSize(20, 20)
        self.eye.clicked.connect(lambda shown: self.show_requested.emit(self._index, shown))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 2)
        layout.setSpacing(8)
        layout.addWidget(self._swatch)
        layout.addWidget(self.name, 1)
        layout.addWidget(self.editor, 1)
        layout.addWidget(self.vouched)
        layout.addWidget(self._share)
        layout.addWidget(self.more)
        layout.addWidget(self.eye)

    def show_class(self, row: ClassRow, others: tuple[ClassRow, ...] = ()) -> None:
        """Show a class as it is now, one among all there are."""
        before, self._shown = self._shown, row
        self._all = others
        if row == before:
            return
        self.name.setText(row.name)
        self.name.setToolTip("Click to paint this class, double-click to rename it")
        self.vouched.setText(f"✓ {brief(row.vouched)}" if row.vouched else "")
        self.vouched.setToolTip(
            f"You vouch for {row.vouched:,} px of {row.name}: corrected or reviewed"
        )
        self._share.setText("" if row.share is None else f"{100 * row.share:.1f} %")
        self._share.setToolTip(row.area)
        self.eye.setChecked(row.shown)
        self.eye.setToolTip(f"{'Hide' if row.shown else 'Show'} {row.name}")
        self.eye.setAccessibleName(f"{row.name} is {'shown' if row.shown else 'hidden'}")
        self.setAccessibleName(f"Class {row.name}")
        if before is None or before.colour != row.colour:
            self._show_colour(row.colour)
        if before is None or before.selected != row.selected:
            self.setProperty("selected", "true" if row.selected else "false")
            restyle(self)

    def _show_colour(self, colour: str) -> None:
        # background is transparent on the canvas, so its swatch is only an outline
        empty = colour == "#000000"
        self._swatch.setObjectName("emptySwatch" if empty else "swatch")
        self._swatch.setStyleSheet("" if empty else f"background: {colour};")
        restyle(self._swatch)

    def start_editing(self) -> None:
        """Turn the name into something to type in."""
        self.editor.setText(self.name.text())
        self._set_editing(True)
        self.editor.setFocus()
        self.editor.selectAll()

    def _set_editing(self, editing: bool) -> None:
        self.editor.setVisible(editing)
        self.name.setVisible(not editing)

    def _on_edited(self) -> None:
        if self.editor.isHidden():
            return
        self._set_editing(False)
        name = self.editor.text().strip()
        if name and name != self.name.text():
            self.rename_requested.emit(self._index, name)

    def _on_more(self) -> None:
        self._open_menu(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Offer what can be done with the class."""
        if event is not None:
            self._open_menu(event.globalPos())

    def _open_menu(self, place: QPoint) -> None:
        if self._shown is None:
            return
        index = self._index
        self.menu = ClassMenu(self, self._shown, self._all)
        self.menu.rename_chosen.connect(self.start_editing)
        self.menu.colour_chosen.connect(partial(self.recolour_requested.emit, index))
        self.menu.other_colour_chosen.connect(self._choose_colour)
        self.menu.merge_chosen.connect(partial(self.merge_requested.emit, index))
        self.menu.delete_chosen.connect(partial(self.delete_requested.emit, index))
        self.menu.popup(place)

    def _choose_colour(self) -> None:
        shown = self._shown
        assert shown is not None, "a row without a class has no menu"
        dialog = QColorDialog(QColor(shown.colour), self)
        dialog.setWindowTitle(f"Colour of {shown.name}")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(
            lambda colour: self.recolour_requested.emit(shown.index, colour.name())
        )
        dialog.open()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Leave the name as it was on Escape."""
        if isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape:
            self._set_editing(False)
            return True
        return False

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Take the brush for this class."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self.select_requested.emit(self._index)

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        """Type another name."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self.start_editing()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Enter and Space take the brush, F2 edits the name."""
        key = None if event is None else event.key()
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.select_requested.emit(self._index)
        elif key == Qt.Key.Key_F2:
            self.start_editing()
        else:
            super().keyPressEvent(event)
