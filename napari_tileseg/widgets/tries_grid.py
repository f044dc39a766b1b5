"""Small pictures of what a model would say, one for each way to scale intensities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QToolButton, QVBoxLayout, QWidget

from napari_tileseg.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_tileseg.engine.spec import NormalisationKind
    from napari_tileseg.viewer.tries import Try

_SIDE_PX, _ROOM_PX = 116, 16
_COLUMNS = 2
_LOOK = "Click the picture that is right:"
_SAME = "All of them say the same: it may be another network, or there is nothing to see here."


class TriesGrid(QWidget):
    """Shown only while there are pictures, or something to say about them.

    Parameters
    ----------
    names
        What a person calls each way to scale intensities.
    """

    kind_chosen = Signal(str)

    def __init__(self, names: Mapping[NormalisationKind, str]) -> None:
        super().__init__()
        self._names = names
        self.said = Text("dim")
        self.pictures: dict[str, QToolButton] = {}
        self._group = QButtonGroup(self)
        self._grid = QGridLayout()
        self._grid.setSpacing(6)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.said)
        layout.addLayout(self._grid)
        self.setVisible(False)

    def say(self, text: str) -> None:
        """Say something in place of pictures; nothing at all if it is empty."""
        self._clear()
        self.said.say(text)
        self.setVisible(bool(text))

    def show_tries(self, tries: Sequence[Try]) -> None:
        """Show a picture of each."""
        self._clear()
        same = len({one.picture.tobytes() for one in tries}) == 1
        self.said.say(_SAME if same else _LOOK)
        for number, one in enumerate(tries):
            button = self._picture(one)
            self.pictures[one.kind.value] = button
            self._group.addButton(button)
            self._grid.addWidget(button, number // _COLUMNS, number % _COLUMNS)
        self.setVisible(True)

    def mark(self, kind: str) -> None:
        """Show which one is chosen; none if it has no picture."""
        self._group.setExclusive(False)
        for one, button in self.pictures.items():
            button.setChecked(one == kind)
        self._group.setExclusive(True)

    def _picture(self, one: Try) -> QToolButton:
        button = QToolButton()
        button.setObjectName("try")
        button.setCheckable(True)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setIconSize(QSize(_SIDE_PX, _SIDE_PX))
        button.setMinimumHeight(_SIDE_PX + button.fontMetrics().height() + _ROOM_PX)
        button.setIcon(QIcon(_pixmap(one)))
        button.setText(self._names[one.kind])
        shares = "\n".join(f"{name}: {100 * share:.0f} %" for name, share in one.shares.items())
        button.setToolTip(f"{self._names[one.kind]}\n{shares}")
        button.clicked.connect(lambda: self.kind_chosen.emit(one.kind.value))
        return button

    def _clear(self) -> None:
        for button in self.pictures.values():
            self._group.removeButton(button)
            self._grid.removeWidget(button)
            button.deleteLater()
        self.pictures.clear()


def _pixmap(one: Try) -> QPixmap:
    rows, columns, _ = one.picture.shape
    image = QImage(one.picture.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image).scaled(
        _SIDE_PX,
        _SIDE_PX,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
