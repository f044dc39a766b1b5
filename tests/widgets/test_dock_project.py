"""The work on disk in a real viewer: painted with the mouse, closed, offered again."""

import time

import numpy as np
import pytest
import tifffile
import torch
from gated import CLASSES, Gated, gated_network
from qtpy.QtCore import QCoreApplication, QPoint, Qt
from qtpy.QtTest import QTest

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec
from napari_tileseg.io.project import Project
from napari_tileseg.io.project_place import is_project
from napari_tileseg.models import registry
from napari_tileseg.viewer import autosave
from napari_tileseg.viewer.layers import SegmentationLabels
from napari_tileseg.viewer.project_files import make_project
from napari_tileseg.widgets.docked import close_late


def network():
    module = Gated()
    module.let(100_000)
    return gated_network(module)


def savable_network(seed):
    """A small network with a recipe, so that it can be written to a file."""
    arguments = {"in_channels": 1, "classes": 3, "depth": 1, "base_channels": 4}
    recipe = Architecture("original-unet", {**arguments, "padding": "same"})
    torch.manual_seed(seed)
    spec = ModelSpec("cells", CLASSES, channels=("grey",), stride=2, tile=64)
    return Network(registry.build(recipe).eval(), spec, recipe)


@pytest.fixture
def slide(tmp_path, image):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, image)
    return path


def run(dock, qtbot):
    dock.session.set_model(network(), "stub")
    dock.controller.run()
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)


def ours(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, SegmentationLabels)]


def stroke(viewer, qtbot, label=2):
    """Drag the brush over the middle of the canvas."""
    (layer,) = ours(viewer)
    viewer.layers.selection.active = layer
    layer.selected_label = label
    layer.brush_size = 20
    layer.mode = "paint"
    canvas = viewer.window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(8):
        QTest.mouseMove(canvas, middle + QPoint(5 * step, 2 * step))
        qtbot.wait(5)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle + QPoint(40, 16))
    assert layer.vouched.count


def saved(dock, qtbot):
    """Wait until all is on disk."""
    projects = dock.controller.projects
    autosave = projects._autosave

    def is_saved():
        work = projects._work
        return (
            projects.project is not None
            and not work.is_busy
            and not work.is_dirty
            and not work.has_news()
        )

    qtbot.wait(20)
    autosave.look()
    qtbot.waitUntil(is_saved, timeout=10_000)


def offered(dock, qtbot):
    qtbot.waitUntil(lambda: bool(dock.session.view.work.offer), timeout=10_000)
    return dock.session.view.work.offer


def again(viewer, dock, make_napari_viewer, qtbot):
    """Close the window, and open another one with the dock."""
    dock.parent().destroyOnClose()
    viewer.close()
    viewer = make_napari_viewer(show=True, strict_qt=True)
    viewer.window.resize(1200, 900)
    return viewer, dock_in(viewer, qtbot)


def dock_in(viewer, qtbot):
    _, widget = viewer.window.add_plugin_dock_widget("napari-tileseg", "Tiled Segmentation")
    qtbot.waitUntil(widget.isVisible, timeout=20_000)
    widget.session.set_settings(widget.session.settings.but(precision="fp32"))
    return widget


def test_what_was_painted_comes_back_after_closing(viewer, dock, slide, make_napari_viewer, qtbot):
    viewer.open(str(slide))
    run(dock, qtbot)
    stroke(viewer, qtbot)
    (layer,) = ours(viewer)
    dock.controller.classes.rename(1, "myelin")
    before = layer.data.copy(), layer.vouched.read((slice(0, 256), slice(0, 256)))
    viewer, dock = again(viewer, dock, make_napari_viewer, qtbot)
    assert is_project(slide.with_name("slide.tif.tileseg"))
    viewer.open(str(slide))
    assert "px vouched for" in offered(dock, qtbot)
    assert not ours(viewer)
    qtbot.mouseClick(dock.project_bar.go_on, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(ours(viewer)) == 1, timeout=10_000)
    (layer,) = ours(viewer)
    np.testing.assert_array_equal(layer.data, before[0])
    np.testing.assert_array_equal(layer.vouched.read((slice(0, 256), slice(0, 256))), before[1])
    assert [one.name for one in layer.classes] == ["background", "myelin", "bright"]
    assert dock.session.classes[1].name == "myelin"
    painted = layer.data.copy()
    layer.undo()
    np.testing.assert_array_equal(layer.data, painted)
    run(dock, qtbot)
    assert ours(viewer) == [layer]
    np.testing.assert_array_equal(layer.data[before[1]], before[0][before[1]])


