"""The dock around a run: images, models, classes, export, themes, hotkeys, samples."""

import gc

import numpy as np
import pytest
import torch
from gated import CLASSES, Gated, expected, gated_network
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_tileseg.engine.spec import ClassInfo
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.labels import read_labels
from napari_tileseg.session import State
from napari_tileseg.viewer import loading
from napari_tileseg.viewer.hotkeys import ACTIONS
from napari_tileseg.widgets.weights_form import WeightsForm


def click(button):
    assert button.isVisible()
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def finished(viewer, dock, image, qtbot):
    """The dock after a run."""
    module = Gated()
    module.let(1000)
    viewer.add_image(image, name="slide", scale=(0.5, 0.5), units=("um", "um"))
    dock.session.set_model(gated_network(module), "stub")
    click(dock.run_panel.run)
    qtbot.waitUntil(lambda: dock.session.view.state is State.FINISHED, timeout=20_000)
    return dock


def choose(box, text):
    """Choose an entry as a click into the list does."""
    index = box.findText(text, Qt.MatchFlag.MatchStartsWith)
    assert index >= 0
    box.setCurrentIndex(index)
    box.activated.emit(index)


def test_images_come_and_go_with_the_layers(viewer, dock):
    assert dock.session.view.state is State.NO_IMAGE
    first = viewer.add_image(np.zeros((40, 50), np.uint8), name="first")
    viewer.add_image(np.zeros((60, 70), np.uint8), name="second")
    viewer.add_labels(np.zeros((60, 70), np.uint8))
    box = dock.image_panel.layers
    assert [box.itemText(index) for index in range(box.count())] == ["first", "second"]
    assert dock.session.view.image.name == "first"
    choose(box, "second")
    assert dock.session.view.image.name == "second"
    first.name = "other"
    assert box.itemText(0) == "other"
    viewer.layers.remove("second")
    assert dock.session.view.image.name == "other"


def test_which_axis_holds_channels_can_be_said(viewer, dock):
    viewer.add_image(np.zeros((3, 40, 50), np.uint8), rgb=False)
    assert dock.session.view.image.kind == "grey"
    choose(dock.image_panel.channel_axis, "axis 0")
    assert dock.session.view.image.kind == "3 channels"
    choose(dock.image_panel.channel_axis, "no axis")
    assert dock.session.view.image.kind == "grey"


def test_a_misfit_is_resolved_with_one_click(viewer, dock, image):
    viewer.add_image(image)
    dock.session.set_model(gated_network(channels=("red", "green", "blue")), "stub")
    assert dock.session.view.state is State.MISFIT
    assert not dock.run_panel.run.isEnabled()
    click(dock.model_panel.channel_rows.accept)
    assert dock.session.view.state is State.READY
    assert dock.session.settings.channels == (0, 0, 0)


def test_a_model_is_loaded_in_the_background(viewer, dock, image, qtbot, monkeypatch):
    monkeypatch.setattr(loading, "model", lambda *_: gated_network())
    viewer.add_image(image)
    choose(dock.model_panel.models, "cells")
    assert dock.session.view.loading == "cells"
    assert "loading" in dock.session.view.model_line
    qtbot.waitUntil(lambda: dock.session.view.state is State.READY, timeout=20_000)
    assert dock.model_panel.models.currentText() == "cells"


def test_a_model_of_volumes_says_that_an_image_is_flat(viewer, dock, image, qtbot, monkeypatch):
    monkeypatch.setattr(loading, "model", lambda *_: gated_network(dims=3))
    viewer.add_image(image)
    choose(dock.model_panel.models, "cells")
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=20_000)
    assert dock.session.view.state is State.MISFIT
    assert "3-D" in dock.session.view.misfit
    viewer.add_image(np.zeros((8, 64, 64), np.uint8), name="volume")
    choose(dock.image_panel.layers, "volume")
    assert dock.session.view.state is State.READY
    assert dock.session.source.spatial_shape == (8, 64, 64)


