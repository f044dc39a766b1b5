"""The versions of the model: which one is in use, and a click back to any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_tileseg.widgets.button import push_button
from napari_tileseg.widgets.line import Line

if TYPE_CHECKING:
    from napari_tileseg.session.teach_view import TeachView
    from napari_tileseg.session.teaching import VersionRow


class VersionList(QWidget):
    """A title and a line for each version, the newest first; nothing while there is only one."""

    return_requested = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[VersionRow, ...] = ()
        self.lines: list[_Line] = []
        title = QLabel("Versions")
        title.setObjectName("stepTitle")
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 4, 0, 0)
        self._layout.setSpacing(2)
        self._layout.addWidget(title)
        self.setVisible(False)

    def show_view(self, view: TeachView) -> None:
        """Show the versions, and whether one can go back to them now."""
        if view.versions != self._shown:
            self._shown = view.versions
            self._rebuild()
        self.setVisible(bool(view.versions))
        for line in self.lines:
            line.button.setEnabled(view.can_return)

    def _rebuild(self) -> None:
        for line in self.lines:
            self._layout.removeWidget(line)
            line.deleteLater()
        self.lines = [_Line(row) for row in self._shown]
        for line in self.lines:
            line.return_requested.connect(self.return_requested)
            self._layout.addWidget(line)


class _Line(QFrame):
    return_requested = Signal(int)

    def __init__(self, row: VersionRow) -> None:
        super().__init__()
        self.setObjectName("versionRow")
        self.setProperty("used", "true" if row.in_use else "false")
        title = Line(row.title, Qt.TextElideMode.ElideMiddle)
        title.setToolTip(row.title)
        note = QLabel(row.note)
        note.setObjectName("dim")
        # one that was discarded was never in use, so there is nothing to return to
        about = "Use this version, with the labels it had made if it was in use before"
        self.button = push_button("Use this", "plain", about)
        self.button.setAccessibleName(f"Use {row.title}")
        self.button.clicked.connect(lambda: self.return_requested.emit(row.number))
        used = QLabel("in use")
        self.button.setVisible(not row.in_use)
        used.setVisible(row.in_use)
        words = QVBoxLayout()
        words.setSpacing(3)
        words.addWidget(title)
        words.addWidget(note)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 5, 6, 5)
        layout.addLayout(words, 1)
        layout.addWidget(self.button)
        layout.addWidget(used)
