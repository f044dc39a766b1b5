"""What is on screen, in the coordinates of the layer."""

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_tileseg.viewer.viewport import (
    Viewport,
    ViewportWatcher,
    look_at,
    to_world,
    visible_region,
)

NO_SCREEN = sys.platform == "linux" and (
    not os.environ.get("DISPLAY") or os.environ.get("QT_QPA_PLATFORM") == "offscreen"
)


def _viewer(layer, *, centre, zoom, canvas=(100, 200)):
    viewer = ViewerModel()
    viewer.add_layer(layer)
    viewer.canvas.size = canvas
    _look_at(viewer, centre, zoom)
    return viewer


def _look_at(viewer, centre, zoom):
    viewer.scene.camera.center = (0, *centre)
    viewer.scene.camera.zoom = zoom


def _labels(shape=(300, 400), **options):
    return Labels(np.zeros(shape, np.uint8), **options)


def _close(viewport, point, extent):
    np.testing.assert_allclose(viewport.point, point, atol=1e-6)
    np.testing.assert_allclose(viewport.extent, extent, atol=1e-6)


def test_a_plain_layer_shows_half_the_canvas_to_every_side_of_the_centre():
    layer = _labels()
    viewer = _viewer(layer, centre=(150, 120), zoom=2)
    viewport = visible_region(viewer, layer)
    _close(viewport, (150, 120), (25, 50))
    assert viewport.region(layer.data.shape) == (slice(125, 176), slice(70, 171))


def test_scale_and_translation_of_the_layer_are_undone():
    layer = _labels(scale=(0.5, 0.25), translate=(100, -10))
    viewer = _viewer(layer, centre=(150, 15), zoom=4)
    _close(visible_region(viewer, layer), (100, 100), (25, 100))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": (0.5, 0.25), "translate": (100, -10)},
        {"rotate": 45},
        {"rotate": 30, "scale": (3, 1)},
        {"shear": [0.7]},
    ],
)
def test_a_place_that_is_looked_at_fills_the_canvas_and_lies_inside(options):
    layer = _labels(**options)
    viewer = _viewer(layer, centre=(0, 0), zoom=1, canvas=(300, 500))
    place = (slice(100, 164), slice(50, 114))
    look_at(viewer, layer, place, near=True)
    ends = [(row, column) for row in (99.5, 163.5) for column in (49.5, 113.5)]
    corners = np.array([to_world(viewer, layer, end) for end in ends])
    on_canvas = np.abs(corners - viewer.scene.camera.center[-2:]) * viewer.scene.camera.zoom
    share = (on_canvas.max(axis=0) / (150, 250)).max()
    assert share == pytest.approx(0.8)
    _close(visible_region(viewer, layer), (131.5, 81.5), visible_region(viewer, layer).extent)


def test_a_layer_turned_by_a_quarter_has_its_sides_exchanged():
    layer = _labels(rotate=90)
    viewer = _viewer(layer, centre=(100, -150), zoom=2)
    _close(visible_region(viewer, layer), layer.world_to_data((100, -150)), (50, 25))


def test_a_turned_layer_gets_the_box_around_what_is_seen():
    layer = _labels(rotate=45)
    viewer = _viewer(layer, centre=(0, 0), zoom=1, canvas=(100, 100))
    _close(visible_region(viewer, layer), (0, 0), (np.hypot(50, 50),) * 2)


def test_the_world_may_have_other_units_than_the_layer():
    layer = _labels(units=("um", "um"), scale=(0.5, 0.5))
    viewer = _viewer(layer, centre=(50, 60), zoom=2)
    alone = visible_region(viewer, layer)
    _close(alone, (100, 120), (50, 100))
    viewer.add_layer(_labels((10, 10), units=("nm", "nm")))
    assert [str(unit) for unit in viewer.layers.extent.units] == ["nanometer", "nanometer"]
    _look_at(viewer, (50_000, 60_000), 2 / 1000)
    _close(visible_region(viewer, layer), alone.point, alone.extent)


def test_leading_axes_show_the_plane_of_the_slider():
    layer = _labels((5, 4, 300, 400), scale=(1, 3, 1, 1))
    viewer = _viewer(layer, centre=(150, 120), zoom=2)
    viewer.dims.set_point((0, 1), (4, 6))
    viewport = visible_region(viewer, layer)
    _close(viewport, (4, 2, 150, 120), (0.5, 0.5, 25, 50))
    assert viewport.region(layer.data.shape)[:2] == (slice(4, 5), slice(2, 3))


def test_a_plane_between_two_is_the_one_that_napari_shows():
    assert Viewport((1.4, 5, 5), (0.5, 2, 2)).region((9, 9, 9))[0] == slice(1, 2)
    assert Viewport((1.6, 5, 5), (0.5, 2, 2)).region((9, 9, 9))[0] == slice(2, 3)


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 0, 1), (1, 2, 0)])
def test_axes_in_another_order_are_put_back(order):
    layer = _labels((30, 300, 400))
    viewer = _viewer(layer, centre=(15, 20), zoom=2)
    viewer.dims.order = order
    viewer.dims.set_point(order[0], 3)
    _look_at(viewer, (15, 20), 2)
    point, extent = np.zeros(3), np.zeros(3)
    point[list(order)] = (3, 15, 20)
    extent[list(order)] = (0.5, 25, 50)
    _close(visible_region(viewer, layer), point, extent)


