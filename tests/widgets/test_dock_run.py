"""Real clicks on the real dock in a real viewer, with a network of known answers."""

import re

import numpy as np
import pytest
from gated import Gated, GatedContext, expected, gated_network
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel

from napari_tileseg.engine.spec import NOT_COMPUTED
from napari_tileseg.session import Severity, State
from napari_tileseg.settings import RunSettings
from napari_tileseg.viewer.viewport import visible_region


def click(button):
    assert button.isVisible()
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def module():
    return Gated()


@pytest.fixture
def ready(viewer, dock, module, image):
    """The dock with image and model chosen; nothing has run."""
    viewer.add_image(image, name="slide")
    dock.session.set_model(gated_network(module), "stub")
    assert dock.session.view.state is State.READY
    return dock


def labels_of(viewer, name="slide · labels"):
    return next(layer for layer in viewer.layers if layer.name == name)


def run_to_end(dock, module, qtbot):
    click(dock.run_panel.run)
    module.let(1000)
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)
    while module.permits.acquire(blocking=False):
        pass


def wait_for_tile(module, number, qtbot):
    """Wait until the network has been asked for its `number`-th tile; it waits in there."""
    qtbot.waitUntil(lambda: module.begun >= number, timeout=20_000)


def end(dock, module, qtbot):
    dock.controller.cancel()
    module.let(1000)
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)


def colours_on_canvas(viewer):
    picture = viewer.screenshot(flash=False)[..., :3].astype(int)
    red = (picture[..., 0] > picture[..., 1] + 60) & (picture[..., 0] > picture[..., 2] + 60)
    return int(red.sum())


def test_a_run_gives_the_labels_that_the_network_knows(ready, viewer, module, image, qtbot):
    run_to_end(ready, module, qtbot)
    assert ready.session.view.state is State.FINISHED
    np.testing.assert_array_equal(labels_of(viewer).data, expected(image))
    shares = [row.share for row in ready.session.view.classes]
    counts = np.bincount(expected(image).ravel(), minlength=3) / image.size
    np.testing.assert_allclose(shares, counts)


def test_only_this_view_segments_what_is_on_screen_and_leaves_the_rest(
    ready, viewer, module, image, qtbot
):
    run_to_end(ready, module, qtbot)
    layer = labels_of(viewer)
    layer.stream_block((slice(0, 256), slice(0, 256)), np.zeros((256, 256), np.uint8))
    viewer.scene.camera.center, viewer.scene.camera.zoom = (40, 200), 20
    seen = visible_region(viewer, layer).region(layer.data.shape)
    asked = module.begun
    click(ready.run_panel.run_view)
    assert not ready.run_panel.run_view.isVisible()
    assert ready.run_panel.pause.isVisible()
    module.let(1000)
    qtbot.waitUntil(lambda: not ready.session.view.busy, timeout=20_000)
    outside = np.ones(image.shape, bool)
    outside[seen] = False
    np.testing.assert_array_equal(layer.data[seen], expected(image)[seen])
    assert not layer.data[outside].any()
    assert module.begun - asked < asked / 2
    assert "what was on screen" in ready.session.view.notice.text
    assert ready.run_panel.run_view.isVisible()


def test_only_this_view_needs_the_image_in_view(ready, viewer, module, qtbot):
    viewer.scene.camera.center, viewer.scene.camera.zoom = (5000, 5000), 20
    click(ready.run_panel.run_view)
    assert "not in view" in ready.session.view.notice.text
    viewer.dims.ndisplay = 3
    click(ready.run_panel.run_view)
    assert "2D view" in ready.session.view.notice.text
    assert len(viewer.layers) == 1
    assert not module.begun


