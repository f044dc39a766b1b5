"""What a file of bare weights does not say: which network they belong to, and the classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
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
from napari_tileseg.errors import SettingsError
from napari_tileseg.models.arguments import read_arguments
from napari_tileseg.models.onnx_family import NAME as ONNX
from napari_tileseg.models.recognised import NORMALISATION
from napari_tileseg.widgets import intensities
from napari_tileseg.widgets.button import push_button
from napari_tileseg.widgets.text import Text
from napari_tileseg.widgets.tries_grid import TriesGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_tileseg.models.recognised import Recognised
    from napari_tileseg.viewer.tries import Try

_OPTIONS = "upsampling=bilinear depth=3"
_OPTIONS_OF_ONNX = "answers=sigmoid"
_TRYING = "Trying each on the view …"


class WeightsForm(QWidget):
    """An inline form, shown only while a file waits for an answer."""

    weights_requested = Signal(str, object, object)
    try_requested = Signal(str, object, object)

    def __init__(self) -> None:
        super().__init__()
        self._path = ""
        self._is_binary = False
        self._tried: tuple[str, ...] = ()
        self._title = Text()
        self.architecture = QComboBox()
        self.architecture.setToolTip("The kind of network that these weights were saved from")
        self.architecture.currentTextChanged.connect(self._on_architecture)
        self.encoder = QLineEdit("resnet34")
        self.encoder.setToolTip("The encoder inside it, by the name its library uses")
        self.channels = QSpinBox()
        self.channels.setRange(1, 64)
        self.channels.setValue(3)
        self.channels.setToolTip("How many channels of an image it reads: 1 for grey, 3 for RGB")
        self.classes = QLineEdit()
        self.classes.setPlaceholderText("background, cell")
        self.classes.setToolTip("The names of the classes in the order of the label values")
        self.intensities = QComboBox()
        self.intensities.addItem("As usual for the network", "")
        for kind, label in intensities.NAMES.items():
            self.intensities.addItem(label, kind.value)
        self.intensities.setToolTip(
            "How pixel values are scaled before the network sees them: as when it was trained.\n"
            "If all labels are wrong, this is the first thing to try."
        )
        self.intensities.currentIndexChanged.connect(self._on_intensity)
        self.tries = TriesGrid(intensities.SHORT)
        self.tries.kind_chosen.connect(self._on_try_chosen)
        self.try_each = push_button(
            "Try each intensity on the view",
            "plain",
            "See what the network would say about the middle of the view, for each way to scale\n"
            "intensities. Nothing is loaded or changed yet.",
        )
        self.try_each.clicked.connect(self._on_try)
        self.options = QLineEdit()
        self.options.setPlaceholderText(_OPTIONS)
        self.options.setToolTip(
            "What else the network was built with, if it was not as usual, like\n"
            "decoder_channels=[128,64,32,16,8]. 'tileseg models NAME' lists what there is.\n"
            "Of an ONNX network: answers=logits, sigmoid or softmax."
        )
        self.load = QPushButton("Load")
        self.load.setObjectName("plain")
        self.load.clicked.connect(self._on_load)
        self.leave = QPushButton("Leave it")
        self.leave.setObjectName("plain")
        self.leave.clicked.connect(lambda: self.setVisible(False))
        for changed in (
            self.architecture.currentTextChanged,
            self.encoder.textEdited,
            self.channels.valueChanged,
            self.classes.textEdited,
            self.options.textEdited,
        ):
            changed.connect(self._forget_tries)
        self._lay_out()
        self.setVisible(False)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setSpacing(6)
        form.addRow("Network", self.architecture)
        form.addRow("Encoder", self.encoder)
        form.addRow("Channels", self.channels)
        form.addRow("Classes", self.classes)
        form.addRow("Intensity", self.intensities)
        form.addRow("Options", self.options)
        buttons = QHBoxLayout()
        buttons.addWidget(self.load, 1)
        buttons.addWidget(self.leave, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 4)
        layout.setSpacing(6)
        layout.addWidget(self._title)
        layout.addLayout(form)
        layout.addWidget(self.try_each)
        layout.addWidget(self.tries)
        layout.addLayout(buttons)

    def ask(self, path: str) -> None:
        """Show the form for a file."""
        from napari_tileseg.models.registry import ARCHITECTURES

        self._path = path
        self._is_binary = False
        self.intensities.setCurrentIndex(0)
        self.tries.say("")
        self.try_each.setEnabled(True)
        if not self.architecture.count():
            for name, family in ARCHITECTURES.items():
                self.architecture.addItem(name, family.has_encoder)
                row = self.architecture.count() - 1
                self.architecture.setItemData(row, family.summary, Qt.ItemDataRole.ToolTipRole)
        self._title.say(f"{Path(path).name} holds weights only. What do they belong to?")
        self.setVisible(True)
        self.classes.setFocus()

    def asks_about(self, path: str) -> bool:
        """Tell whether this file still waits for an answer."""
        return self._path == path and not self.isHidden()

    def show_found(self, found: Sequence[Recognised]) -> None:
        """Fill in what the weights told, and say in a sentence what they did not."""
        name = Path(self._path).name
        if len(found) != 1:
            known = "fit several networks" if found else "fit no network that is known here"
            self._title.say(f"The weights in {name} {known}. What do they belong to?")
            return
        (one,) = found
        outputs = one.arguments.get("classes", 1)
        self._is_binary = outputs == 1
        if self.architecture.findText(one.name) < 0:  # only this file can bring it along
            self.architecture.addItem(one.name, False)
        self.architecture.setCurrentText(one.name)
        self.encoder.setText(one.arguments.get("encoder_name", ""))
        self.channels.setValue(one.arguments.get("in_channels", 3))
        if not self.classes.text():
            classes = [f"class {number}" for number in range(1, max(outputs, 2))]
            self.classes.setText(", ".join(["background", *classes]))
        self._title.say(f"{name} is {one.in_words()}. {one.assumptions()}")

    def _on_architecture(self) -> None:
        self.encoder.setEnabled(bool(self.architecture.currentData()))
        is_onnx = self.architecture.currentText() == ONNX
        self.options.setPlaceholderText(_OPTIONS_OF_ONNX if is_onnx else _OPTIONS)

    def show_tries(self, path: str, tries: Sequence[Try] | str) -> None:
        """Show what comes of each way to scale intensities, or say why there is nothing to see."""
        if not self.asks_about(path):
            return
        self.try_each.setEnabled(True)
        if self._tried != self._said():
            self.tries.say("")  # of something else than what is filled in by now
        elif isinstance(tries, str):
            self.tries.say(tries)
        else:
            self.tries.show_tries(tries)
            self.tries.mark(self.intensities.currentData())

    def _on_try(self) -> None:
        said = self._architecture()
        if said is None:
            return
        said.arguments.pop(NORMALISATION, None)
        self.try_each.setEnabled(False)
        self._tried = self._said()
        self.tries.say(_TRYING)
        self.try_requested.emit(self._path, said, self._names() or None)

    def _forget_tries(self) -> None:
        if self._tried != self._said():
            self.tries.say("")

    def _said(self) -> tuple[str, ...]:
        """Return all that pictures depend on."""
        return (
            self._path,
            self.architecture.currentText(),
            self.encoder.text(),
            self.channels.text(),
            self.classes.text(),
            self.options.text(),
        )

    def _on_try_chosen(self, kind: str) -> None:
        self.intensities.setCurrentIndex(self.intensities.findData(kind))

    def _on_intensity(self) -> None:
        self.tries.mark(self.intensities.currentData())

    def _on_load(self) -> None:
        names = self._names()
        if not names:
            self.classes.setFocus()
            self._title.say("Name the classes, in the order of the label values.")
            return
        said = self._architecture()
        if said is not None:
            self.setVisible(False)
            self.weights_requested.emit(self._path, said, names)

    def _names(self) -> list[str]:
        return [name.strip() for name in self.classes.text().split(",") if name.strip()]

    def _architecture(self) -> Architecture | None:
        """Return what is filled in; None, and the reason is said, if it cannot be read."""
        try:
            more = read_arguments(self.options.text().split())
        except SettingsError as error:
            self.options.setFocus()
            self._title.say(str(error))
            return None
        names = self._names()
        outputs = 1 if self._is_binary and len(names) <= 2 else len(names)
        arguments = {"in_channels": self.channels.value(), **more}
        if names:
            arguments.setdefault("classes", outputs)
        if self.intensities.currentData():
            arguments[NORMALISATION] = self.intensities.currentData()
        if self.encoder.isEnabled():
            arguments.setdefault("encoder_name", self.encoder.text().strip())
        return Architecture(self.architecture.currentText(), arguments)
