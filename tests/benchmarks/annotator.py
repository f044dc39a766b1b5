"""A scripted person who corrects labels on the canvas with the mouse, as a person would."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours
from viewer_streaming import click, spin_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Place = tuple[slice, slice]
    Mask = NDArray[np.bool_]
    Path = NDArray[np.int64]
    """(n, 2): the pixels that the mouse goes to, one after the other, in the image."""

LEFT, RIGHT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.NoButton
MARGIN_PX = 12
ENOUGH = 0.995
MOVE_MS, REST_MS = 11, 7
"""Moves that come within 10 ms of one another vispy drops; within 5 ms of the end, napari does."""
STOP_PX = 1.8
"""A stroke of the right mouse button ends where it comes back so near to where it began."""
TOLERANCE_PX = 0.25
"""The mouse goes straight on where that leaves the outline by no more."""
INSIDE = 0.25
"""Off the middle of a pixel: napari rounds where it draws a line, but cuts off where it fills."""
EIGHT = np.ones((3, 3), np.bool_)


class Annotator:
    """Looks at a place, paints what is wrong there, and marks it as reviewed.

    Attributes
    ----------
    strokes
        How many strokes were painted.
    """

    def __init__(self, viewer, dock) -> None:
        self._viewer, self._dock = viewer, dock
        self._canvas = viewer.window._qt_viewer.canvas.native
        self.strokes = 0

    @property
    def layer(self):
        return self._dock.controller.chosen.results.front

    def look_at(self, place: Place) -> None:
        """Let a place fill the canvas, with a small margin."""
        middle = [(axis.start + axis.stop - 1) / 2 for axis in place]
        longest = max(axis.stop - axis.start for axis in place)
        self._viewer.scene.camera.center = (0, *middle)
        self._viewer.scene.camera.zoom = min(self._viewer.canvas.size) / (longest + MARGIN_PX)
        spin_until(lambda: False, 0.3)

    def _spot(self, y: float, x: float) -> QPoint:
        height, width = self._viewer.canvas.size
        _, cy, cx = self._viewer.scene.camera.center
        zoom = self._viewer.scene.camera.zoom
        return QPoint(round((x - cx) * zoom + width / 2), round((y - cy) * zoom + height / 2))

    def correct(self, place: Place, truth: NDArray[np.uint8]) -> float:
        """Fill a place in view with its largest thing, then draw around what else is in it.

        What is left wrong then is painted over, the longest stretches first, until `ENOUGH` of
        the place is right.

        Returns
        -------
        The share of the pixels of the place that are right now.
        """
        self.layer.mode = "paint"
        self.layer.brush_size = 1
        for number, (label, thing) in enumerate(things(truth[place])):
            if (self.layer.data[place][thing] != label).any():
                self._dock.controller.classes.select(label)
                path = outline(thing if number else np.ones_like(thing), place)
                if path is None or not self._encircle(path):
                    self._touch_up(place, thing, label)
        self._look_again(place, truth[place])
        self.layer.mode = "pan_zoom"
        return self._right(place, truth[place])

    def _right(self, place: Place, truth: NDArray[np.uint8]) -> float:
        return float((self.layer.data[place] == truth).mean())

    def _look_again(self, place: Place, truth: NDArray[np.uint8]) -> None:
        left = [
            (row, first, last, label)
            for label in np.unique(truth).tolist()
            for row, first, last in runs((truth == label) & (self.layer.data[place] != label))
        ]
        for row, first, last, label in sorted(left, key=lambda run: run[1] - run[2]):
            if self._right(place, truth) >= ENOUGH:
                return
            self._dock.controller.classes.select(label)
            self._paint_run(place, row, first, last)

    def _encircle(self, path: Path) -> bool:
        """Draw around a thing and fill it: press the right button, and come back to the start."""
        spots = [self._spot(*pixel) for pixel in path + INSIDE]
        self._press(spots[0], RIGHT)
        self._release(spots[0], RIGHT)
        # in software, painting the canvas after each move would take longer than the moves
        self._canvas.setUpdatesEnabled(False)
        for spot in (*spots[1:], spots[0]):
            self._move(spot)
        self._canvas.setUpdatesEnabled(True)
        self._look()
        drawing = self.layer._overlays["brush_stroke"]
        if drawing.active:
            drawing.abort(self.layer)
            return False
        return True

    def _touch_up(self, place: Place, thing: Mask, label: int) -> None:
        """Paint the pixels of a thing that are wrong row by row."""
        wrong = thing & (self.layer.data[place] != label)
        for run in runs(wrong):
            self._paint_run(place, *run)

    def _paint_run(self, place: Place, row: int, first: int, last: int) -> None:
        y, x = place[0].start + row, place[1].start
        self._drag(self._spot(y, x + first), self._spot(y, x + last))

    def _drag(self, begin: QPoint, end: QPoint, steps: int = 1) -> None:
        self._press(begin, LEFT)
        for step in range(1, steps + 1):
            self._move(begin + (end - begin) * step / steps, LEFT)
        self._release(end, LEFT)
        self._look()

    # the mouse

    def _press(self, spot: QPoint, button: Qt.MouseButton) -> None:
        self._move(spot)
        self._send(QEvent.Type.MouseButtonPress, spot, button, button)
        self.strokes += 1

    def _move(self, spot: QPoint, held: Qt.MouseButton = NONE) -> None:
        begun = time.perf_counter()
        self._send(QEvent.Type.MouseMove, spot, NONE, held)
        took_ms = int(1000 * (time.perf_counter() - begun))
        QTest.qWait(max(REST_MS, MOVE_MS - took_ms))

    def _release(self, spot: QPoint, button: Qt.MouseButton) -> None:
        self._send(QEvent.Type.MouseButtonRelease, spot, button, NONE)

    def _send(
        self, kind: QEvent.Type, spot: QPoint, button: Qt.MouseButton, held: Qt.MouseButton
    ) -> None:
        inside, everywhere = QPointF(spot), QPointF(self._canvas.mapToGlobal(spot))
        unmodified = Qt.KeyboardModifier.NoModifier
        event = QMouseEvent(kind, inside, everywhere, button, held, unmodified)
        QApplication.sendEvent(self._canvas, event)

    def _look(self) -> None:
        spin_until(lambda: False, 0.02)

    def review(self, place: Place) -> None:
        """Drag a rectangle around a place in view, and so mark it as reviewed."""
        click(self._dock.teach_panel.mark_region)
        down, right = place
        begin = self._spot(down.start - 0.5, right.start - 0.5)
        end = self._spot(down.stop - 0.5, right.stop - 0.5)
        self._drag(begin, end, steps=8)
        click(self._dock.teach_panel.mark_region)


def things(truth: NDArray[np.uint8]) -> list[tuple[int, Mask]]:
    """Return (label, mask) of every connected thing; what lies inside another comes after it."""
    found: list[tuple[int, Mask, int]] = []
    for label in np.unique(truth).tolist():
        numbers, count = ndimage.label(truth == label, EIGHT)
        for number in range(1, count + 1):
            mask = numbers == number
            found.append((label, mask, int(ndimage.binary_fill_holes(mask).sum())))
    return [(label, mask) for label, mask, _ in sorted(found, key=lambda one: -one[2])]


def outline(thing: Mask, place: Place) -> Path | None:
    """Return the way around a thing; None for one that is so thin that it has no inside."""
    padded = np.pad(ndimage.binary_fill_holes(thing), 1).astype(float)
    # just below 1 the contour runs over the middle of the outermost pixels
    contour = max(find_contours(padded, 0.999, fully_connected="high"), key=len)
    corners = approximate_polygon(np.round(contour), tolerance=TOLERANCE_PX)[:-1].astype(np.int64)
    begun_at = next((i for i in range(len(corners)) if _is_free(corners, i)), None)
    if begun_at is None:
        return None
    origin = [axis.start - 1 for axis in place]
    return np.roll(corners, -begun_at, axis=0) + origin


def _is_free(corners: Path, index: int) -> bool:
    """Say whether a stroke that begins at a corner comes back there at its end only."""
    apart = np.hypot(*(np.roll(corners, -index, axis=0) - corners[index]).T)
    gone = np.flatnonzero(apart > STOP_PX)
    return bool(len(gone)) and bool((apart[gone[0] : gone[-1] + 1] > STOP_PX).all())


def runs(mask: Mask) -> Iterator[tuple[int, int, int]]:
    """Return (row, first, last) of every stretch of true pixels."""
    steps = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(steps == 1)
    stops = np.nonzero(steps == -1)[1]
    return zip(rows.tolist(), starts.tolist(), (stops - 1).tolist(), strict=True)
