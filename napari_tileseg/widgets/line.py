"""A text on one line that ends in "…", or is shortened in its middle, where there is no room."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QLabel


class Line(QLabel):
    """Shortens its text while it paints, when font and width are known; `text()` is all of it.

    Parameters
    ----------
    text
        What it says at first.
    elide
        Where a long text is shortened.
    """

    def __init__(
        self, text: str = "", elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight
    ) -> None:
        super().__init__(text)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self._elide = elide

    def minimumSizeHint(self) -> QSize:
        """Return the size of the dots alone."""
        return QSize(self.fontMetrics().horizontalAdvance("…"), super().minimumSizeHint().height())

    def shown_text(self) -> str:
        """Return what there is room for."""
        return str(
            self.fontMetrics().elidedText(self.text(), self._elide, self.contentsRect().width())
        )

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint what there is room for."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(self.contentsRect(), self.alignment(), self.shown_text())
        painter.end()
