"""What is on the screen: streamed blocks, real mouse strokes, undo. Needs a display."""

import os
import sys
import time
import warnings

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_tileseg.annotation.values import NOT_COMPUTED
from napari_tileseg.engine.spec import ClassInfo
from napari_tileseg.viewer.layers import SegmentationLabels

NO_SCREEN = sys.platform == "linux" and (
    not os.environ.get("DISPLAY") or os.environ.get("QT_QPA_PLATFORM") == "offscreen"
)
pytestmark = pytest.mark.skipif(NO_SCREEN, reason="what is drawn needs a display; use xvfb-run")

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
CLASSES = (
    ClassInfo("background", "#000000"),
    ClassInfo("red", "#ff0000"),
    ClassInfo("green", "#00ff00"),
    ClassInfo("blue", "#0000ff"),
)


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True, strict_qt=True)
    viewer.theme = "dark"
    return viewer


def _add(viewer, shape=(60, 80), **options):
    layer = SegmentationLabels.empty(shape, classes=CLASSES, opacity=1.0, **options)
    viewer.add_layer(layer)
    return layer


def _shot(viewer):
    return viewer.screenshot(flash=False)[..., :3].astype(int)


def _stream_noise(layer, seed=0, blocks=4):
    """Stream smooth-ish blocks of all classes at odd places, over all planes."""
    rng = np.random.default_rng(seed)
    for _ in range(blocks):
        region = []
        for size in layer.data.shape:
            start = rng.integers(0, size)
            region.append(slice(int(start), int(rng.integers(start, size)) + 1))
        shape = tuple(axis.stop - axis.start for axis in region)
        layer.stream_block(tuple(region), rng.integers(0, 4, shape))


def _plain(viewer, layer):
    pass


def _contours(viewer, layer):
    layer.contour = 2


def _transposed(viewer, layer):
    viewer.dims.order = (*range(layer.ndim - 2), layer.ndim - 1, layer.ndim - 2)


def _rolled(viewer, layer):
    viewer.dims.order = (layer.ndim - 1, *range(layer.ndim - 1))
    viewer.dims.set_point(layer.ndim - 1, 20)


def _other_plane(viewer, layer):
    viewer.dims.set_point(0, 2)


def _volume(viewer, layer):
    viewer.dims.ndisplay = 3


def _rotated(viewer, layer):
    layer.rotate = 30
    layer.scale = (2, 0.5)


def _only_selected(viewer, layer):
    layer.selected_label = 2
    layer.show_selected_label = True


def _rolled_contours(viewer, layer):
    _rolled(viewer, layer)
    _contours(viewer, layer)


FLAT, DEEP = (60, 80), (4, 60, 80)


@pytest.mark.parametrize(
    ("shape", "look"),
    [
        (FLAT, _plain),
        (FLAT, _contours),
        (FLAT, _transposed),
        (FLAT, _rotated),
        (FLAT, _only_selected),
        (DEEP, _plain),
        (DEEP, _contours),
        (DEEP, _other_plane),
        (DEEP, _transposed),
        (DEEP, _rolled),
        (DEEP, _rolled_contours),
        (DEEP, _volume),
        ((2, *DEEP), _rolled),
        ((2, *DEEP), _volume),
    ],
)
def test_the_canvas_after_streaming_is_the_canvas_after_a_full_refresh(viewer, shape, look):
    layer = _add(viewer, shape)
    look(viewer, layer)
    before = _shot(viewer)
    middle = tuple(size // 2 for size in shape)
    for seed in range(3):
        _stream_noise(layer, seed)
        layer.paint((*map(int, viewer.dims.current_step[:-2]), *middle[-2:]), 3)
    layer.undo()
    after = _shot(viewer)
    layer.refresh()
    np.testing.assert_array_equal(after, _shot(viewer))
    assert (after != before).any()


def test_streaming_asks_for_no_full_upload(viewer, monkeypatch):
    layer = _add(viewer)
    _shot(viewer)
    full = []
    layer.events.set_data.connect(full.append)
    _stream_noise(layer)
    assert full == []


def test_without_the_partial_path_of_napari_the_canvas_is_right_all_the_same(viewer, monkeypatch):
    layer = _add(viewer)
    before = _shot(viewer)
    monkeypatch.delattr(Labels, "_get_update_slices")
    _stream_noise(layer)
    after = _shot(viewer)
    layer.refresh()
    np.testing.assert_array_equal(after, _shot(viewer))
    assert (after != before).any()


def test_a_hidden_layer_takes_blocks_and_shows_them_when_it_comes_back(viewer):
    layer = _add(viewer)
    layer.visible = False
    _stream_noise(layer)
    layer.visible = True
    shown = _shot(viewer)
    layer.refresh()
    np.testing.assert_array_equal(shown, _shot(viewer))
    assert (layer.data != NOT_COMPUTED).any()


@pytest.mark.parametrize("contour", [0, 2])
def test_blocks_that_come_while_napari_slices_in_the_background_are_shown(viewer, qtbot, contour):
    from napari.settings import get_settings

    get_settings().experimental.async_ = True
    try:
        layer = _add(viewer, (4, 600, 800))
        layer.contour = contour
        qtbot.waitUntil(lambda: layer.loaded)
        met = 0
        for plane in (1, 2, 3, 0, 1):
            viewer.dims.set_point(0, plane)
            time.sleep(0.15)  # the slice is cut by now, and waits for the event loop
            met += not layer.loaded
            _stream_noise(layer, plane)
            qtbot.waitUntil(lambda: layer.loaded)
        qtbot.wait(50)
        shown = _shot(viewer)
    finally:
        get_settings().experimental.async_ = False
    layer.refresh()
    assert met
    np.testing.assert_array_equal(shown, _shot(viewer))


@pytest.mark.slow
def test_labels_larger_than_a_texture_are_shown_a_little_later(viewer, qtbot):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = _add(viewer, (100, 16_400))
        layer.stream_block((slice(0, 100), slice(0, 16_400)), np.full((100, 16_400), 1))
        qtbot.wait(700)
        shown = _shot(viewer)
        layer.refresh()
    np.testing.assert_array_equal(shown, _shot(viewer))
    assert _count(shown, RED) > 100


def test_what_is_not_computed_is_transparent_also_in_3d(viewer):
    layer = _add(viewer, DEEP)
    viewer.dims.ndisplay = 3
    everything = (slice(0, 4), slice(0, 60), slice(0, 80))
    layer.stream_block(everything, np.full(DEEP, NOT_COMPUTED))
    shown = _shot(viewer)
    layer.stream_block(everything, np.full(DEEP, 1))
    solid = _shot(viewer)
    layer.visible = False
    np.testing.assert_array_equal(shown, _shot(viewer))
    assert (solid != shown).any()


def _count(shot, colour):
    return int((np.abs(shot - colour).max(axis=-1) < 12).sum())


class Mouse:
    """Real mouse events at places of a 2-D layer."""

    def __init__(self, viewer, qtbot):
        self.viewer = viewer
        self._qtbot = qtbot
        self.native = viewer.window._qt_viewer.canvas.native

    def at(self, row, column):
        camera, (height, width) = self.viewer.scene.camera, self.viewer.canvas.size
        y = height / 2 + (row - camera.center[-2]) * camera.zoom
        x = width / 2 + (column - camera.center[-1]) * camera.zoom
        return QPoint(round(x), round(y))

    def press(self, *place):
        QTest.mouseMove(self.native, self.at(*place))
        QTest.mousePress(self.native, Qt.MouseButton.LeftButton, pos=self.at(*place))

    def drag_to(self, *place):
        # QTest.mouseMove knows no pressed button
        here = self.at(*place)
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(here),
            QPointF(self.native.mapToGlobal(here)),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self.native, event)
        self._qtbot.wait(20)  # vispy and napari pass over moves in quick succession

    def release(self, *place):
        QTest.mouseRelease(self.native, Qt.MouseButton.LeftButton, pos=self.at(*place))


