"""Which folders to learn from, and where to start: the upper half of "Train from Folders"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_tileseg.io.layouts import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_tileseg.session.folder_training import FolderView

_FOLDERS = {
    "images": ("Images", "The folder of the images to learn from"),
    "masks": ("Masks", "The folder of their masks: class indices or colours, 255 is unknown"),
    "val_images": (
        "Images to judge by",
        "Images that it does not learn from; the best model is chosen by them. Can be left empty",
    ),
    "val_masks": ("Their masks", "The folder of the masks of these images"),
}
_NEW = "A new network"
_WHOLE = "For VOC and Cityscapes: the folder that holds everything"


class FolderForm(QWidget):
    """Rows for folders, the model to start from and the names of the classes.

    Attributes
    ----------
    requested
        Emits a field of `FolderChoice` and the value that is wanted.
    """

    requested = Signal(str, object)

    def __init__(self) -> None:
        super().__init__()
        self.layouts = QComboBox()
        self.layouts.setAccessibleName("Layout")
        for one in Layout:
            self.layouts.addItem(one.label, one)
            self.layouts.setItemData(self.layouts.count() - 1, one.help, 3)
        self.layouts.setToolTip("How the folders are laid out")
        self.folders = {name: _FolderRow(tip) for name, (_, tip) in _FOLDERS.items()}
        self.bases = QComboBox()
        self.bases.setAccessibleName("Start from")
        self.bases.setToolTip("What to start from: nothing, or a model that is improved")
        policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.bases.setSizeAdjustPolicy(policy)
        self.classes = QLineEdit()
        self.classes.setAccessibleName("Classes")
        self.classes.setPlaceholderText("background, cell")
        self.classes.setToolTip(
            "The names of the classes in the order of the mask values; empty: as the masks or "
            "the model say"
        )
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        self._form = form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(6)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Layout", self.layouts)
        for name, (label, _) in _FOLDERS.items():
            form.addRow(label, self.folders[name])
            self.folders[name].path.setAccessibleName(label)
        form.addRow("Start from", self.bases)
        form.addRow("Classes", self.classes)

    def _connect(self) -> None:
        self.layouts.activated.connect(
            lambda index: self.requested.emit("layout", self.layouts.itemData(index))
        )
        self.bases.activated.connect(
            lambda index: self.requested.emit("base", self.bases.itemData(index))
        )
        self.classes.editingFinished.connect(
            lambda: self.requested.emit("classes", self.classes.text())
        )
        for name, row in self.folders.items():
            row.chosen.connect(lambda path, name=name: self.requested.emit(name, path))

    def labels(self) -> list[QLabel]:
        """Return what is written before the rows."""
        rows = (self.layouts, *self.folders.values(), self.bases, self.classes)
        found = [self._form.labelForField(row) for row in rows]
        return [label for label in found if isinstance(label, QLabel)]

    def show_models(self, bundled: Sequence[str], recent: Sequence[str]) -> None:
        """List what a training can start from."""
        self.bases.clear()
        self.bases.addItem(_NEW, "")
        for name in bundled:
            self.bases.addItem(name, name)
        for path in recent:
            self.bases.addItem(Path(path).name, path)

    def show_view(self, view: FolderView) -> None:
        """Show what is chosen."""
        choice = view.choice
        self.setEnabled(not view.working)
        self.layouts.setCurrentIndex(self.layouts.findData(choice.layout))
        self.bases.setCurrentIndex(max(0, self.bases.findData(choice.base)))
        if not self.classes.hasFocus():
            self.classes.setText(choice.classes)
        for name, row in self.folders.items():
            row.show_path(getattr(choice, name))
            if name != "images":
                self._form.setRowVisible(row, view.has_masks)
        self.folders["images"].setToolTip(_FOLDERS["images"][1] if view.has_masks else _WHOLE)


class _FolderRow(QWidget):
    """A path that can be typed, dropped or chosen."""

    chosen = Signal(str)

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.setToolTip(tooltip)
        self.path = QLineEdit()
        self.path.setPlaceholderText("choose a folder …")
        self.path.editingFinished.connect(self._on_typed)
        self.browse = QPushButton("…")
        self.browse.setObjectName("plain")
        self.browse.setFixedWidth(32)
        self.browse.setAccessibleName(tooltip)
        self.browse.clicked.connect(self._on_browse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.path, 1)
        layout.addWidget(self.browse)

    def show_path(self, path: str) -> None:
        if path != self.path.text() and not self.path.hasFocus():
            self.path.setText(path)

    def _on_typed(self) -> None:
        self.chosen.emit(self.path.text().strip())

    def _on_browse(self) -> None:
        path = QFileDialog.getExistingDirectory(self, self.toolTip(), self.path.text())
        if path:
            self.path.setText(path)
            self.chosen.emit(path)
