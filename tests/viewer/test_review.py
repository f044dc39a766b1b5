"""Declaring regions right with a real mouse, and seeing who said what. Needs a display."""

import os
import sys

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_tileseg.engine.spec import ClassInfo
from napari_tileseg.session import Session
from napari_tileseg.viewer.layers import SegmentationLabels
from napari_tileseg.viewer.links import OURS
from napari_tileseg.viewer.results import Results
from napari_tileseg.viewer.review import Review

NO_SCREEN = sys.platform == "linux" and (
    not os.environ.get("DISPLAY") or os.environ.get("QT_QPA_PLATFORM") == "offscreen"
)
pytestmark = pytest.mark.skipif(NO_SCREEN, reason="the mouse needs a display; use xvfb-run")

SHAPE = (60, 80)
EVERYTHING = (slice(0, 60), slice(0, 80))
CLASSES = (ClassInfo("background", "#000000"), ClassInfo("red", "#ff0000"))


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True, strict_qt=True)


@pytest.fixture
def layer(viewer):
    link = {"multilabel": False, "classes": ("background", "red"), "meanings": {}}
    layer = SegmentationLabels.empty(SHAPE, classes=CLASSES, metadata={OURS: link})
    viewer.add_layer(layer)
    layer.stream_block(EVERYTHING, np.ones(SHAPE))
    return layer


@pytest.fixture
def review(viewer, layer):
    review = Review(viewer, Session())
    review.bind(Results([layer]))
    yield review
    review.close()


def _at(viewer, row, column):
    camera, (height, width) = viewer.scene.camera, viewer.canvas.size
    y = height / 2 + (row - camera.center[-2]) * camera.zoom
    x = width / 2 + (column - camera.center[-1]) * camera.zoom
    return QPoint(round(x), round(y))


def _drag(viewer, qtbot, places, held=Qt.KeyboardModifier.NoModifier):
    native = viewer.window._qt_viewer.canvas.native
    left = Qt.MouseButton.LeftButton
    QTest.mouseMove(native, _at(viewer, *places[0]))
    QTest.mousePress(native, left, held, _at(viewer, *places[0]))
    for place in places[1:]:
        here = QPointF(_at(viewer, *place))
        there = QPointF(native.mapToGlobal(here.toPoint()))
        none = Qt.MouseButton.NoButton
        event = QMouseEvent(QEvent.Type.MouseMove, here, there, none, left, held)
        QApplication.sendEvent(native, event)
        qtbot.wait(20)  # vispy and napari pass over moves in quick succession
    QTest.mouseRelease(native, left, held, _at(viewer, *places[-1]))


def test_a_dragged_rectangle_is_reviewed_and_undone_like_a_stroke(viewer, layer, review, qtbot):
    review.mark_region()
    centre = viewer.scene.camera.center
    _drag(viewer, qtbot, [(9.8, 20.2), (20, 30), (30.2, 49.8)])
    assert viewer.scene.camera.center == centre
    reviewed = layer.reviewed.read(EVERYTHING)
    assert reviewed[11:30, 21:49].all()
    assert 19 * 28 <= layer.reviewed.count <= 22 * 31
    layer.stream_block(EVERYTHING, np.zeros(SHAPE))
    assert (layer.data == reviewed).all()
    layer.undo()
    assert (layer.data == 0).all()
    layer.redo()
    assert (layer.data == reviewed).all()
    _drag(viewer, qtbot, [(0, 0), (30, 40), (59, 79)], Qt.KeyboardModifier.AltModifier)
    assert layer.vouched.count == 0


def test_a_freehand_line_holds_what_is_inside(viewer, layer, review, qtbot):
    review.mark_region()
    _drag(viewer, qtbot, [(10, 10), (10, 50), (40, 10)], Qt.KeyboardModifier.ShiftModifier)
    reviewed = layer.reviewed.read(EVERYTHING)
    assert reviewed[15, 15]
    assert not reviewed[38, 45]
    assert 500 < layer.reviewed.count < 700


def test_taking_a_brush_ends_the_marking_of_regions(viewer, layer, review, qtbot):
    told = []
    review.marking.connect(told.append)
    review.mark_region()
    assert "Drag a rectangle" in review._session.view.notice.text
    layer.mode = "paint"
    assert told == [True, False]
    assert review._session.view.notice is None
    _drag(viewer, qtbot, [(20, 20), (20, 30)])
    assert layer.reviewed.count == 0
    assert layer.corrected.count > 0


def test_what_is_not_in_view_is_not_reviewed(viewer, layer, review):
    viewer.scene.camera.zoom *= 4
    review.mark_view()
    assert 0 < layer.reviewed.count < 80 * 60 / 4
    assert not layer.reviewed.read(EVERYTHING)[0].any()
    review.unmark_view()
    assert layer.reviewed.count == 0


def test_labels_of_another_layer_are_taken_as_reviewed(viewer, layer, review):
    other = np.zeros(SHAPE, np.int32)
    other[:10] = 1
    viewer.add_labels(other, name="by hand")
    review.take_selected_layer()
    assert layer.reviewed.count == 60 * 80
    np.testing.assert_array_equal(layer.data, other)
    layer.undo()
    assert (layer.data == 1).all()
    viewer.add_labels(np.zeros((3, 3), np.uint8))
    review.take_selected_layer()
    assert layer.reviewed.count == 0


def test_the_overlay_draws_on_what_a_person_said_and_goes_again(viewer, layer, review):
    layer.opacity = 0
    before = viewer.screenshot(flash=False)[..., :3]
    layer.review((slice(20, 40), slice(20, 60)))
    review.overlay.toggle()
    changed = (viewer.screenshot(flash=False)[..., :3] != before).any(axis=-1)
    rows, columns = np.nonzero(changed)
    low, high = _at(viewer, 19.5, 19.5), _at(viewer, 39.5, 59.5)
    found = [columns.min(), columns.max(), rows.min(), rows.max()]
    assert found == pytest.approx([low.x(), high.x(), low.y(), high.y()], abs=4)
    review.overlay.toggle()
    assert (viewer.screenshot(flash=False)[..., :3] == before).all()