def _model_says(layer, label):
    for top in range(0, 60, 20):
        region = (slice(top, top + 20), slice(0, 80))
        layer.stream_block(region, np.full((20, 80), label))


def test_a_mouse_stroke_stays_while_the_model_streams_under_it_and_undo_shows_the_model(
    viewer, qtbot
):
    layer = _add(viewer)
    viewer.layers.selection.active = layer
    layer.mode, layer.brush_size, layer.selected_label = "paint", 10, 3
    mouse = Mouse(viewer, qtbot)
    _model_says(layer, 1)
    mouse.press(30, 20)
    _model_says(layer, 2)
    for column in (25, 30, 40, 50):
        mouse.drag_to(30, column)
        _model_says(layer, 1 if column % 2 else 2)
    mouse.release(30, 50)
    painted = layer.vouched.read((slice(0, 60), slice(0, 80)))
    assert painted[30, 20:51].all()
    assert (layer.data == np.where(painted, 3, 2)).all()
    shot = _shot(viewer)
    assert _count(shot, BLUE) > 20
    assert _count(shot, RED) == 0

    _model_says(layer, 1)
    assert (layer.data == np.where(painted, 3, 1)).all()
    layer.undo()
    assert (layer.data == 1).all()
    shot = _shot(viewer)
    assert _count(shot, BLUE) == _count(shot, GREEN) == 0
    layer.redo()
    assert (layer.data == np.where(painted, 3, 1)).all()
    shot = _shot(viewer)
    assert _count(shot, BLUE) > 20


@pytest.mark.parametrize("mode", ["fill", "erase"])
def test_mouse_clicks_with_the_other_tools_stay_too(viewer, qtbot, mode):
    layer = _add(viewer)
    viewer.layers.selection.active = layer
    layer.mode, layer.brush_size, layer.selected_label = mode, 10, 3
    mouse = Mouse(viewer, qtbot)
    _model_says(layer, 1)
    mouse.press(30, 40)
    mouse.release(30, 40)
    _model_says(layer, 2)
    assert layer.data[30, 40] == (3 if mode == "fill" else 0)
    assert _count(_shot(viewer), BLUE) > 0 or mode == "erase"
    layer.undo()
    assert (layer.data == 2).all()


def test_napari_gives_it_the_controls_and_keys_of_labels(viewer, qtbot):
    layer = _add(viewer)
    controls = viewer.window._qt_viewer.controls.widgets[layer]
    plain = Labels(np.zeros((5, 5), np.uint8))
    viewer.add_layer(plain)
    assert type(controls) is type(viewer.window._qt_viewer.controls.widgets[plain])
    viewer.layers.selection.active = layer
    native = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(native, Qt.Key.Key_2)
    assert layer.mode == "paint"
    QTest.keyClick(native, Qt.Key.Key_M)
    assert layer.selected_label == 3