def test_a_file_that_is_no_model_is_explained_in_the_dock(dock, qtbot, tmp_path, monkeypatch):
    def fail(*_):
        raise CheckpointError("This is a web page, not a checkpoint.")

    monkeypatch.setattr(loading, "model", fail)
    dock.model_panel.open(str(tmp_path / "bad.safetensors"))
    qtbot.waitUntil(lambda: dock.session.view.notice is not None, timeout=20_000)
    assert "web page" in dock.session.view.notice.text
    assert dock.session.view.state is State.NO_IMAGE
    assert dock.model_panel.models.currentIndex() == 0


def test_files_used_lately_are_offered_again(viewer, dock, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "model", lambda *_: gated_network())
    monkeypatch.setattr(loading, "look", lambda _: None)
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"")
    dock.model_panel.open(str(path))
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=20_000)
    assert dock.model_panel.models.currentText() == "mine.safetensors"
    assert dock.model_panel.models.findData(str(path)) >= 0


def test_bare_weights_ask_for_their_network_in_the_dock(dock, qtbot, tmp_path):
    asked = []
    dock.model_panel.weights_requested.connect(lambda *values: asked.append(values))
    dock.model_panel.weights_requested.disconnect(dock.controller.choose_weights)
    path = str(tmp_path / "weights.pt")
    torch.save({"mine": torch.zeros(2)}, path)
    dock.model_panel.open(path)
    form = dock.model_panel.weights_form
    form.encoder.setText("resnet18")
    form.channels.setValue(1)
    form.classes.setText("background, cell")
    click(form.load)
    [(asked_path, architecture, names)] = asked
    assert asked_path == path
    assert architecture.arguments == {"encoder_name": "resnet18", "in_channels": 1, "classes": 2}
    assert names == ["background", "cell"]


def test_the_form_for_bare_weights_knows_every_architecture_and_its_options(qtbot):
    form = WeightsForm()
    qtbot.addWidget(form)
    form.ask("weights.pt")
    asked = []
    form.weights_requested.connect(lambda *values: asked.append(values))
    assert form.encoder.isEnabled()
    form.architecture.setCurrentText("segnet")
    assert not form.encoder.isEnabled()
    form.classes.setText("background, cell")
    form.options.setText("pooling")
    click(form.load)
    assert not asked
    assert "KEY=VALUE" in form._title.text()
    form.options.setText("pooling=average base_channels=16")
    click(form.load)
    architecture = asked[0][1]
    assert architecture.name == "segnet"
    assert architecture.arguments == {
        "in_channels": 3,
        "classes": 2,
        "pooling": "average",
        "base_channels": 16,
    }


def test_a_click_on_a_class_takes_the_brush_for_it(viewer, finished):
    layer = viewer.layers[-1]
    viewer.layers.selection.active = viewer.layers[0]
    QTest.mouseClick(finished.class_list.rows[2], Qt.MouseButton.LeftButton)
    assert viewer.layers.selection.active == layer
    assert (layer.selected_label, layer.mode) == (2, "paint")
    layer.selected_label = 1
    assert [row.selected for row in finished.session.view.classes] == [False, True, False]


def test_a_double_click_renames_a_class_everywhere(viewer, finished):
    row = finished.class_list.rows[1]
    QTest.mouseDClick(row, Qt.MouseButton.LeftButton)
    row.editor.setText("nucleus")
    QTest.keyClick(row.editor, Qt.Key.Key_Return)
    assert row.name.text() == "nucleus"
    assert "nucleus" in list(viewer.layers[-1].features["class"])


def test_escape_leaves_the_name_as_it_was(finished):
    row = finished.class_list.rows[1]
    row.start_editing()
    row.editor.setText("nonsense")
    QTest.keyClick(row.editor, Qt.Key.Key_Escape)
    assert finished.session.classes[1].name == CLASSES[1].name


def test_the_eye_hides_one_class_only(viewer, finished):
    layer = viewer.layers[-1]
    click(finished.class_list.rows[1].eye)
    assert layer.hidden == {1}
    click(finished.class_list.rows[1].eye)
    assert layer.hidden == frozenset()


