"""Training from folders with real clicks, on images of 80 x 96 px."""

import numpy as np
import pytest
import torch
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_tileseg.io.checkpoints import load_model, save_model
from napari_tileseg.training.start import new_network


def click(button):
    assert button.isVisible()
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def data(tmp_path):
    for folder, seeds in (("train", (1, 2)), ("val", (3,))):
        for part in ("images", "masks"):
            (tmp_path / folder / part).mkdir(parents=True)
        for seed in seeds:
            rng = np.random.default_rng(seed)
            mask = np.zeros((80, 96), np.uint8)
            mask[rng.integers(0, 40) :, : rng.integers(40, 96)] = 1
            pixels = rng.normal(90 + 80 * mask, 12).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / "images" / f"{seed}.png")
            Image.fromarray(mask).save(tmp_path / folder / "masks" / f"{seed}.png")
    return tmp_path


@pytest.fixture
def base(tmp_path):
    small = {"decoder_channels": [16, 8, 8], "encoder_depth": 3}
    network = new_network(
        "small", ["background", "cell"], ("grey",), encoder="resnet18", arguments=small
    )
    return str(save_model(network, tmp_path / "small.safetensors"))


@pytest.fixture
def panel(viewer, qtbot, data, base):
    """The dock with a small base model, before any folder is chosen."""
    _, panel = viewer.window.add_plugin_dock_widget("napari-tileseg", "Train from Folders")
    qtbot.waitUntil(panel.isVisible, timeout=20_000)
    settings = panel.trainer.view.choice.settings
    small = settings.but(epochs=6, patch=64, batch=2, device="cpu", precision="fp32")
    panel.trainer.choose(base=base, settings=small)
    return panel


def choose(panel, data, *names):
    for name in names:
        row = panel.form.folders[name]
        part = "val" if name.startswith("val") else "train"
        path = str(data / part / name.removeprefix("val_"))
        row.path.setText(path)
        QTest.keyClick(row.path, Qt.Key.Key_Return)


def wait_for_end(panel, qtbot):
    qtbot.waitUntil(lambda: not panel.trainer.view.working, timeout=120_000)


def test_a_model_is_trained_used_in_the_other_dock_and_saved(
    panel, viewer, data, tmp_path, monkeypatch, qtbot
):
    assert not panel.train.isEnabled()
    choose(panel, data, "images", "masks", "val_images", "val_masks")
    click(panel.train)
    assert panel.cancel.isVisible()
    wait_for_end(panel, qtbot)
    view = panel.trainer.view
    assert view.problem == ""
    assert panel.table.rowCount() == len(view.rows) >= 6
    assert sum(row.best for row in view.rows) == 1
    assert panel.curve.isVisible()
    assert "mIoU" in view.result
    click(panel.use)
    _, dock = viewer.window.add_plugin_dock_widget("napari-tileseg", "Tiled Segmentation")
    assert dock.session.network is panel.trainer.network
    assert "Save it" in panel.trainer.view.said
    file = tmp_path / "mine.v2.safetensors"
    assert save_as(panel, monkeypatch, (tmp_path / "mine.v2", "Models")) == ["trained"]
    qtbot.waitUntil(lambda: str(file) in panel.trainer.view.said, timeout=20_000)
    click(panel.use)
    assert dock.session.view.origin == str(file)
    saved = load_model(file)
    assert saved.spec.name == "mine.v2"
    assert saved.provenance["training"]["validation_miou"] > 0
    folder, onnx = tmp_path / "folder", tmp_path / "mine.onnx"
    save_as(panel, monkeypatch, (onnx, "Models"))
    qtbot.waitUntil(lambda: str(onnx) in panel.trainer.view.said, timeout=20_000)
    assert load_model(onnx).spec.classes == saved.spec.classes
    assert panel.trainer.origin == str(file)
    save_as(panel, monkeypatch, (folder, "Folders"))
    qtbot.waitUntil(lambda: str(folder) in panel.trainer.view.said, timeout=20_000)
    assert load_model(folder).spec.classes == saved.spec.classes
    assert panel.trainer.origin == str(folder)


