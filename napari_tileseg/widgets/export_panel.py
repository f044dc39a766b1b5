"""Step 4: the labels into a file that the next tool can read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_tileseg.widgets.text import Text

if TYPE_CHECKING:
    from napari_tileseg.session import View

FORMATS = (
    (".ome.tif", "OME-TIFF", "for QuPath, Fiji and others: with class names and pixel size"),
    (".png", "PNG with palette", "a picture in the colours of the classes; its values are theirs"),
)


class ExportPanel(QWidget):
    """Shows where labels go and announces that they should."""

    export_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.format = QComboBox()
        for index, (suffix, name, help_text) in enumerate(FORMATS):
            self.format.addItem(f"{name} ({suffix})", suffix)
            self.format.setItemData(index, help_text, Qt.ItemDataRole.ToolTipRole)
        self.format.setToolTip("The kind of file")
        self.format.activated.connect(self._on_format)
        self.path = QLineEdit()
        self.path.setToolTip("Where the labels are written; an existing file is replaced at once")
        self.path.textEdited.connect(self._on_path_edited)
        self._browse = QPushButton("…")
        self._browse.setObjectName("plain")
        self._browse.setToolTip("Choose the folder and the name")
        self._browse.setFixedWidth(32)
        self._browse.clicked.connect(self._on_browse)
        self.export = QPushButton("Export")
        self.export.setObjectName("plain")
        self.export.setToolTip("Write the labels with class names, colours and pixel size")
        self.export.clicked.connect(self._on_export)
        self._result = Text("dim")
        self._suggested = ""
        self._lay_out()

    def _lay_out(self) -> None:
        file_row = QHBoxLayout()
        file_row.setSpacing(6)
        file_row.addWidget(self.path, 1)
        file_row.addWidget(self._browse)
        form = QFormLayout()
        form.setSpacing(6)
        form.addRow("Format", self.format)
        form.addRow("File", file_row)
        layout = QVBoxLayout(self)
        layout.setSpacing(6)
        layout.addLayout(form)
        layout.addWidget(self.export)
        layout.addWidget(self._result)

    def show_view(self, view: View) -> None:
        """Suggest a file and say what was written last."""
        self.export.setEnabled(view.can_export)
        self._result.say(view.export_result)
        if view.image is not None:
            self._suggest(view.image.name)

    def _suggest(self, name: str) -> None:
        suffix = self.format.currentData()
        suggested = str(Path.home() / f"{Path(name).stem or 'image'}_labels{suffix}")
        if suggested != self._suggested and self.path.text() in ("", self._suggested):
            self.path.setText(suggested)
        self._suggested = suggested

    def _on_path_edited(self, _text: str) -> None:
        self._follow_suffix(self.path.text())

    def _follow_suffix(self, path: str) -> None:
        for suffix, _, _ in FORMATS:
            if path.lower().endswith(suffix):
                self.format.setCurrentIndex(self.format.findData(suffix))

    def _on_format(self) -> None:
        self.path.setText(with_suffix(self.path.text(), self.format.currentData()))

    def _on_browse(self) -> None:
        filters = ";;".join(f"{name} (*{suffix})" for suffix, name, _ in FORMATS)
        chosen = f"{FORMATS[self.format.currentIndex()][1]} (*{self.format.currentData()})"
        path, _ = QFileDialog.getSaveFileName(
            self, "Export labels", self.path.text(), filters, chosen
        )
        if path:
            self.path.setText(path)
            self._follow_suffix(path)

    def _on_export(self) -> None:
        path = self.path.text().strip()
        if path:
            self.export_requested.emit(with_suffix(path, self.format.currentData()))


def with_suffix(path: str, suffix: str) -> str:
    """Return a path that ends in `suffix`, whichever of the formats it ended in before."""
    for known, _, _ in FORMATS:
        if path.lower().endswith(known):
            return path[: -len(known)] + suffix
    return path + suffix if path else path
