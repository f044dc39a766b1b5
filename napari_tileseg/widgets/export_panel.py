"""Step 4: the labels into a file that the next tool can read."""

from __future__ import annotations

import os
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

from napari_tileseg.widgets.line import Line
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
        self.name = QLineEdit()
        self.name.setToolTip("The name of the file; a whole path is fine too")
        self.name.textEdited.connect(self._follow_suffix)
        self.name.textChanged.connect(self._show_place)
        self._browse = QPushButton("…")
        self._browse.setObjectName("plain")
        self._browse.setToolTip("Choose the folder and the name")
        self._browse.setFixedWidth(34)
        self._browse.clicked.connect(self._on_browse)
        self.export = QPushButton("Export")
        self.export.setObjectName("plain")
        self.export.setToolTip("Write the labels with class names, colours and pixel size")
        self.export.clicked.connect(self._on_export)
        self._folder = Line(elide=Qt.TextElideMode.ElideMiddle)
        self._folder.setObjectName("dim")
        self.replaces = Text("dim")
        self._result = Text("dim")
        self._suggested = ""
        self._suggested_in = self._in = Path.home()
        self._show_place()
        self._lay_out()

    def _lay_out(self) -> None:
        file_row = QHBoxLayout()
        file_row.setSpacing(6)
        file_row.addWidget(self.name, 1)
        file_row.addWidget(self._browse)
        form = QFormLayout()
        form.setSpacing(6)
        form.addRow("Format", self.format)
        form.addRow("File", file_row)
        form.addRow("", self._folder)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(form)
        layout.addWidget(self.replaces)
        layout.addWidget(self.export)
        layout.addWidget(self._result)

    def show_view(self, view: View) -> None:
        """Suggest a file and say what was written last."""
        self.export.setEnabled(view.can_export)
        self._result.say(view.export_result)
        if view.image is not None:
            self._suggest_folder(Path(view.image.folder) if view.image.folder else Path.home())
            self._suggest(view.image.name)
        self._show_place()

    @property
    def path(self) -> Path | None:
        """Where the labels are to be written; None without a name."""
        name = self.name.text().strip()
        if not name:
            return None
        return self._in / with_suffix(name, self.format.currentData())

    def _show_place(self) -> None:
        folder = self._in if self.path is None else self.path.parent
        self._folder.setText(f"in {folder}")
        self._folder.setToolTip(str(folder))
        # unlike Path, os.path answers also for names that no file can have
        there = self.path is not None and os.path.isfile(self.path)  # noqa: PTH113
        self.replaces.say("Replaces the file of this name that exists." if there else "")

    def _suggest_folder(self, folder: Path) -> None:
        """Go to the folder of an image, unless somebody has chosen another one."""
        if self._in == self._suggested_in:
            self._in = folder
        self._suggested_in = folder

    def _suggest(self, image: str) -> None:
        stem = "".join(letter if letter not in '/\\:*?"<>|' else "_" for letter in image)
        suggested = f"{stem}_labels{self.format.currentData()}"
        if suggested != self._suggested and self.name.text() in ("", self._suggested):
            self.name.setText(suggested)
            self.name.setCursorPosition(0)
        self._suggested = suggested

    def _follow_suffix(self, name: str) -> None:
        for suffix, _, _ in FORMATS:
            if name.lower().endswith(suffix):
                self.format.setCurrentIndex(self.format.findData(suffix))

    def _on_format(self) -> None:
        self.name.setText(with_suffix(self.name.text(), self.format.currentData()))

    def _on_browse(self) -> None:
        filters = ";;".join(f"{name} (*{suffix})" for suffix, name, _ in FORMATS)
        suffix, name, _ = FORMATS[self.format.currentIndex()]
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Export labels", str(self.path or self._in), filters, f"{name} (*{suffix})"
        )
        if chosen:
            self._follow_suffix(chosen)
            self._in = Path(chosen).parent
            self.name.setText(Path(chosen).name)

    def _on_export(self) -> None:
        if self.path is None:
            self.name.setFocus()
        else:
            self.export_requested.emit(str(self.path))


def with_suffix(path: str, suffix: str) -> str:
    """Return a path that ends in `suffix`, whichever of the formats it ended in before."""
    for known, _, _ in FORMATS:
        if path.lower().endswith(known):
            return path[: -len(known)] + suffix
    return path + suffix if path else path
