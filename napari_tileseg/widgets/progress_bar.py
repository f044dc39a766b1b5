"""A thin bar that shows how far a run is."""

from __future__ import annotations

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QWidget

_HEIGHT_PX = 8


class ProgressBar(QWidget):
    """The share that is done, in colours of the style sheet.

    Qt's own bar paints the whole window at once with every new value, canvas included; this one
    waits for the next paint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("bar")
        self.setFixedHeight(_HEIGHT_PX)
        self._share = 0.0

    @property
    def share(self) -> float:
        """What is done, 0 to 1."""
        return self._share

    def set_share(self, share: float) -> None:
        """Show another share, 0 to 1."""
        if share != self._share:
            self._share = share
            self.setAccessibleDescription(f"{int(100 * share)} %")
            self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the groove, and the part that is done."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        radius = self.height() / 2
        groove = QRectF(self.rect())
        painter.setBrush(self.palette().color(QPalette.ColorRole.Highlight))
        painter.drawRoundedRect(groove, radius, radius)
        painter.setBrush(self.palette().color(QPalette.ColorRole.WindowText))
        groove.setWidth(max(2 * radius, groove.width() * self._share) if self._share else 0)
        painter.drawRoundedRect(groove, radius, radius)
