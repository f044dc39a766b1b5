"""Step 2: which model, what it reads and answers, and whether it fits the image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_tileseg.session.facts import micrometres
from napari_tileseg.widgets.channel_rows import ChannelRows
from napari_tileseg.widgets.text import Text, chips
from napari_tileseg.widgets.trust_form import TrustForm
from napari_tileseg.widgets.weights_form import WeightsForm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QDragEnterEvent, QDropEvent

    from napari_tileseg.engine.spec import ModelSpec
    from napari_tileseg.models.recognised import Recognised
    from napari_tileseg.session import View

BARE_WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".onnx")
"""Files that may leave open which network they hold, or how it is to be used."""

_FILES = (
    "Models (*.safetensors *.onnx *.zip *.pt *.pth *.ckpt *.bin *.pt2 rdf.yaml bioimageio.yaml)"
)


class ModelPanel(QWidget):
    """Shows the models there are and announces which one is wanted."""

    model_requested = Signal(str)
    weights_requested = Signal(str, object, object)
    look_requested = Signal(str)
    leave_requested = Signal()
    trust_requested = Signal(str)
    channels_requested = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.models = QComboBox()
        self.models.setToolTip("The network that segments the image")
        self.models.setAccessibleName("Model")
        policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.models.setSizeAdjustPolicy(policy)
        self.models.activated.connect(self._on_model_chosen)
        self.open_file = QPushButton("Open file …")
        self.open_file.setToolTip(
            "Use a model from a file: .safetensors, .onnx, or weights (.pt, .pth)"
        )
        self.open_file.clicked.connect(self._on_open_file)
        self.open_folder = QPushButton("Open folder …")
        self.open_folder.setToolTip(
            "Use a model folder written by segmentation_models_pytorch, or a package of bioimage.io"
        )
        self.open_folder.clicked.connect(self._on_open_folder)
        self._expects = Text("dim")
        self._classes = Text()
        self._note = Text("warning")
        self._misfit = Text("warning")
        self.channel_rows = ChannelRows()
        self.channel_rows.channels_requested.connect(self.channels_requested)
        self.weights_form = WeightsForm()
        self.weights_form.weights_requested.connect(self.weights_requested)
        self.weights_form.leave.clicked.connect(self.leave_requested)
        self.trust_form = TrustForm()
        self.trust_form.trust_requested.connect(self.trust_requested)
        self.setAcceptDrops(True)
        self._lay_out()
        self._spec: ModelSpec | None = None

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button in (self.open_file, self.open_folder):
            button.setObjectName("plain")
            buttons.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.models)
        layout.addLayout(buttons)
        for widget in (
            self.weights_form,
            self.trust_form,
            self._expects,
            self._classes,
            self._note,
            self._misfit,
            self.channel_rows,
        ):
            layout.addWidget(widget)

    def show_models(self, bundled: Sequence[str], recent: Sequence[str]) -> None:
        """List the models by name, and the files and folders used lately."""
        chosen = self.models.currentData() or ""
        self.models.clear()
        self.models.addItem("Choose a model …", "")
        for name in bundled:
            self.models.addItem(name, name)
        if recent:
            self.models.insertSeparator(self.models.count())
        for path in recent:
            self.models.addItem(Path(path).name, path)
            last = self.models.count() - 1
            self.models.setItemData(last, path, Qt.ItemDataRole.ToolTipRole)

        self._choose(chosen)

    def show_view(self, view: View) -> None:
        """Say what the chosen model reads and answers, and whether it fits."""
        self.setEnabled(not view.busy and not view.loading)
        self._choose(view.loading or view.origin)
        if view.spec is not self._spec:
            self._spec = view.spec
            self._describe(view.spec)
        self._note.say(view.model_note)
        self._misfit.say(view.misfit)
        self.channel_rows.show_view(view)

    def _choose(self, source: str) -> None:
        index = self.models.findData(source)
        if index < 0:
            self.models.addItem(Path(source).name, source)
            index = self.models.count() - 1
        if index != self.models.currentIndex():
            self.models.setCurrentIndex(index)

    def _describe(self, spec: ModelSpec | None) -> None:
        if spec is None:
            self._expects.say("")
            self._classes.say("")
            return
        parts = [f"Reads {_listed(spec.channels)}"]
        if spec.pixel_size_um is not None:
            parts.append(f"trained at {micrometres(spec.pixel_size_um)}")
        self._expects.say(" · ".join(parts))
        self._classes.say(chips((one.name, one.colour) for one in spec.classes))

    def _on_model_chosen(self, index: int) -> None:
        source = self.models.itemData(index)
        if source:
            self.model_requested.emit(source)

    def _on_open_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a model", "", _FILES)
        if path:
            self.open(path)

    def _on_open_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a model folder")
        if path:
            self.open(path)

    def open(self, path: str) -> None:
        """Ask for a file or folder; for bare weights, ask first what network they belong to.

        Whether a file holds bare weights is looked up inside it; where its name makes it likely,
        the question is there at once.
        """
        self.trust_form.setVisible(False)
        self.weights_form.setVisible(False)
        if not Path(path).is_file():  # a folder; or nothing, which will be said
            self.model_requested.emit(path)
            return
        if Path(path).suffix.lower() in BARE_WEIGHTS:
            self.weights_form.ask(path)
        self.look_requested.emit(path)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Take a file or folder that is dragged here."""
        if event is not None and _dropped(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Open what was dropped."""
        if event is not None:
            event.acceptProposedAction()
            self.open(_dropped(event))

    def show_found(self, path: str, found: Sequence[Recognised] | None) -> None:
        """Fill in what the weights told; a file that says all about itself needs no question."""
        if found is None:
            self.weights_form.setVisible(False)
            self.model_requested.emit(path)
            return
        if not self.weights_form.asks_about(path):
            self.weights_form.ask(path)
        self.weights_form.show_found(found)

    def ask_for_trust(self, path: str, why: str) -> None:
        """Ask whether a file may run code."""
        self.weights_form.setVisible(False)
        self.trust_form.ask(path, why)


def _dropped(event: QDropEvent) -> str:
    """Return the one file or folder that is dragged; empty if it is something else."""
    data = event.mimeData()
    paths = [one.toLocalFile() for one in data.urls()] if data is not None else []
    return paths[0] if len(paths) == 1 else ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
