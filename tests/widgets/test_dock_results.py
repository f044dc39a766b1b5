"""Which layers a run goes to: what a person painted never changes its meaning."""

import gc
import threading
import weakref

import numpy as np
import pytest
from gated import CLASSES, Gated, expected, gated_network
from qtpy.QtWidgets import QLabel

from napari_tileseg.engine.spec import NOT_COMPUTED
from napari_tileseg.session import State
from napari_tileseg.settings import Mode
from napari_tileseg.viewer.jobs import Job
from napari_tileseg.viewer.layers import SegmentationLabels


class Two(Gated):
    def forward(self, tiles):
        return super().forward(tiles)[:, :2]


def network(module=None, **more):
    module = module or Gated()
    module.let(100_000)
    return gated_network(module, **more)


def run(dock, qtbot):
    dock.controller.run()
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)
    assert dock.session.view.state is State.FINISHED, dock.session.view.notice


def ours(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, SegmentationLabels)]


def reopened(viewer, dock, qtbot):
    dock.parent().destroyOnClose()
    qtbot.wait(50)
    _, widget = viewer.window.add_plugin_dock_widget("napari-tileseg", "Tiled Segmentation")
    qtbot.waitUntil(widget.isVisible, timeout=20_000)
    widget.session.set_settings(widget.session.settings.but(precision="fp32"))
    return widget


@pytest.fixture
def finished(viewer, dock, image, qtbot):
    viewer.add_image(image, name="slide")
    dock.session.set_model(network(), "stub")
    run(dock, qtbot)
    return dock


def test_another_model_does_not_change_what_painted_pixels_mean(finished, viewer, qtbot):
    (layer,) = ours(viewer)
    layer.paint((100, 100), 2)
    before = layer.data.copy()
    finished.session.set_model(network(Two(), classes=CLASSES[:2]), "/models/two.safetensors")
    run(finished, qtbot)
    assert [one.name for one in ours(viewer)] == ["slide · labels", "slide · two · labels"]
    assert layer.classes == CLASSES
    np.testing.assert_array_equal(layer.data, before)
    assert "stays in 'slide · labels'" in finished.session.view.notice.text
    finished.session.set_model(network(), "stub")
    run(finished, qtbot)
    assert len(ours(viewer)) == 2
    assert viewer.layers.selection.active is layer
    assert layer.vouched.count > 0


def test_another_model_reuses_a_layer_in_which_nobody_painted(finished, viewer, qtbot):
    finished.session.set_model(network(Two(), classes=CLASSES[:2]), "two")
    run(finished, qtbot)
    (layer,) = ours(viewer)
    assert layer.classes == CLASSES[:2]


def test_what_is_on_screen_is_not_mixed_with_labels_of_other_classes(finished, viewer, qtbot):
    (layer,) = ours(viewer)
    before = layer.data.copy()
    finished.session.set_model(network(Two(), classes=CLASSES[:2]), "/models/two.safetensors")
    viewer.scene.camera.center, viewer.scene.camera.zoom = (40, 60), 20
    finished.controller.run_view()
    qtbot.waitUntil(lambda: not finished.session.view.busy, timeout=20_000)
    assert [one.name for one in ours(viewer)] == ["slide · labels", "slide · two · labels"]
    assert layer.classes == CLASSES
    np.testing.assert_array_equal(layer.data, before)
    other = ours(viewer)[1].data
    assert 0 < (other != NOT_COMPUTED).sum() < other.size
    assert "Other labels stay in 'slide · labels'" in finished.session.view.notice.text


def test_a_dock_that_is_opened_again_goes_on_with_the_same_layer(finished, viewer, image, qtbot):
    (layer,) = ours(viewer)
    layer.paint((100, 100), 2)
    finished.controller.classes.rename(2, "mine")
    dock = reopened(viewer, finished, qtbot)
    assert dock.session.view.can_export
    assert [one.name for one in dock.session.classes] == ["background", "dim", "mine"]
    dock.session.set_model(network(), "stub")
    run(dock, qtbot)
    assert ours(viewer) == [layer]
    assert layer.vouched.count > 0
    assert layer.classes[2].name == "mine"
    differs = layer.data != expected(image)
    assert (layer.data[differs] == 2).all()


def test_a_class_layer_that_was_removed_is_made_again_and_the_others_stay(
    viewer, dock, image, qtbot
):
    viewer.add_image(image, name="slide")
    dock.session.set_model(network(task="multilabel"), "stub")
    run(dock, qtbot)
    layers = ours(viewer)
    layers[2].paint((50, 50), 1)
    viewer.layers.remove(layers[0])
    run(dock, qtbot)
    now = ours(viewer)
    assert len(now) == 3
    assert set(layers[1:]) < set(now)
    assert layers[2].vouched.count > 0
    np.testing.assert_array_equal(layers[1].data, 40 - np.abs(image - 120.0) > 0)


def test_probabilities_of_a_model_with_other_classes_get_a_layer_of_their_shape(
    finished, viewer, qtbot
):
    finished.session.set_settings(finished.session.settings.but(probabilities=True))
    run(finished, qtbot)
    finished.session.set_model(network(Two(), classes=CLASSES[:2]), "two")
    run(finished, qtbot)
    sure = [layer for layer in viewer.layers if "probabilities" in layer.name]
    assert [layer.data.shape for layer in sure] == [(2, 256, 256)]


