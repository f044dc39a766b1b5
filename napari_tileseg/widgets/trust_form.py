"""The question whether a file may run code, asked inline and never by a dialog."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_tileseg.widgets.button import push_button
from napari_tileseg.widgets.text import Text


class TrustForm(QWidget):
    """Shown only while a file waits for an answer; to leave it is the safe one, and comes first."""

    trust_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._path = ""
        self.question = Text("warning")
        self.leave = push_button("Leave it", "plain", "Do not open the file")
        self.leave.clicked.connect(lambda: self.setVisible(False))
        self.trust = push_button(
            "I trust this file",
            "plain",
            "Open the file and run the code in it, as if it were a program you install.\n"
            "Files of exactly this content will not be asked about again on this computer.",
        )
        self.trust.clicked.connect(self._on_trust)
        buttons = QHBoxLayout()
        buttons.addWidget(self.leave, 1)
        buttons.addWidget(self.trust, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 4)
        layout.setSpacing(6)
        layout.addWidget(self.question)
        layout.addLayout(buttons)
        self.setVisible(False)

    def ask(self, path: str, why: str) -> None:
        """Say why the file was not opened, and ask."""
        self._path = path
        self.question.say(why)
        self.setVisible(True)

    def _on_trust(self) -> None:
        self.setVisible(False)
        self.trust_requested.emit(self._path)