def test_a_network_that_goes_over_the_whole_image_first_says_how_far_it_is(
    viewer, dock, image, qtbot
):
    module = GatedContext()
    viewer.add_image(image, name="slide")
    dock.session.set_model(gated_network(module), "stub")
    dock.session.set_settings(RunSettings(mode="context", tile=64, batch=1, precision="fp32"))
    click(dock.run_panel.run)
    module.gate.let(2)
    wait_for_tile(module.gate, 3, qtbot)
    said = "first pass"
    qtbot.waitUntil(lambda: said in dock.run_panel._progress.text(), timeout=5_000)
    assert 0 < int(re.search(r"(\d+) %", dock.run_panel._progress.text())[1]) < 100
    module.gate.let(1000)
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)
    np.testing.assert_array_equal(labels_of(viewer).data, expected(image))


def test_the_first_labels_are_on_the_canvas_before_the_third_tile(ready, viewer, module, qtbot):
    click(ready.run_panel.run)
    wait_for_tile(module, 1, qtbot)
    assert colours_on_canvas(viewer) == 0
    module.let(1)
    wait_for_tile(module, 2, qtbot)
    qtbot.waitUntil(lambda: (labels_of(viewer).data != NOT_COMPUTED).any(), timeout=20_000)
    assert colours_on_canvas(viewer) > 0
    assert module.begun == 2
    end(ready, module, qtbot)


