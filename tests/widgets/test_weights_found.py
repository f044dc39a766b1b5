"""What bare weights tell is filled in, and a file that runs code is asked about."""

from __future__ import annotations

from threading import Event

import torch
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from safetensors.torch import save_file
from torch import nn

from napari_tileseg.errors import NotTrustedError
from napari_tileseg.io.checkpoints import bundled_models
from napari_tileseg.viewer import loading
from written_unets import STYLES, Written


def click(button):
    assert button.isVisible()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def asked_about(dock, qtbot, path):
    """Open weights that somebody's own code has written; return the form, filled in."""
    torch.save(Written(STYLES["inc, down, up, outc"]).state_dict(), path)
    form = dock.model_panel.weights_form
    dock.model_panel.open(str(path))
    qtbot.waitUntil(lambda: form.architecture.currentText() == "scratch-unet", timeout=30_000)
    return form


def test_what_the_weights_tell_is_filled_in_and_the_rest_is_asked(dock, qtbot, tmp_path):
    form = asked_about(dock, qtbot, tmp_path / "mine.pt")
    assert form.channels.value() == 2
    assert form.classes.text() == "background, class 1, class 2"
    assert "mine.pt is scratch-unet, 2 channels, 3 outputs. The weights do not say" in (
        form._title.text().replace("\u200b", "")
    )
    form.classes.setText("background, cell, nucleus")
    click(form.load)
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=30_000)
    assert [one.name for one in dock.session.view.spec.classes][1:] == ["cell", "nucleus"]
    assert "The weights do not say" in dock.session.view.notice.text


def test_bare_weights_are_told_by_what_is_in_the_file(dock, qtbot, tmp_path):
    save_file(
        Written(STYLES["inc, down, up, outc"]).state_dict(), str(tmp_path / "mine.safetensors")
    )
    dock.model_panel.open(str(tmp_path / "mine.safetensors"))
    form = dock.model_panel.weights_form
    qtbot.waitUntil(lambda: form.architecture.currentText() == "scratch-unet", timeout=30_000)
    assert form.isVisible()
    click(form.leave)
    dock.model_panel.open(str(next(iter(bundled_models().values()))))
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=30_000)
    assert form.isHidden()


def test_a_model_that_is_chosen_while_a_file_is_looked_into_stays(
    dock, qtbot, tmp_path, monkeypatch
):
    slow = Slow(None)
    monkeypatch.setattr(loading, "look", slow)
    dock.model_panel.open(empty(tmp_path / "a.safetensors"))
    qtbot.waitUntil(slow.begun.is_set)
    models = dock.model_panel.models
    models.activated.emit(models.findData("axon_myelin_sem"))
    slow.may_end.set()
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=30_000)
    qtbot.wait(200)
    assert dock.session.view.origin == "axon_myelin_sem"
    assert not dock.session.view.loading


def test_a_file_that_is_looked_into_too_late_asks_for_no_trust(dock, qtbot, tmp_path, monkeypatch):
    slow = Slow(NotTrustedError("it would run code"))
    monkeypatch.setattr(loading, "look", slow)
    panel = dock.model_panel
    panel.open(empty(tmp_path / "evil.pt"))
    qtbot.waitUntil(slow.begun.is_set)
    monkeypatch.setattr(loading, "look", lambda _: [])
    panel.open(empty(tmp_path / "mine.pt"))
    slow.may_end.set()
    qtbot.waitUntil(lambda: "fit no network" in panel.weights_form._title.text(), timeout=30_000)
    qtbot.wait(200)
    assert panel.trust_form.isHidden()
    assert panel.weights_form.isVisible()


def test_a_file_that_was_left_while_it_is_looked_into_is_not_asked_about_again(
    dock, qtbot, tmp_path, monkeypatch
):
    slow = Slow(NotTrustedError("it would run code"))
    monkeypatch.setattr(loading, "look", slow)
    panel = dock.model_panel
    panel.open(empty(tmp_path / "mine.pt"))
    qtbot.waitUntil(slow.begun.is_set)
    click(panel.weights_form.leave)
    slow.may_end.set()
    qtbot.wait(500)
    assert panel.weights_form.isHidden()
    assert panel.trust_form.isHidden()
    assert dock.session.view.notice is None


def test_whatever_goes_wrong_while_a_file_is_looked_into_is_said(
    dock, qtbot, tmp_path, monkeypatch
):
    slow = Slow(ZeroDivisionError("of all things"))
    slow.may_end.set()
    monkeypatch.setattr(loading, "look", slow)
    dock.model_panel.open(empty(tmp_path / "a.safetensors"))
    qtbot.waitUntil(lambda: dock.session.view.notice is not None, timeout=30_000)


def empty(path):
    path.write_bytes(b"")
    return str(path)


class Slow:
    """Looks into a file until it may end."""

    def __init__(self, answer):
        self.begun, self.may_end, self.answer = Event(), Event(), answer

    def __call__(self, _path):
        self.begun.set()
        assert self.may_end.wait(30)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def test_intensities_can_be_chosen(dock, qtbot, tmp_path):
    form = asked_about(dock, qtbot, tmp_path / "mine.pt")
    form.intensities.setCurrentText("Mean and spread of the image")
    click(form.load)
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=30_000)
    assert dock.session.view.spec.normalisation.kind == "zscore"
    assert "intensities" not in dock.session.view.notice.text


def test_a_file_that_runs_code_is_opened_after_a_click_that_says_so(dock, qtbot, tmp_path):
    path = tmp_path / "whole.pt"
    torch.save(nn.Conv2d(1, 3, 1), path)
    form = dock.model_panel.trust_form
    dock.model_panel.open(str(path))
    qtbot.waitUntil(lambda: not form.isHidden(), timeout=30_000)
    assert "run code" in form.question.text()
    assert dock.model_panel.weights_form.isHidden()
    assert dock.session.view.spec is None
    click(form.trust)
    qtbot.waitUntil(lambda: dock.session.view.spec is not None, timeout=30_000)
    assert form.isHidden()