def test_areas_carry_units(finished):
    assert "µm²" in finished.session.view.classes[1].area
    assert finished.class_list.rows[1]._share.text().endswith(" %")


def test_what_is_exported_reads_back_the_same(viewer, finished, image, tmp_path, qtbot):
    finished.export_step.set_open(True)
    target = tmp_path / "out.ome.tif"
    finished.export_panel.name.setText(str(target))
    click(finished.export_panel.export)
    qtbot.waitUntil(lambda: finished.session.view.export_line == "out.ome.tif", timeout=20_000)
    back = read_labels(target)
    np.testing.assert_array_equal(back.labels, expected(image))
    assert [one.name for one in back.classes] == [one.name for one in CLASSES]
    assert back.pixel_size_um == pytest.approx(0.5)


def test_the_suffix_follows_the_format_and_the_other_way_round(finished):
    finished.export_step.set_open(True)
    panel = finished.export_panel
    choose(panel.format, "PNG")
    assert panel.name.text() == "slide_labels.png"
    panel.name.setText("")
    QTest.keyClicks(panel.name, "other.ome.tif")
    assert panel.format.currentData() == ".ome.tif"


def test_an_export_that_fails_is_explained_and_loses_nothing(finished, qtbot, tmp_path):
    finished.controller.export(str(tmp_path / "no such folder" / "out.png"))
    qtbot.waitUntil(lambda: finished.session.view.notice is not None, timeout=20_000)
    assert finished.session.view.notice.text.endswith("The labels are still in napari.")


def test_no_dialog_opens_while_work_runs(finished, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    finished.export_step.set_open(True)
    click(finished.export_panel._browse)
    assert QApplication.activeModalWidget() is None


@pytest.mark.parametrize(
    ("key", "modifiers"),
    [(Qt.Key.Key_D, 1), (Qt.Key.Key_A, 2)],
)
def test_hotkeys_step_through_the_classes(viewer, finished, key, modifiers):
    finished.controller.classes.select(0)
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, key, both)
    assert viewer.layers[-1].selected_label == modifiers


def test_a_hotkey_runs_and_another_hides_the_labels(viewer, finished):
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, Qt.Key.Key_L, both)
    assert not viewer.layers[-1].visible
    QTest.keyClick(canvas, Qt.Key.Key_L, both)
    assert viewer.layers[-1].visible
    QTest.keyClick(canvas, Qt.Key.Key_R, both)
    assert finished.session.view.busy
    QTest.keyClick(canvas, Qt.Key.Key_X, both)


def test_steps_say_their_state_when_they_are_closed(finished):
    click(finished.model_step.header)
    assert not finished.model_panel.isVisible()
    assert finished.model_step.header.accessibleDescription() == "stub · 3 classes"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_is_readable_in_both_themes(viewer, finished, theme):
    viewer.theme = theme
    QApplication.processEvents()
    panels = (finished.run_panel.run, finished.image_step.header, finished.model_panel.open_file)
    for widget in panels:
        picture = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
        bits = picture.constBits()
        bits.setsize(picture.sizeInBytes())
        grey = np.frombuffer(bits, np.uint8).reshape(-1, 4)[:, :3].mean(1)
        assert np.ptp(grey) > 80


@pytest.mark.parametrize("width", [300, 320, 480])
def test_nothing_is_wider_than_the_dock(finished, viewer, width, qtbot):
    dock_widget = finished.parent()
    dock_widget.setFixedWidth(width)
    qtbot.wait(50)
    edge = finished.mapToGlobal(finished.rect().topRight()).x()
    for widget in (finished.run_panel.run, finished.export_step.header, finished.class_list):
        assert widget.mapToGlobal(widget.rect().topRight()).x() <= edge


@pytest.mark.parametrize("sample", ["cells", "axon_myelin_sem"])
def test_each_sample_opens_with_its_model(viewer, dock, qtbot, monkeypatch, sample):
    monkeypatch.setattr(loading, "model", lambda *_: gated_network())
    viewer.open_sample("napari-tileseg", sample)
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=20_000)
    assert dock.session.view.image.pixel_size_um is not None
    assert dock.session.view.origin == sample


