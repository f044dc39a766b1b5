"""A line for each epoch of a training: loss, score, and which one was the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_tileseg.engine.amounts import duration

if TYPE_CHECKING:
    from napari_tileseg.session.folder_training import EpochRow

_COLUMNS = ("Epoch", "Time", "Loss", "mIoU", "")
_LINES = 7


class EpochTable(QTableWidget):
    """The newest epoch is at the bottom, and in sight."""

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        self.setHorizontalHeaderLabels(_COLUMNS)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setShowGrid(False)
        self.setAccessibleName("Epochs")
        self.setToolTip(
            "Loss: what the network makes small. mIoU: how well it finds the classes in the "
            "images that it does not learn from (1 is perfect)."
        )
        sideways, down = self.horizontalHeader(), self.verticalHeader()
        assert sideways is not None, "a table has headers"
        assert down is not None, "a table has headers"
        sideways.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        down.setVisible(False)
        down.setDefaultSectionSize(self.fontMetrics().height() + 4)
        self._rows: tuple[EpochRow, ...] = ()

    def sizeHint(self) -> QSize:
        """Return a size that some lines can be read in."""
        return QSize(280, (_LINES + 1) * (self.fontMetrics().height() + 6))

    def show_rows(self, rows: tuple[EpochRow, ...]) -> None:
        """Show these lines; those that have not changed are left as they are."""
        if rows == self._rows:
            return
        before, self._rows = self._rows, rows
        self.setRowCount(len(rows))
        for index, row in enumerate(rows):
            if index >= len(before) or before[index] != row:
                self._show_row(index, row)
        if len(rows) != len(before):
            self.scrollToBottom()

    def _show_row(self, index: int, row: EpochRow) -> None:
        texts = (
            str(row.epoch),
            duration(row.seconds),
            "–" if row.loss is None else f"{row.loss:.3f}",
            "" if row.miou is None else f"{row.miou:.3f}",
            "★ best" if row.best else "",
        )
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            self.setItem(index, column, item)
