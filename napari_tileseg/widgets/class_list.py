"""The classes below the steps, and how to have others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from napari_tileseg.viewer.hatching import LEGEND
from napari_tileseg.widgets.class_row import Row

if TYPE_CHECKING:
    from napari_tileseg.session import View


class ClassList(QWidget):
    """Shows the classes and announces what is wanted of them."""

    select_requested = Signal(int)
    rename_requested = Signal(int, str)
    show_requested = Signal(int, bool)
    recolour_requested = Signal(int, str)
    merge_requested = Signal(int, int)
    delete_requested = Signal(int)
    add_requested = Signal()
    overlay_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._title = QLabel("Classes")
        self._title.setObjectName("stepTitle")
        self._hint = QLabel("share")
        self._hint.setObjectName("dim")
        self._hint.setToolTip("Share of the area that is computed so far")
        self.add_button = _small_button(
            "Add", "Add a class; the next teaching makes the model know it"
        )
        self.add_button.clicked.connect(self.add_requested)
        self.overlay_button = _small_button(
            "Who said what",
            "Draw on the image what is corrected, what is reviewed, and what is not computed yet. "
            "What has no pattern is the model's word.",
        )
        self.overlay_button.setCheckable(True)
        self.overlay_button.clicked.connect(self.overlay_requested)
        self._legend = QLabel(LEGEND)
        self._legend.setObjectName("dim")
        self._legend.setVisible(False)
        heading = QHBoxLayout()
        heading.setContentsMargins(4, 0, 34, 0)
        for part in (self._title, self.add_button, self.overlay_button):
            heading.addWidget(part)
        heading.addStretch(1)
        heading.addWidget(self._hint)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(4, 6, 4, 4)
        self._layout.setSpacing(1)
        self._layout.addLayout(heading)
        self._layout.addWidget(self._legend)
        self.setVisible(False)

    def show_overlay(self, shown: bool) -> None:
        """Say whether the canvas shows who said what, and what its patterns mean."""
        self.overlay_button.setChecked(shown)
        self._legend.setVisible(shown)

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
            row.show_class(shown, view.classes)

    def _add_row(self, index: int) -> None:
        row = Row(index)
        row.select_requested.connect(self.select_requested)
        row.rename_requested.connect(self.rename_requested)
        row.show_requested.connect(self.show_requested)
        row.recolour_requested.connect(self.recolour_requested)
        row.merge_requested.connect(self.merge_requested)
        row.delete_requested.connect(self.delete_requested)
        self.rows.append(row)
        self._layout.addWidget(row)


def _small_button(text: str, tooltip: str) -> QToolButton:
    button = QToolButton()
    button.setObjectName("fold")
    button.setText(text)
    button.setToolTip(tooltip)
    return button
