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
