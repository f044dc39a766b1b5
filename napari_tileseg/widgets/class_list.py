"""The classes below the steps: colour, name, share of the area, eye."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent, QMouseEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QToolButton, QVBoxLayout, QWidget

from napari_tileseg.widgets.style import restyle

if TYPE_CHECKING:
    from napari_tileseg.session import ClassRow, View

_SWATCH_PX = 14


class ClassList(QWidget):
    """Shows the classes and announces what is wanted of one: brush, name, visibility."""

    select_requested = Signal(int)
    rename_requested = Signal(int, str)
    show_requested = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._title = QLabel("Classes")
        self._title.setObjectName("stepTitle")
        self._hint = QLabel("share of the area")
        self._hint.setObjectName("dim")
        heading = QHBoxLayout()
        heading.setContentsMargins(4, 0, 34, 0)
        heading.addWidget(self._title)
        heading.addStretch(1)
        heading.addWidget(self._hint)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(4, 6, 4, 4)
        self._layout.setSpacing(1)
        self._layout.addLayout(heading)
        self.setVisible(False)

    def show_view(self, view: View) -> None:
        """Show the classes; only what differs is touched."""
        self.setVisible(bool(view.classes))
        while len(self.rows) > len(view.classes):
            gone = self.rows.pop()
            self._layout.removeWidget(gone)
            gone.deleteLater()
        while len(self.rows) < len(view.classes):
            self._add_row(len(self.rows))
        self._hint.setVisible(any(one.share is not None for one in view.classes))
        for row, shown in zip(self.rows, view.classes, strict=True):
            row.show_class(shown)

    def _add_row(self, index: int) -> None:
        row = Row(index)
        row.select_requested.connect(self.select_requested)
        row.rename_requested.connect(self.rename_requested)
        row.show_requested.connect(self.show_requested)
        self.rows.append(row)
        self._layout.addWidget(row)


class Row(QFrame):
    """One class."""

    select_requested = Signal(int)
    rename_requested = Signal(int, str)
    show_requested = Signal(int, bool)

    def __init__(self, index: int) -> None:
        super().__init__()
        self._index = index
        self._shown: ClassRow | None = None
        self.setObjectName("classRow")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._swatch = QLabel()
        self._swatch.setFixedSize(_SWATCH_PX, _SWATCH_PX)
        self.name = QLabel()
        self.editor = QLineEdit()
        self.editor.setVisible(False)
        self.editor.editingFinished.connect(self._on_edited)
        self.editor.installEventFilter(self)
        self._share = QLabel()
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
        layout.addWidget(self._share)
        layout.addWidget(self.eye)

    def show_class(self, row: ClassRow) -> None:
        """Show a class as it is now."""
        before, self._shown = self._shown, row
        if row == before:
            return
        self.name.setText(row.name)
        self.name.setToolTip("Click to paint this class, double-click to rename it")
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
