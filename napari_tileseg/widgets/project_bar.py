"""The foot of the dock: earlier work that can be gone on with, and when it was saved last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from napari_tileseg.widgets.button import link_button
from napari_tileseg.widgets.line import Line
from napari_tileseg.widgets.style import restyle
from napari_tileseg.widgets.text import breakable

if TYPE_CHECKING:
    from napari_tileseg.session import View
    from napari_tileseg.session.project import WorkView

_SUFFIX = ".tileseg"


class ProjectBar(QFrame):
    """A question while there is one, and below it one line."""

    go_on_requested = Signal()
    decline_requested = Signal()
    save_as_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path.home()
        self._name = "work"
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self.go_on = link_button("", "Bring back the labels, classes, model and settings of then")
        self.go_on.clicked.connect(self.go_on_requested)
        self.decline = link_button("", "Leave that folder as it is; nothing in it is lost")
        self.decline.clicked.connect(self.decline_requested)
        self.notice = self._lay_out_notice()
        self._saved = Line(elide=Qt.TextElideMode.ElideMiddle)
        self._saved.setObjectName("dim")
        self.save_as = QPushButton("Save project as …")
        self.save_as.setObjectName("fold")
        self.save_as.setToolTip("Keep all of this work in another folder, and go on there")
        self.save_as.clicked.connect(self.ask_where)
        self._line = QFrame()
        row = QHBoxLayout(self._line)
        row.setContentsMargins(8, 0, 2, 2)
        row.addWidget(self._saved, 1)
        row.addWidget(self.save_as)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.notice)
        layout.addWidget(self._line)
        self.setVisible(False)

    def _lay_out_notice(self) -> QFrame:
        notice = QFrame()
        notice.setObjectName("notice")
        buttons = QHBoxLayout()
        buttons.setSpacing(14)
        buttons.addWidget(self.go_on)
        buttons.addWidget(self.decline)
        buttons.addStretch(1)
        layout = QVBoxLayout(notice)
        layout.setContentsMargins(10, 6, 8, 6)
        layout.setSpacing(4)
        layout.addWidget(self._text)
        layout.addLayout(buttons)
        return notice

    def show_view(self, view: View) -> None:
        """Show what there is from before, and when the work was saved."""
        work = view.work
        if view.image is not None:
            self._name = view.image.name
            self._folder = Path(view.image.folder) if view.image.folder else Path.home()
        self._show_notice(work)
        self._saved.setText(work.footer)
        self._saved.setToolTip(work.folder)
        self.save_as.setEnabled(work.can_save_as)
        has_line = bool(work.footer) or work.can_save_as
        self._line.setVisible(has_line)
        self.setVisible(has_line or bool(work.offer or work.warning))

    def _show_notice(self, work: WorkView) -> None:
        self._text.setText(breakable(work.warning or work.offer))
        self.notice.setVisible(bool(work.warning or work.offer))
        for button, text in ((self.go_on, work.go_on), (self.decline, work.decline)):
            button.setText(text)
            button.setVisible(not work.warning)
        severity = "warning" if work.warning else "info"
        if self.notice.property("severity") != severity:
            self.notice.setProperty("severity", severity)
            restyle(self.notice)

    def ask_where(self) -> None:
        """Let the person choose another folder for the work."""
        chosen, _ = QFileDialog.getSaveFileName(
            self,
            "Save project as",
            str(self._folder / f"{self._name}{_SUFFIX}"),
            f"Project folder (*{_SUFFIX})",
        )
        if chosen:
            self.save_as_requested.emit(chosen)