def test_the_demo_opens_the_sample_and_runs_it(viewer, dock, qtbot, monkeypatch):
    module = Gated()
    monkeypatch.setattr(loading, "model", lambda *_: gated_network(module))
    dock.open_sample_and_run()
    qtbot.waitUntil(lambda: module.begun > 0, timeout=20_000)
    dock.controller.cancel()
    module.let(1000)
    qtbot.waitUntil(lambda: not dock.session.view.busy, timeout=20_000)


def test_exact_mode_is_measured_in_the_background(viewer, dock, image, qtbot):
    viewer.add_image(image)
    module = Gated()
    module.let(10_000)
    dock.session.set_model(gated_network(module), "stub")
    choose(dock.run_panel.form.field("mode").widget.native, "Exact")
    assert not dock.run_panel.run.isEnabled()
    qtbot.waitUntil(lambda: not dock.session.needs_measuring, timeout=60_000)
    assert dock.run_panel.run.isEnabled()
    assert not dock.run_panel.form.field("overlap").widget.native.isEnabled()


def test_another_mode_takes_the_blending_back(viewer, dock):
    form = dock.run_panel.form
    choose(form.field("blend").widget.native, "Hann")
    assert dock.session.settings.mode.value == "blend"
    choose(form.field("mode").widget.native, "Whole image")
    assert dock.session.settings.blend is None
    assert dock.session.settings.mode.value == "whole"


def test_labels_keep_their_classes_until_another_model_replaces_them(viewer, finished, qtbot):
    finished.controller.classes.rename(1, "nucleus")
    module = Gated()
    module.let(1000)
    two = (CLASSES[0], ClassInfo("other", "#0000ff"), ClassInfo("third", "#00ffff"))
    finished.session.set_model(gated_network(module, classes=two), "second")
    names = [row.name.text() for row in finished.class_list.rows]
    assert names == ["background", "nucleus", "bright"]
    click(finished.run_panel.run)
    qtbot.waitUntil(lambda: finished.session.view.state is State.FINISHED, timeout=20_000)
    assert [row.name.text() for row in finished.class_list.rows] == ["background", "other", "third"]
    assert [one.name for one in viewer.layers[-1].classes] == ["background", "other", "third"]


def test_another_image_and_back_finds_the_labels_again(viewer, finished):
    finished.controller.classes.rename(1, "nucleus")
    viewer.add_image(np.zeros((64, 64), np.uint8), name="second")
    choose(finished.image_panel.layers, "second")
    assert not finished.session.view.can_export
    assert finished.session.view.classes[1].share is None
    choose(finished.image_panel.layers, "slide")
    assert finished.session.view.can_export
    assert finished.session.view.classes[1].name == "nucleus"
    assert finished.session.view.classes[1].share > 0


def ours_among_callbacks(viewer):
    emitters = (
        *viewer.layers.events.emitters.values(),
        *viewer.scene.camera.events.emitters.values(),
        *viewer.dims.events.emitters.values(),
    )
    found = [repr(one) for emitter in emitters for one in emitter.callbacks]
    return [one for one in found if "Controller" in one or "TiledSegmentation" in one]


def test_a_closed_dock_has_let_go_of_the_viewer(viewer, image, qtbot):
    keys = len(viewer.keymap)
    _, dock = viewer.window.add_plugin_dock_widget("napari-tileseg", "Tiled Segmentation")
    assert len(viewer.keymap) == keys + len(ACTIONS)
    assert len(ours_among_callbacks(viewer)) >= 8
    gone = []
    dock.destroyed.connect(lambda: gone.append(True))
    dock.parent().destroyOnClose()
    qtbot.waitUntil(lambda: bool(gone), timeout=20_000)
    assert len(viewer.keymap) == keys
    del dock
    gc.collect()
    # napari itself drops what it connected when the event comes the next time
    viewer.add_image(image)
    viewer.layers[0].name = "renamed"
    viewer.layers.append(viewer.layers.pop())
    viewer.layers.move(0, 0)
    assert ours_among_callbacks(viewer) == []
