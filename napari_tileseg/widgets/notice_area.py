"""The status area: what happened, what is kept, what to do; never a dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout

from napari_tileseg.session import Notice, Severity
from napari_tileseg.widgets.button import link_button
from napari_tileseg.widgets.style import restyle
from napari_tileseg.widgets.text import breakable

if TYPE_CHECKING:
    from napari_tileseg.session import View

_WORDS = {Severity.INFO: "", Severity.WARNING: "Please note", Severity.ERROR: "Problem"}


class NoticeArea(QFrame):
    """A frame that is there only while there is something to say."""

    dismiss_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("notice")
        self._shown: Notice | None = None
        self._word = QLabel()
        self._word.setObjectName("stepTitle")
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy_button = link_button(
            "Copy details", "Copy a report to send to somebody who can help"
        )
        self.copy_button.clicked.connect(self._on_copy)
        self.dismiss_button = link_button("Dismiss", "Hide this message")
        self.dismiss_button.clicked.connect(self.dismiss_requested)
        buttons = QHBoxLayout()
        buttons.setSpacing(14)
        buttons.addWidget(self.copy_button)
        buttons.addWidget(self.dismiss_button)
        buttons.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 6, 8, 6)
        layout.setSpacing(4)
        layout.addWidget(self._word)
        layout.addWidget(self._text)
        layout.addLayout(buttons)
        self.setVisible(False)

    def show_view(self, view: View) -> None:
        """Show the message of the session, if it has one."""
        notice = view.notice
        if notice == self._shown:
            return
        self._shown = notice
        self.setVisible(notice is not None)
        if notice is None:
            return
        self._word.setText(_WORDS[notice.severity])
        self._word.setVisible(bool(_WORDS[notice.severity]))
        self._text.setText(breakable(notice.text))
        self.copy_button.setText("Copy details")
        self.copy_button.setVisible(bool(notice.details))
        self.setProperty("severity", notice.severity.value)
        restyle(self)

    def _on_copy(self) -> None:
        clipboard = QGuiApplication.clipboard()
        if self._shown is not None and clipboard is not None:
            clipboard.setText(f"{self._shown.text}\n\n{self._shown.details}")
            self.copy_button.setText("Copied")
