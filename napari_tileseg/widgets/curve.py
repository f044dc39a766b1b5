"""Two curves while a model learns: the loss, and the Dice of what was set aside."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_tileseg.engine.amounts import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QColor

    from napari_tileseg.session.teaching import Point

_HEIGHT_PX = 150
_SMOOTH = 0.12
_DOT_PX = 2.5
_GAP_PX = 4
_NICE = (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Scale:
    """From values to a length in pixels: `low` at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value lies."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


class Curve(QWidget):
    """Draws the curves itself: no plotting library is needed for two lines.

    Colours come from the style sheet: `color` for text, `alternate-background-color` for the
    grid, `selection-background-color` for the loss and `selection-color` for the Dice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("curve")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Loss: what the network makes small while it learns (lower is better).\n"
            "Dice: how well it finds the classes in what is set aside, which it never learns "
            "from (1 is perfect)."
        )
        self._points: tuple[Point, ...] = ()
        self._losses: list[tuple[float, float]] = []
        self._dices: list[tuple[float, float]] = []

    def sizeHint(self) -> QSize:
        """Return a size that two curves can be told apart in."""
        return QSize(280, _HEIGHT_PX)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest such size."""
        return QSize(160, _HEIGHT_PX)

    def show_points(self, points: tuple[Point, ...]) -> None:
        """Draw these points from now on."""
        if points is self._points:
            return
        self._points = points
        self._losses = [(p.seconds, p.loss) for p in points if p.loss is not None]
        self._dices = [(p.seconds, p.dice) for p in points if p.dice is not None]
        self.setAccessibleName("Loss and Dice while the model learns")
        self.setAccessibleDescription(self._in_words())
        self.update()

    def _in_words(self) -> str:
        said = []
        if self._losses:
            said.append(f"loss {smooth([y for _, y in self._losses])[-1]:.3g}")
        if self._dices:
            said.append(f"Dice {self._dices[0][1]:.3f} at first, {self._dices[-1][1]:.3f} now")
        return ", ".join(said)

    # drawing

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw axes, curves and what they are."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw(painter)
        painter.end()

    def _draw(self, painter: QPainter) -> None:
        metrics = self.fontMetrics()
        line, small = metrics.height(), metrics.horizontalAdvance("0.00")
        right = small + 2 * _GAP_PX if self._dices else _GAP_PX
        area = QRectF(self.rect()).adjusted(
            small + 2 * _GAP_PX, 1.4 * line, -right, -(1.2 * line + _GAP_PX)
        )
        latest = max((p.seconds for p in self._points), default=0.0)
        time = Scale(0, nice_above(max(latest, 1.0), minutes=True), area.left(), area.right())
        self._draw_frame(painter, area, time)
        self._draw_loss(painter, area, time)
        self._draw_dice(painter, area, time)

    def _draw_frame(self, painter: QPainter, area: QRectF, time: Scale) -> None:
        painter.setPen(QPen(self._colour(QPalette.ColorRole.AlternateBase), 1))
        for share in (0, 0.5, 1):
            y = area.top() + share * area.height()
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
        below = QRectF(area.left(), area.bottom() + _GAP_PX, area.width(), self._line_px)
        painter.setPen(self._colour(QPalette.ColorRole.WindowText))
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0 s")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, duration(time.high))
        if not self._points:
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "waiting for the first step …")

    def _draw_loss(self, painter: QPainter, area: QRectF, time: Scale) -> None:
        colour = self._colour(QPalette.ColorRole.Highlight)
        self._legend(painter, "loss", colour, QRectF(0, 0, area.right(), self._line_px), dot=False)
        if not self._losses:
            return
        high = nice_above(max(y for _, y in self._losses))
        scale = Scale(0, high, area.bottom(), area.top())
        self._ticks(painter, scale, QRectF(0, 0, area.left() - _GAP_PX, 0))
        raw = [QPointF(time(x), scale(y)) for x, y in self._losses]
        faint = colour
        faint.setAlpha(90)
        painter.setPen(QPen(faint, 1))
        painter.drawPolyline(QPolygonF(raw))
        means = smooth([y for _, y in self._losses])
        smoothed = [QPointF(at.x(), scale(y)) for at, y in zip(raw, means, strict=True)]
        painter.setPen(QPen(self._colour(QPalette.ColorRole.Highlight), 1.6))
        painter.drawPolyline(QPolygonF(smoothed))

    def _draw_dice(self, painter: QPainter, area: QRectF, time: Scale) -> None:
        if not self._dices:
            return
        colour = self._colour(QPalette.ColorRole.HighlightedText)
        legend = QRectF(0, 0, self.width(), self._line_px)
        self._legend(painter, "Dice, set aside", colour, legend, dot=True)
        low = max(0.0, floor(10 * min(y for _, y in self._dices) - 1) / 10)
        scale = Scale(low, 1, area.bottom(), area.top())
        self._ticks(painter, scale, QRectF(area.right() + _GAP_PX, 0, self.width(), 0))
        spots = [QPointF(time(x), scale(y)) for x, y in self._dices]
        painter.setPen(QPen(colour, 1.6, Qt.PenStyle.DashLine))
        painter.drawPolyline(QPolygonF(spots))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        for spot in spots:
            painter.drawEllipse(spot, _DOT_PX, _DOT_PX)
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def _ticks(self, painter: QPainter, scale: Scale, column: QRectF) -> None:
        """Write the lowest, the middle and the highest value beside the grid."""
        left = column.left() == 0
        flag = Qt.AlignmentFlag.AlignRight if left else Qt.AlignmentFlag.AlignLeft
        painter.setPen(self._colour(QPalette.ColorRole.WindowText))
        for value in (scale.low, (scale.low + scale.high) / 2, scale.high):
            top = scale(value) - self._line_px / 2
            box = QRectF(column.left(), top, column.width(), self._line_px)
            painter.drawText(box, flag | Qt.AlignmentFlag.AlignVCenter, f"{value:.3g}")

    def _legend(
        self, painter: QPainter, text: str, colour: QColor, row: QRectF, *, dot: bool
    ) -> None:
        """Write what a curve is above its own axis, with a piece of its line."""
        width, sample = self.fontMetrics().horizontalAdvance(text), 18
        left = row.right() - width if dot else row.left() + sample + _GAP_PX
        middle = row.center().y()
        start = left - sample - _GAP_PX
        style = Qt.PenStyle.DashLine if dot else Qt.PenStyle.SolidLine
        painter.setPen(QPen(colour, 1.6, style))
        painter.drawLine(QPointF(start, middle), QPointF(start + sample, middle))
        if dot:
            painter.setBrush(colour)
            painter.drawEllipse(QPointF(start + sample / 2, middle), _DOT_PX, _DOT_PX)
            painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(self._colour(QPalette.ColorRole.WindowText))
        box = QRectF(left, row.top(), width + _GAP_PX, row.height())
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, text)

    @property
    def _line_px(self) -> int:
        return int(self.fontMetrics().height())

    def _colour(self, role: QPalette.ColorRole) -> QColor:
        return self.palette().color(role)


def smooth(values: Sequence[float]) -> list[float]:
    """Return a running mean in which newer values count more."""
    means: list[float] = []
    for number, value in enumerate(values, start=1):
        weight = max(_SMOOTH, 1 / number)
        means.append(value if not means else (1 - weight) * means[-1] + weight * value)
    return means


def nice_above(value: float, *, minutes: bool = False) -> float:
    """Return the lowest round number that is not below a value; a time in round minutes."""
    if minutes and value > 60:
        return 60 * nice_above(value / 60) if value > 600 else 60.0 * ceil(value / 60)
    unit = 10.0 ** floor(log10(max(value, 1e-9)))
    return next(step * unit for step in _NICE if step * unit >= value * (1 - 1e-9))