def test_a_layer_with_fewer_axes_than_the_viewer_has_its_own():
    layer = _labels()
    viewer = _viewer(layer, centre=(0, 0), zoom=2)
    viewer.add_layer(_labels((7, 300, 400)))
    _look_at(viewer, (150, 120), 2)
    _close(visible_region(viewer, layer), (150, 120), (25, 50))


def test_in_3d_there_is_a_point_but_no_extent():
    layer = _labels((5, 30, 40))
    viewer = _viewer(layer, centre=(0, 0), zoom=2)
    viewer.dims.ndisplay = 3
    viewer.scene.camera.center = (2, 15, 20)
    viewport = visible_region(viewer, layer)
    assert viewport == Viewport((2, 15, 20), None)
    assert viewport.region((5, 30, 40)) is None


def test_a_view_beside_the_layer_shows_no_region():
    layer = _labels()
    viewer = _viewer(layer, centre=(5000, 5000), zoom=2)
    assert visible_region(viewer, layer).region(layer.data.shape) is None


@pytest.fixture
def watched(qtbot):
    layer = _labels((5, 300, 400))
    viewer = _viewer(layer, centre=(150, 120), zoom=2)
    told = []
    watcher = ViewportWatcher(viewer, layer, lambda *where: told.append(where), debounce_ms=20)
    yield SimpleNamespace(viewer=viewer, layer=layer, told=told, watcher=watcher)
    watcher.close()


def test_a_watcher_tells_at_once_where_it_begins(watched):
    assert watched.told == [((2, 150, 120), (0.5, 25, 50))]


def _centre(viewer):
    viewer.scene.camera.center = (0, 50, 60)


def _zoom(viewer):
    viewer.scene.camera.zoom = 5


def _slider(viewer):
    viewer.dims.set_current_step(0, 4)


def _order(viewer):
    viewer.dims.order = (1, 0, 2)


def _ndisplay(viewer):
    viewer.dims.ndisplay = 3


def _canvas(viewer):
    viewer.canvas.size = (300, 300)


def _scale(viewer):
    viewer.layers[0].scale = (1, 2, 2)


@pytest.mark.parametrize("move", [_centre, _zoom, _slider, _order, _ndisplay, _canvas, _scale])
def test_every_way_to_look_elsewhere_is_told(watched, qtbot, move):
    move(watched.viewer)
    qtbot.waitUntil(lambda: len(watched.told) == 2, timeout=2000)
    now = visible_region(watched.viewer, watched.layer)
    assert watched.told[-1] == (now.point, now.extent)


def test_a_long_pan_is_told_once_when_it_has_come_to_rest(watched, qtbot):
    for row in range(50):
        watched.viewer.scene.camera.center = (0, row, 60)
    qtbot.wait(150)
    assert len(watched.told) == 2
    assert watched.told[-1][0] == (2, 49, 60)


def test_a_view_that_comes_back_is_not_told(watched, qtbot):
    watched.viewer.scene.camera.zoom = 5
    watched.viewer.scene.camera.zoom = 2
    qtbot.wait(100)
    assert len(watched.told) == 1


def test_after_close_nothing_is_told_and_nothing_is_bound(watched, qtbot):
    watched.viewer.scene.camera.zoom = 5
    watched.watcher.close()
    watched.viewer.scene.camera.zoom = 7
    watched.viewer.dims.set_current_step(0, 1)
    qtbot.wait(100)
    assert len(watched.told) == 1
    bound = [
        callback
        for emitter in (
            *watched.viewer.scene.camera.events.emitters.values(),
            *watched.viewer.dims.events.emitters.values(),
            *watched.viewer.canvas.events.emitters.values(),
            *watched.layer.events.emitters.values(),
        )
        for callback in emitter.callbacks
        if "_on_view_moved" in repr(callback)
    ]
    assert bound == []


def _upright(viewer, layer):
    pass


def _moved(viewer, layer):
    layer.scale, layer.translate = (0.5, 0.25), (30, -40)


def _in_other_units(viewer, layer):
    layer.units = ("um", "um")
    viewer.add_image(np.zeros((9, 9)), units=("nm", "nm"))


def _exchanged(viewer, layer):
    viewer.dims.order = (1, 0)


def _upside_down(viewer, layer):
    viewer.scene.camera.orientation2d = ("up", "left")


@pytest.mark.skipif(NO_SCREEN, reason="a drawn canvas needs a display; use xvfb-run")
@pytest.mark.parametrize("arrange", [_upright, _moved, _in_other_units, _exchanged, _upside_down])
def test_a_real_window_shows_that_region_and_no_more(make_napari_viewer, arrange):
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_layer(_labels(opacity=1, colormap={1: "red", 2: "lime", None: "blue"}))
    arrange(viewer, layer)
    viewer.reset_view()
    viewer.screenshot(flash=False)
    viewer.scene.camera.zoom *= 4
    viewer.screenshot(flash=False)
    rows, columns = visible_region(viewer, layer).region(layer.data.shape)
    layer.data[...] = 2
    layer.data[rows, columns] = 1
    layer.refresh()
    assert _share_of_green(viewer) == 0
    # one pixel less at every side, and what is beside it comes into view
    for row, column in (
        (rows.start, 0),
        (rows.stop - 1, 0),
        (0, columns.start),
        (0, columns.stop - 1),
    ):
        layer.data[...] = 1
        layer.data[row or slice(None), column or slice(None)] = 2
        layer.refresh()
        assert _share_of_green(viewer) > 0


def _share_of_green(viewer):
    shot = viewer.screenshot(flash=False).astype(int)
    return (shot[..., 1] > shot[..., 0] + 50).mean()
