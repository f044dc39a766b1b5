"""An ONNX network through the dock: asked about, run, kept in the project, and not taught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog

import onnx_made
from napari_tileseg.session import State

NUCLEI = Path(__file__).parents[3] / "shared" / "data" / "unet2d_nuclei_broad"


def click(button):
    assert button.isVisible()
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def opened(dock, qtbot, tmp_path, monkeypatch):
    """The dock, once a file was chosen in the dialog and the form has been filled in."""
    model = onnx_made.one_by_one([10], [-5])
    path = onnx_made.written(model, tmp_path / "bright.onnx")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    click(dock.model_panel.open_file)
    form = dock.model_panel.weights_form
    qtbot.waitUntil(lambda: form.architecture.currentText() == "onnx", timeout=60_000)
    return dock


def test_an_onnx_network_is_asked_about_run_and_not_taught(opened, viewer, image, qtbot):
    dock, form = opened, opened.model_panel.weights_form
    said = form._title.text().replace("\u200b", "")
    assert "bright.onnx is an ONNX network, 1 channel, 1 output" in said
    assert not form.encoder.isEnabled()
    assert form.channels.value() == 1
    form.classes.setText("dark, bright")
    form.options.setText("normalisation=fixed answers=logits")
    click(form.load)
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=60_000)
    assert form.isHidden()
    assert [one.name for one in dock.session.view.spec.classes] == ["dark", "bright"]
    viewer.add_image(image, name="slide")
    click(dock.run_panel.run)
    qtbot.waitUntil(lambda: dock.session.view.state is State.FINISHED, timeout=60_000)
    labels = next(one for one in viewer.layers if one.name != "slide")
    assert np.array_equal(np.asarray(labels.data), image > 127)
    dock.controller.review.mark_view()
    why = "is an ONNX network: it can be run, but not taught"
    qtbot.waitUntil(lambda: why in dock.session.view.teach.problem, timeout=30_000)


def test_each_way_to_scale_intensities_is_tried_on_the_view(opened, viewer, image, qtbot):
    dock, form = opened, opened.model_panel.weights_form
    form.classes.setText("dark, bright")
    click(form.try_each)
    qtbot.waitUntil(lambda: "Choose an image" in form.tries.said.text(), timeout=30_000)
    viewer.add_image(image, name="slide")
    viewer.scene.camera.zoom /= 10  # all of it is in view
    tried(form, qtbot)
    for kind, share in (("fixed", (image > 127).mean()), ("none", (image > 0).mean())):
        assert f"bright: {100 * share:.0f} %" in form.tries.pictures[kind].toolTip()
    click(form.tries.pictures["none"])
    assert form.intensities.currentText() == "As they are"
    form.intensities.setCurrentText("Percentiles of the image")
    assert [kind for kind, one in form.tries.pictures.items() if one.isChecked()] == ["percentile"]
    click(form.load)
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=60_000)
    assert dock.session.view.spec.normalisation.kind == "percentile"


def tried(form, qtbot):
    click(form.try_each)
    qtbot.waitUntil(lambda: len(form.tries.pictures) == 4, timeout=60_000)
    # they are laid out, and with that shown, a moment after they were made
    qtbot.waitUntil(lambda: all(one.isVisible() for one in form.tries.pictures.values()))


def test_a_picture_that_is_clicked_wins_over_what_was_typed(opened, viewer, image, qtbot):
    form = opened.model_panel.weights_form
    viewer.add_image(np.stack([image] * 3, -1), rgb=True, name="coloured")
    form.options.setText("normalisation=fixed answers=logits")
    tried(form, qtbot)  # of its channels the first one is shown
    click(form.tries.pictures["zscore"])
    click(form.load)
    qtbot.waitUntil(lambda: opened.session.view.spec is not None, timeout=60_000)
    assert opened.session.view.spec.normalisation.kind == "zscore"


def test_pictures_are_of_what_is_filled_in(opened, viewer, image, qtbot):
    form = opened.model_panel.weights_form
    viewer.add_image(image, name="slide")
    tried(form, qtbot)
    form.options.setFocus()
    QTest.keyClicks(form.options, "depth")
    assert form.tries.isHidden()
    assert form.tries.pictures == {}
    click(form.try_each)
    assert "depth" in form._title.text()


def test_classes_that_lie_over_one_another_are_tried(dock, viewer, image, qtbot, tmp_path):
    model = onnx_made.one_by_one([10, 10], [-5, 5], last=[("Sigmoid", {})])
    path = onnx_made.written(model, tmp_path / "both.onnx")
    dock.model_panel.open(str(path))
    form = dock.model_panel.weights_form
    qtbot.waitUntil(lambda: form.architecture.currentText() == "onnx", timeout=60_000)
    form.classes.setText("bright, any")
    viewer.add_image(image, name="slide")
    viewer.scene.camera.zoom /= 10
    tried(form, qtbot)
    said = form.tries.pictures["fixed"].toolTip()
    assert f"bright: {100 * (image > 127).mean():.0f} %\nany: 100 %" in said


def test_why_a_model_cannot_be_tried_is_said(dock, viewer, image, qtbot, tmp_path):
    model = onnx_made.one_by_one([[1, 1, 1]], [0], shape=("n", 3, "h", "w"))
    dock.model_panel.open(str(onnx_made.written(model, tmp_path / "colours.onnx")))
    form = dock.model_panel.weights_form
    qtbot.waitUntil(lambda: form.architecture.currentText() == "onnx", timeout=60_000)
    viewer.add_image(image, name="grey")
    click(form.try_each)
    qtbot.waitUntil(lambda: "channel" in form.tries.said.text(), timeout=60_000)
    viewer.dims.ndisplay = 3
    click(form.try_each)
    qtbot.waitUntil(lambda: "2D view" in form.tries.said.text(), timeout=60_000)
    assert form.tries.pictures == {}
    assert form.try_each.isEnabled()


@pytest.mark.skipif(not NUCLEI.is_dir(), reason="needs ../shared/data/unet2d_nuclei_broad")
def test_a_published_package_is_chosen_as_a_folder_and_runs(dock, viewer, qtbot, monkeypatch):
    pytest.importorskip("bioimageio.spec", reason="the extra 'bioimageio' is not installed")
    image, expected = (np.load(NUCLEI / f"test_{one}.npy")[0, 0] for one in ("input", "output"))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(NUCLEI))
    click(dock.model_panel.open_folder)
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=60_000)
    assert dock.session.view.spec.name == "UNet 2D Nuclei Broad"
    viewer.add_image(image, name="nuclei")
    click(dock.run_panel.run)
    qtbot.waitUntil(lambda: dock.session.view.state is State.FINISHED, timeout=60_000)
    labels = next(one for one in viewer.layers if one.name != "nuclei")
    assert np.array_equal(np.asarray(labels.data), expected > 0.5)


def test_a_file_can_be_dropped_on_the_models(dock, qtbot, tmp_path):
    path = onnx_made.written(onnx_made.one_by_one([10], [-5]), tmp_path / "dropped.onnx")
    panel = dock.model_panel
    dropped(panel, [str(path)])
    qtbot.waitUntil(lambda: panel.weights_form.architecture.currentText() == "onnx", timeout=60_000)
    assert panel.weights_form.asks_about(str(path))


def dropped(widget, paths):
    """Drop files as a file manager does."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(one) for one in paths])
    place = widget.rect().center()
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(place, Qt.DropAction.CopyAction, data, buttons, keys)
    QApplication.sendEvent(widget, enter)
    assert enter.isAccepted()
    drop = QDropEvent(QPointF(place), Qt.DropAction.CopyAction, data, buttons, keys)
    QApplication.sendEvent(widget, drop)