def test_a_file_of_which_only_the_suffix_was_not_typed_is_asked_about(panel, tmp_path, monkeypatch):
    there = tmp_path / "mine.onnx"
    there.write_bytes(b"")
    monkeypatch.setattr(panel.trainer, "save", lambda *_, **__: pytest.fail("nobody said so"))
    panel.save.setVisible(True)
    panel.save.setEnabled(True)
    answers = (tmp_path / "mine", "ONNX"), ("", "ONNX")
    assert save_as(panel, monkeypatch, *answers) == ["trained", str(there)]


def save_as(panel, monkeypatch, *answers):
    """Press Save, and answer each dialog with a path and a format; return what they began with."""
    begun, answers = [], iter(answers)

    def answer(_parent, _title, start, kinds, _kind):
        begun.append(start)
        path, kind = next(answers)
        return str(path), next(one for one in kinds.split(";;") if one.startswith(kind))

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    click(panel.save)
    return begun


def test_a_new_network_of_any_kind_is_trained(panel, data, tmp_path, monkeypatch, qtbot):
    panel.trainer.choose(base="")
    form = panel.network_form
    click(panel.new_network.button)
    qtbot.waitUntil(lambda: form.encoder.completer() is not None, timeout=60_000)
    pick(form.architecture, "attention-unet")
    type_into(form.encoder, "resnet18")
    type_into(form.options, "encoder_depth=3 decoder_channels=[16,8,8]")
    encoder = new_network("e", ["a", "b"], ["grey"], encoder="resnet18").module.encoder
    with torch.no_grad():
        encoder.conv1.weight.fill_(0.25)
    torch.save(encoder.state_dict(), tmp_path / "mine.pt")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "mine.pt"), ""))
    pick(form.weights, "A file …")
    assert form.weights.currentText() == "mine.pt"
    pick(form.intensities, "Percentiles")
    settings = panel.trainer.view.choice.settings
    panel.trainer.choose(settings=settings.but(epochs=1, learning_rate=1e-7))
    choose(panel, data, "images", "masks")
    click(panel.train)
    assert not form.isVisible()
    wait_for_end(panel, qtbot)
    assert panel.trainer.view.problem == ""
    network = panel.trainer.network
    assert network.architecture.name == "attention-unet"
    assert network.spec.normalisation.kind == "percentile"
    kernel = network.module.encoder.conv1.weight
    assert torch.allclose(kernel, torch.full_like(kernel, 0.25), atol=1e-3)
    pick(form.architecture, "res-unet")
    assert not form.encoder.isEnabled()
    panel.trainer.choose(base="small")
    assert not form.isVisible()


def test_options_that_cannot_be_read_are_said(panel, data, qtbot):
    panel.trainer.choose(base="")
    click(panel.new_network.button)
    type_into(panel.network_form.options, "depth")
    choose(panel, data, "images", "masks")
    click(panel.train)
    wait_for_end(panel, qtbot)
    assert "depth" in panel.trainer.view.problem


def pick(box, text):
    """Choose from a list with the keyboard."""
    index = box.findText(text)
    assert index >= 0
    box.setFocus()
    box.showPopup()
    view = box.view()
    view.setCurrentIndex(box.model().index(index, 0))
    QTest.keyClick(view, Qt.Key.Key_Return)


def type_into(line, text):
    line.setFocus()
    line.clear()
    QTest.keyClicks(line, text)
    QTest.keyClick(line, Qt.Key.Key_Return)


def test_cancel_keeps_the_best_model(panel, data, qtbot):
    panel.trainer.choose(settings=panel.trainer.view.choice.settings.but(epochs=600))
    choose(panel, data, "images", "masks")
    click(panel.train)
    qtbot.waitUntil(lambda: panel.trainer.network is not None, timeout=120_000)
    click(panel.cancel)
    wait_for_end(panel, qtbot)
    assert panel.use.isVisible()
    assert panel.form.isVisible()


def test_files_that_do_not_pair_up_are_named_and_closing_ends_everything(panel, data, qtbot):
    (data / "train" / "masks" / "2.png").unlink()
    choose(panel, data, "images", "masks")
    click(panel.train)
    wait_for_end(panel, qtbot)
    assert "2.png" in panel.trainer.view.problem
    assert not panel.use.isVisible()
    trainer = panel.trainer
    panel.parent().destroyOnClose()
    qtbot.wait(50)
    assert trainer._job is None
