"""Lines in a coordinate system, drawn with Pillow: nothing else is needed on a server."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FINE = 2
"""Drawn at twice the size and scaled down, for smooth lines."""

_TEXT, _GRID, _AXIS = "#333333", "#e6e6e6", "#999999"
_FONT_PX, _TITLE_PX = 15, 19
_TICKS = 5


@dataclass(frozen=True)
class Line:
    """Points (x, y) joined by a line; where y is nan there is a gap."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    width: int = 1
    marked: bool = False


@dataclass(frozen=True)
class Panel:
    """One coordinate system in a picture.

    Attributes
    ----------
    box
        Left, top, right, bottom of the axes in pixels; names of lines stand right of it.
    x_range, y_range
        What the axes span.
    x_label, y_label
        What they count.
    """

    box: tuple[int, int, int, int]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_label: str
    y_label: str

    def drawn(self, picture: Image.Image, lines: Sequence[Line], title: str = "") -> Image.Image:
        """Return the picture with these lines and their axes in it."""
        large = picture.resize((picture.width * _FINE, picture.height * _FINE))
        draw = ImageDraw.Draw(large)
        self._draw_axes(draw)
        for line in lines:
            self._draw_line(draw, line)
        self._draw_names(draw, lines)
        left, top, right, bottom = (_FINE * one for one in self.box)
        draw.text((left, top - 12 * _FINE), title, _TEXT, _font(_TITLE_PX), anchor="ls")
        draw.text(
            ((left + right) / 2, bottom + 30 * _FINE), self.x_label, _TEXT, _font(), anchor="mt"
        )
        _draw_upwards(large, (20 * _FINE, (top + bottom) // 2), self.y_label)
        return large.resize(picture.size, Image.Resampling.LANCZOS)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self.box
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        share_y = min(max((y - y0) / (y1 - y0), 0), 1)
        across = left + (right - left) * (x - x0) / (x1 - x0)
        return _FINE * across, _FINE * (bottom - (bottom - top) * share_y)

    def _draw_axes(self, draw: ImageDraw.ImageDraw) -> None:
        left, top, right, bottom = (_FINE * one for one in self.box)
        for value, text in _ticks(*self.y_range):
            _, y = self._at(0, value)
            draw.line([(left, y), (right, y)], _GRID, _FINE)
            draw.text((left - 8 * _FINE, y), text, _TEXT, _font(), anchor="rm")
        for value, text in _ticks(*self.x_range):
            x, _ = self._at(value, 0)
            draw.line([(x, bottom), (x, bottom + 5 * _FINE)], _AXIS, _FINE)
            draw.text((x, bottom + 9 * _FINE), text, _TEXT, _font(), anchor="mt")
        draw.line([(left, top), (left, bottom), (right, bottom)], _AXIS, _FINE)

    def _draw_line(self, draw: ImageDraw.ImageDraw, line: Line) -> None:
        for part in _unbroken(line.points):
            places = [self._at(*point) for point in part]
            draw.line(places, line.colour, line.width * _FINE, joint="curve")
            if line.marked:
                for x, y in places:
                    radius = (line.width / 2 + 2.5) * _FINE
                    draw.ellipse((x - radius, y - radius, x + radius, y + radius), line.colour)

    def _draw_names(self, draw: ImageDraw.ImageDraw, lines: Sequence[Line]) -> None:
        """Write the name of each line and its last value beside its end, none over another."""
        right = _FINE * self.box[2]
        ends = []
        for line in lines:
            known = [point for point in line.points if not math.isnan(point[1])]
            if known:
                ends.append((self._at(*known[-1])[1], line, known[-1][1]))
        height = 1.25 * _FONT_PX * _FINE
        floor = -math.inf
        for y, line, value in sorted(ends, key=lambda end: end[0]):
            floor = max(y, floor + height)
            x = right + 12 * _FINE
            draw.line([(x, floor), (x + 16 * _FINE, floor)], line.colour, 4 * _FINE)
            text = f"{_short(line.name)}: {value:.3f}"
            draw.text((x + 22 * _FINE, floor), text, _TEXT, _font(), anchor="lm")


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"


def _unbroken(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    part: list[tuple[float, float]] = []
    for point in points:
        if math.isnan(point[1]):
            if part:
                yield part
            part = []
        else:
            part.append(point)
    if part:
        yield part


def _ticks(low: float, high: float) -> Iterator[tuple[float, str]]:
    """Yield round values from low to high, with their text."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda factor: abs(factor * power - rough))
    digits = max(-math.floor(math.log10(step) + 1e-9), 0)
    for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield index * step, f"{index * step:,.{digits}f}"


def _font(size_px: int = _FONT_PX) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px * _FINE)


def _draw_upwards(picture: Image.Image, centre: tuple[int, int], text: str) -> None:
    font = _font()
    *_, right, bottom = font.getbbox(text)
    label = Image.new("L", (int(right) + 2, int(bottom) + 2), 0)
    ImageDraw.Draw(label).text((0, 0), text, 255, font)
    label = label.rotate(90, expand=True)
    place = (centre[0] - label.width // 2, centre[1] - label.height // 2)
    picture.paste(Image.new("RGB", label.size, _TEXT), place, label)
