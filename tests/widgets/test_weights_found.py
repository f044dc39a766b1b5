"""What bare weights tell is filled in, and a file that runs code is asked about."""

from __future__ import annotations

import torch
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from torch import nn

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
