"""Which channel of the image the model gets for each channel it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QPushButton, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_tileseg.session import View


class ChannelRows(QWidget):
    """One row for each channel the model reads; hidden where there is no choice."""

    channels_requested = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        title = QLabel("Channels")
        title.setToolTip("The model gets these channels of the image, in its own order")
        self._form = QFormLayout()
        self._form.setContentsMargins(0, 0, 0, 0)
        self.accept = QPushButton("Use these channels")
        self.accept.setObjectName("plain")
        self.accept.setToolTip("Let the model read the channels chosen above")
        self.accept.clicked.connect(self._announce)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(title)
        layout.addLayout(self._form)
        layout.addWidget(self.accept)
        self.boxes: list[QComboBox] = []
        self._shown: object = None
        self.setVisible(False)

    def show_view(self, view: View) -> None:
        """Show the rows, filled with what the model gets or might get."""
        available = () if view.image is None else view.image.channels
        unsettled = bool(view.misfit) and bool(view.channel_rows)
        shown = (view.channel_rows, available, unsettled)
        if shown == self._shown:
            return
        self._shown = shown
        self.setVisible(bool(view.channel_rows))
        self.accept.setVisible(unsettled)
        while self._form.rowCount():
            self._form.removeRow(0)
        self.boxes = []
        for name, chosen in view.channel_rows:
            box = QComboBox()
            box.addItems(available)
            box.setCurrentIndex(chosen)
            box.setToolTip(f"The channel of the image that the model reads as '{name}'")
            if not unsettled:
                box.activated.connect(self._announce)
            self._form.addRow(f"{name}  ←", box)
            self.boxes.append(box)

    def _announce(self) -> None:
        self.channels_requested.emit(tuple(box.currentIndex() for box in self.boxes))
