"""What a file of bare weights does not say: which network they belong to, and the classes."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_tileseg.engine.spec import Architecture
from napari_tileseg.widgets.text import Text


class WeightsForm(QWidget):
    """An inline form, shown only while a file waits for an answer."""

    weights_requested = Signal(str, object, object)

    def __init__(self) -> None:
        super().__init__()
        self._path = ""
        self._title = Text()
        self.architecture = QComboBox()
        self.architecture.setToolTip("The kind of network that these weights were saved from")
        self.encoder = QLineEdit("resnet34")
        self.encoder.setToolTip("The encoder inside it, by the name its library uses")
        self.channels = QSpinBox()
        self.channels.setRange(1, 64)
        self.channels.setValue(3)
        self.channels.setToolTip("How many channels of an image it reads: 1 for grey, 3 for RGB")
        self.classes = QLineEdit()
        self.classes.setPlaceholderText("background, cell")
        self.classes.setToolTip("The names of the classes in the order of the label values")
        self.load = QPushButton("Load")
        self.load.setObjectName("plain")
        self.load.clicked.connect(self._on_load)
        self.leave = QPushButton("Leave it")
        self.leave.setObjectName("plain")
        self.leave.clicked.connect(lambda: self.setVisible(False))
        self._lay_out()
        self.setVisible(False)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setSpacing(6)
        form.addRow("Network", self.architecture)
        form.addRow("Encoder", self.encoder)
        form.addRow("Channels", self.channels)
        form.addRow("Classes", self.classes)
        buttons = QHBoxLayout()
        buttons.addWidget(self.load, 1)
        buttons.addWidget(self.leave, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 4)
        layout.setSpacing(6)
        layout.addWidget(self._title)
        layout.addLayout(form)
        layout.addLayout(buttons)

    def ask(self, path: str) -> None:
        """Show the form for a file."""
        from napari_tileseg.models.registry import ARCHITECTURES

        self._path = path
        if not self.architecture.count():
            # the form asks for an encoder; the others need more than it can ask for
            asked = [name for name, family in ARCHITECTURES.items() if family.has_encoder]
            self.architecture.addItems(asked)
        self._title.say(f"{Path(path).name} holds weights only. What do they belong to?")
        self.setVisible(True)
        self.classes.setFocus()

    def _on_load(self) -> None:
        names = [name.strip() for name in self.classes.text().split(",") if name.strip()]
        if not names:
            self.classes.setFocus()
            self._title.say("Name the classes, in the order of the label values.")
            return
        arguments = {
            "encoder_name": self.encoder.text().strip(),
            "in_channels": self.channels.value(),
            "classes": len(names),
        }
        self.setVisible(False)
        architecture = Architecture(self.architecture.currentText(), arguments)
        self.weights_requested.emit(self._path, architecture, names)