def test_nothing_is_added_if_the_probabilities_would_not_fit_into_memory(
    viewer, dock, image, monkeypatch
):
    viewer.add_image(image, name="slide")
    dock.session.set_model(network(), "stub")
    dock.session.set_settings(dock.session.settings.but(probabilities=True))

    class Memory:
        available = 300_000

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    dock.controller.run()
    assert [layer.name for layer in viewer.layers] == ["slide"]
    assert "memory" in dock.session.view.notice.text


@pytest.fixture
def held(viewer, dock, image, qtbot):
    """A dock whose run waits inside the first tile, and the module that makes it wait."""
    module = Gated()
    viewer.add_image(image, name="slide")
    dock.session.set_model(gated_network(module), "stub")
    dock.controller.run()
    qtbot.waitUntil(lambda: module.begun >= 1, timeout=20_000)
    yield dock, module
    module.let(100_000)


def test_a_slower_load_does_not_replace_the_model_chosen_after_it(
    viewer, dock, image, monkeypatch, qtbot
):
    viewer.add_image(image, name="slide")
    gates = {"/slow": threading.Event(), "/broken": threading.Event()}
    ended = []

    def load(source, *_):
        if source in gates:
            gates[source].wait(20)
            ended.append(source)
        if source == "/broken":
            raise RuntimeError("not a model")
        return network()

    monkeypatch.setattr("napari_tileseg.viewer.loading.model", load)
    for source in ("/slow", "/broken", "/fast"):
        dock.controller.choose_model(source)
    qtbot.waitUntil(lambda: dock.session.view.origin == "/fast", timeout=20_000)
    for gate in gates.values():
        gate.set()
    qtbot.waitUntil(lambda: len(ended) == 2, timeout=20_000)
    qtbot.wait(200)
    assert dock.session.view.origin == "/fast"
    assert dock.session.view.notice is None


def test_nothing_that_is_loaded_or_opened_takes_a_session_out_of_its_run(held, viewer):
    dock, _ = held
    dock.session.set_model(network(), "late")
    assert dock.session.view.state is State.RUNNING
    dock.open_sample_and_run()
    assert dock.session.view.state is State.RUNNING
    assert len(viewer.layers) == 2
    assert "Cancel the run" in dock.session.view.notice.text


def test_after_cancel_neither_pause_nor_resume_is_offered(held, qtbot):
    dock, module = held
    dock.controller.cancel()
    view = dock.session.view
    assert "stopping after this tile" in view.progress_text
    assert (view.can_pause, view.can_resume, view.can_cancel) == (False, False, False)
    dock.controller.run_or_pause()
    assert dock.session.view.state is State.RUNNING
    module.let(1)
    qtbot.waitUntil(lambda: dock.session.view.state is State.CANCELLED, timeout=20_000)
    assert "stopping" not in dock.session.view.progress_text


def test_removing_a_layer_does_not_wait_for_the_tile_that_is_computed(held, viewer, monkeypatch):
    waited = []
    close = Job.close
    monkeypatch.setattr(
        Job, "close", lambda job, timeout_s=2.0: (waited.append(timeout_s), close(job, timeout_s))
    )
    viewer.layers.remove(ours(viewer)[0])
    assert waited == [0]


def test_an_image_whose_data_or_scale_changed_is_read_again(finished, viewer, image, qtbot):
    slide, (layer,) = viewer.layers["slide"], ours(viewer)
    slide.scale, slide.units = (0.5, 0.5), ("um", "um")
    assert finished.session.image.pixel_size_um == 0.5
    run(finished, qtbot)
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))
    slide.data = (255 - image)[:200]
    run(finished, qtbot)
    newest = ours(viewer)[-1]
    np.testing.assert_array_equal(newest.data, expected((255 - image)[:200]))


def test_replacing_the_data_of_the_image_ends_its_run(held, viewer, image):
    dock, _ = held
    viewer.layers["slide"].data = image[:100]
    assert not dock.controller.is_running
    assert "data of its image was replaced" in dock.session.view.notice.text
    assert dock.session.image.spatial_shape == (100, 256)


def test_a_measurement_that_failed_can_be_tried_again(finished, monkeypatch, qtbot):
    tries = []

    def fail(network, mode):
        tries.append(network)
        raise RuntimeError("no memory")

    monkeypatch.setattr("napari_tileseg.viewer.loading.probe", fail)
    for number in (1, 2):
        finished.controller.choose_settings(finished.session.settings.but(mode=Mode.EXACT))
        qtbot.waitUntil(lambda n=number: len(tries) == n, timeout=20_000)
        qtbot.waitUntil(lambda: not finished.session.needs_measuring, timeout=20_000)
        assert finished.session.settings.mode is Mode.AUTO
    assert "no memory" in finished.session.view.notice.text


def test_layers_of_a_run_that_was_removed_are_let_go_once_they_are_saved(finished, viewer, qtbot):
    pixels = weakref.ref(ours(viewer)[0].data)
    run_of = weakref.ref(finished.controller.runs._run)
    viewer.layers.remove(ours(viewer)[0])

    def is_gone(reference):
        gc.collect()
        return reference() is None

    qtbot.waitUntil(lambda: is_gone(run_of), timeout=20_000)
    qtbot.waitUntil(lambda: is_gone(pixels), timeout=20_000)
    assert finished.controller.projects.project.places(1, (256, 256))


def test_a_setting_that_does_not_fit_is_told_where_the_run_would_begin_again(finished):
    session = finished.session
    session.set_settings(session.settings.but(channels=(7,)))
    assert not session.view.can_run
    texts = [label.text() for label in finished.run_panel.findChildren(QLabel)]
    assert session.view.misfit in texts
