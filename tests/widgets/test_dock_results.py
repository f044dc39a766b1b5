"""Which layers a run goes to: what a person painted never changes its meaning."""

import numpy as np
import pytest
from gated import CLASSES, Gated, expected, gated_network

from napari_tileseg.session import State
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