def test_work_is_saved_even_if_timers_are_gone_before_the_window(viewer, dock, slide, qtbot):
    viewer.open(str(slide))
    run(dock, qtbot)
    stroke(viewer, qtbot)
    controller = dock.controller
    autosave = controller.projects._autosave
    for timer in (
        controller._estimates._timer,
        controller.teaching._readiness._timer,
        autosave._look_timer,
        autosave._copy_timer,
    ):
        timer.deleteLater()
    qtbot.wait(20)
    close_late(dock.connected)
    project = Project.open(slide.with_name("slide.tif.tileseg"))
    assert project.facts["vouched_px"] == ours(viewer)[0].vouched.count > 0
    project.close()


def test_a_project_folder_that_is_opened_brings_its_image_along(
    viewer, dock, slide, make_napari_viewer, qtbot
):
    viewer.open(str(slide))
    run(dock, qtbot)
    stroke(viewer, qtbot)
    before = ours(viewer)[0].data.copy()
    viewer, dock = again(viewer, dock, make_napari_viewer, qtbot)
    viewer.open(str(slide.with_name("slide.tif.tileseg")), plugin="napari-tileseg")
    qtbot.waitUntil(lambda: len(ours(viewer)) == 1, timeout=10_000)
    np.testing.assert_array_equal(ours(viewer)[0].data, before)
    assert viewer.layers[0].name == "slide"


def test_new_work_sets_earlier_work_aside_and_offers_to_bring_it_back(
    viewer, dock, slide, make_napari_viewer, qtbot
):
    viewer.open(str(slide))
    run(dock, qtbot)
    stroke(viewer, qtbot)
    before = ours(viewer)[0].data.copy()
    viewer, dock = again(viewer, dock, make_napari_viewer, qtbot)
    viewer.open(str(slide))
    offered(dock, qtbot)
    run(dock, qtbot)
    qtbot.waitUntil(lambda: "slide.tif.2.tileseg" in dock.session.view.work.offer, timeout=10_000)
    saved(dock, qtbot)
    assert is_project(slide.with_name("slide.tif.tileseg"))
    dock.controller.projects.go_on()
    qtbot.waitUntil(lambda: len(ours(viewer)) == 2, timeout=10_000)
    np.testing.assert_array_equal(ours(viewer)[-1].data, before)


def return_to(dock, line, qtbot):
    dock.teach_step.set_open(True)
    button = dock.teach_panel.versions.lines[line].button
    qtbot.waitUntil(lambda: button.isEnabled() and button.height() > 5, timeout=5_000)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)


def test_what_the_model_was_taught_is_there_the_next_day(
    viewer, dock, slide, make_napari_viewer, qtbot
):
    viewer.open(str(slide))
    dock.session.set_model(savable_network(0), "cells")
    dock.controller.run()
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)
    loaded = ours(viewer)[0].data.copy()
    history = dock.controller.teaching.history
    history.use(history.versions.add(savable_network(1), "Dice 0.71 → 0.83"))
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)
    taught = ours(viewer)[0].data.copy()
    assert (loaded != taught).any()
    viewer, dock = again(viewer, dock, make_napari_viewer, qtbot)
    viewer.open(str(slide))
    offered(dock, qtbot)
    qtbot.mouseClick(dock.project_bar.go_on, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(ours(viewer)) == 1, timeout=10_000)
    assert dock.session.view.origin == "cells · taught 1"
    np.testing.assert_array_equal(ours(viewer)[0].data, taught)
    return_to(dock, 1, qtbot)
    assert dock.session.view.origin == "cells"
    np.testing.assert_array_equal(ours(viewer)[0].data, loaded)
    return_to(dock, 0, qtbot)
    np.testing.assert_array_equal(ours(viewer)[0].data, taught)


@pytest.mark.parametrize("quits", [False, True], ids=["closes", "quits"])
@pytest.mark.parametrize("slow_s", [0, 3])
def test_what_was_taught_just_before_the_end_is_there_the_next_day(
    slow_s, quits, viewer, dock, slide, make_napari_viewer, qtbot, monkeypatch
):
    def make_slowly(*of):
        time.sleep(slow_s)  # a slow disk: the end comes while the project is being made
        return make_project(*of)

    monkeypatch.setattr(autosave, "make_project", make_slowly)
    viewer.open(str(slide))
    dock.session.set_model(savable_network(0), "cells")
    dock.controller.run()
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)
    history = dock.controller.teaching.history
    history.use(history.versions.add(savable_network(1), "Dice 0.71 → 0.83"))
    assert dock.controller.projects.project is None or not slow_s
    if quits:  # napari does this before its windows are gone
        QCoreApplication.instance().aboutToQuit.emit()
    viewer, dock = again(viewer, dock, make_napari_viewer, qtbot)
    viewer.open(str(slide))
    offered(dock, qtbot)
    qtbot.mouseClick(dock.project_bar.go_on, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.session.view.origin == "cells · taught 1", timeout=10_000)
    qtbot.waitUntil(lambda: len(ours(viewer)) == 1, timeout=10_000)