def test_moving_the_camera_changes_which_tile_is_next(viewer, dock, module, qtbot):
    # each place has its own grey value, so the mean of a tile says where it is
    ramp = np.add.outer(np.arange(512) // 2, np.zeros(512)).astype(np.uint8)
    viewer.add_image(ramp, name="ramp")
    dock.session.set_model(gated_network(module), "stub")
    viewer.scene.camera.zoom = 8
    viewer.scene.camera.center = (0, 40, 256)
    click(dock.run_panel.run)
    wait_for_tile(module, 1, qtbot)
    module.let(1)
    wait_for_tile(module, 2, qtbot)
    assert max(module.means) < 64
    viewer.scene.camera.center = (0, 470, 256)
    focus = dock.controller.focus
    qtbot.waitUntil(lambda: focus.state[1][0] > 400, timeout=20_000)  # the view comes to rest
    module.let(1)
    wait_for_tile(module, 3, qtbot)
    assert module.means[2] > 192
    end(dock, module, qtbot)


def test_cancel_ends_within_one_batch_and_keeps_what_is_there(ready, viewer, module, qtbot):
    click(ready.run_panel.run)
    module.let(3)
    wait_for_tile(module, 4, qtbot)
    click(ready.run_panel.cancel)
    module.let(1)
    qtbot.waitUntil(lambda: not ready.session.view.busy, timeout=20_000)
    assert module.begun == 4
    assert ready.session.view.state is State.CANCELLED
    computed = labels_of(viewer).data != NOT_COMPUTED
    assert 0 < computed.sum() < computed.size
    assert "kept" in ready.session.view.notice.text


def test_a_paused_run_asks_for_no_tile_until_it_is_resumed(ready, module, qtbot):
    click(ready.run_panel.run)
    wait_for_tile(module, 1, qtbot)
    click(ready.run_panel.pause)
    assert ready.session.view.state is State.PAUSED
    assert ready.run_panel.run.text() == "Resume"
    module.let(5)
    qtbot.wait(200)
    assert module.begun == 1
    click(ready.run_panel.run)
    wait_for_tile(module, 2, qtbot)
    assert ready.session.view.state is State.RUNNING
    end(ready, module, qtbot)


def paint(viewer, layer, canvas_point):
    """Draw a dab with the mouse on the canvas."""
    native = viewer.window._qt_viewer.canvas.native
    viewer.layers.selection.active = layer
    layer.mode = "paint"
    kinds = (
        (QMouseEvent.Type.MouseButtonPress, Qt.MouseButton.LeftButton),
        (QMouseEvent.Type.MouseButtonRelease, Qt.MouseButton.NoButton),
    )
    for kind, held in kinds:
        where = QPointF(canvas_point)
        event = QMouseEvent(
            kind,
            where,
            QPointF(native.mapToGlobal(canvas_point)),
            Qt.MouseButton.LeftButton,
            held,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(native, event)
        QApplication.processEvents()


def test_what_is_painted_during_a_run_survives_it_and_a_second_one(
    ready, viewer, module, image, qtbot
):
    click(ready.run_panel.run)
    module.let(1)
    wait_for_tile(module, 2, qtbot)
    layer = labels_of(viewer)
    ready.controller.classes.select(2)
    native = viewer.window._qt_viewer.canvas.native
    paint(viewer, layer, QPoint(native.width() // 2, native.height() // 2))
    vouched = layer.vouched.count
    assert vouched > 0
    painted = layer.vouched
    module.let(1000)
    qtbot.waitUntil(lambda: not ready.session.view.busy, timeout=20_000)
    differs = layer.data != expected(image)
    assert 0 < differs.sum() <= vouched
    assert (layer.data[differs] == 2).all()
    before = layer.data.copy()
    run_to_end(ready, module, qtbot)
    assert labels_of(viewer) is layer
    assert layer.vouched is painted
    np.testing.assert_array_equal(layer.data, before)


def test_a_second_run_goes_to_the_same_layer_even_if_it_was_renamed(ready, viewer, module, qtbot):
    run_to_end(ready, module, qtbot)
    layer = labels_of(viewer)
    layer.name = "mine"
    count = len(viewer.layers)
    ready.session.set_settings(ready.session.settings.but(overlap=0.5))
    run_to_end(ready, module, qtbot)
    assert len(viewer.layers) == count
    assert ready.session.view.state is State.FINISHED


def test_removing_the_labels_during_a_run_ends_it_and_says_so(ready, viewer, module, qtbot):
    click(ready.run_panel.run)
    module.let(1)
    wait_for_tile(module, 2, qtbot)
    module.let(1000)
    viewer.layers.remove(labels_of(viewer))
    assert ready.session.view.state is State.READY
    assert "labels layer was removed" in ready.session.view.notice.text
    run_to_end(ready, module, qtbot)
    assert ready.session.view.state is State.FINISHED


def test_removing_the_image_during_a_run_ends_it_and_keeps_the_labels(ready, viewer, module, qtbot):
    click(ready.run_panel.run)
    module.let(1)
    wait_for_tile(module, 2, qtbot)
    qtbot.waitUntil(lambda: (labels_of(viewer).data != NOT_COMPUTED).any(), timeout=20_000)
    module.let(1000)
    viewer.layers.remove("slide")
    assert ready.session.view.state is State.NO_IMAGE
    assert "image layer was removed" in ready.session.view.notice.text
    assert (labels_of(viewer).data != NOT_COMPUTED).any()


def test_renaming_layers_during_a_run_does_not_disturb_it(ready, viewer, module, image, qtbot):
    click(ready.run_panel.run)
    wait_for_tile(module, 1, qtbot)
    layer = labels_of(viewer)
    viewer.layers["slide"].name = "renamed"
    layer.name = "also renamed"
    module.let(1000)
    qtbot.waitUntil(lambda: not ready.session.view.busy, timeout=20_000)
    np.testing.assert_array_equal(layer.data, expected(image))
    assert ready.session.view.image.name == "renamed"


def test_turning_the_axes_during_a_run_does_not_disturb_it(ready, viewer, module, image, qtbot):
    click(ready.run_panel.run)
    wait_for_tile(module, 1, qtbot)
    viewer.dims.order = (1, 0)
    module.let(1000)
    qtbot.waitUntil(lambda: not ready.session.view.busy, timeout=20_000)
    np.testing.assert_array_equal(labels_of(viewer).data, expected(image))


def test_closing_the_viewer_during_a_run_ends_it(ready, viewer, module, qtbot):
    click(ready.run_panel.run)
    wait_for_tile(module, 1, qtbot)
    module.let(1)
    viewer.close()
    module.let(1000)
    assert not ready.controller.is_running
    begun = module.begun
    qtbot.wait(100)
    assert module.begun <= begun + 1


def test_closing_the_dock_during_a_run_ends_it(ready, viewer, module, qtbot):
    click(ready.run_panel.run)
    wait_for_tile(module, 1, qtbot)
    controller = ready.controller
    module.let(1000)
    ready.parent().destroyOnClose()  # what a click on the cross does
    assert not controller.is_running
    viewer.add_image(np.zeros((40, 40)))  # nobody listens to the layers any more


class Broken(Gated):
    def forward(self, tiles):
        if self.begun >= 2:
            raise RuntimeError("out of luck")
        return super().forward(tiles)


def test_a_failure_is_told_in_the_dock_with_a_report_to_copy(ready, module, qtbot):
    broken = Broken()
    broken.let(100)
    ready.session.set_model(gated_network(broken), "broken")
    click(ready.run_panel.run)
    qtbot.waitUntil(lambda: ready.session.view.state is State.FAILED, timeout=20_000)
    notice = ready.session.view.notice
    assert notice.severity is Severity.ERROR
    assert "out of luck" in notice.text
    assert "kept" in notice.text
    click(ready.notice_area.copy_button)
    assert "in forward" in QApplication.clipboard().text()
    click(ready.notice_area.dismiss_button)
    assert not ready.notice_area.isVisible()


def test_geometry_and_units_of_the_image_are_those_of_the_labels(viewer, dock, module, qtbot):
    stack = np.zeros((3, 2, 96, 128), np.uint8)
    image = viewer.add_image(
        stack,
        name="tilted",
        scale=(1, 2, 0.5, 0.5),
        translate=(0, 1, 2, 3),
        rotate=np.eye(4)[[0, 1, 3, 2]],
        units=("pixel", "um", "um", "um"),
        axis_labels=("c", "z", "y", "x"),
    )
    dock.session.set_model(gated_network(module, ("a", "b", "c")), "stub")
    assert dock.session.view.channel_rows == (("a", 0), ("b", 1), ("c", 2))
    run_to_end(dock, module, qtbot)
    layer = labels_of(viewer, "tilted · labels")
    assert layer.data.shape == (2, 96, 128)
    assert layer.units == image.units[1:]
    assert layer.axis_labels == ("z", "y", "x")
    for point in ((0, 0, 0), (1, 50, 70)):
        world = image.data_to_world((0, *point))[1:]
        np.testing.assert_allclose(layer.data_to_world(point), world)


def test_multilabel_results_have_a_layer_for_each_class(viewer, dock, module, image, qtbot):
    viewer.add_image(image, name="slide")
    network = gated_network(module, task="multilabel")
    dock.session.set_model(network, "stub")
    run_to_end(dock, module, qtbot)
    for index, one in enumerate(network.classes):
        scores = [80 - image.astype(float), 40 - np.abs(image - 120.0), image - 160.0]
        layer = labels_of(viewer, f"slide · {one.name}")
        np.testing.assert_array_equal(layer.data, scores[index] > 0)


def test_probabilities_go_to_an_image_layer_that_is_not_offered_as_image(
    ready, viewer, module, image, qtbot
):
    ready.session.set_settings(ready.session.settings.but(probabilities=True))
    run_to_end(ready, module, qtbot)
    sure = labels_of(viewer, "slide · probabilities")
    assert sure.data.shape == (3, 256, 256)
    np.testing.assert_array_equal(sure.data.argmax(0), expected(image))
    assert ready.image_panel.layers.count() == 1


def test_all_that_is_on_screen_being_final_is_said(ready, viewer, module, qtbot):
    viewer.scene.camera.zoom = 60
    viewer.scene.camera.center = (0, 128, 128)
    click(ready.run_panel.run)
    wait_for_tile(module, 1, qtbot)
    assert not ready.session.view.view_complete
    for tile in range(1, 36):
        module.let(1)
        wait_for_tile(module, tile + 1, qtbot)
        qtbot.wait(250)
        if ready.session.view.view_complete:
            break
    assert ready.session.view.view_complete
    assert module.begun < 12
    assert "view complete" in [label.text() for label in ready.run_panel.findChildren(QLabel)]
    end(ready, module, qtbot)
