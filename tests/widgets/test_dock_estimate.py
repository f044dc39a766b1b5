"""What a run will cost is on the dock before it, without anybody asking."""

import threading

import numpy as np
import pytest
import torch
from gated import gated_network
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from torch import nn

from napari_tileseg.session import State
from napari_tileseg.settings import RunSettings


class Open(nn.Module):
    """Splits grey values into three classes, as soon as its gate is open."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.layer = nn.Identity()
        self.asked = 0

    def forward(self, tiles):
        self.asked += 1
        assert self.gate.wait(20), "nobody opened the gate"
        grey = self.layer(tiles[:, :1])
        return torch.cat([80 - grey, 40 - (grey - 120).abs(), grey - 160], 1)

    def __deepcopy__(self, memo):
        return Open()


@pytest.fixture
def ready(viewer, dock, image, monkeypatch):
    monkeypatch.setattr("napari_tileseg.viewer.estimates.DELAY_MS", 20)
    viewer.add_image(image, name="slide")
    dock.session.set_model(gated_network(Open()), "stub")
    return dock


def is_estimated(dock):
    return dock.session.view.estimate.startswith("About ")


def said_by(label):
    return label.text().replace("\u200b", "").replace("\u00a0", " ")


def test_the_estimate_comes_by_itself_and_is_in_sight(ready, qtbot):
    assert ready.session.view.estimate.startswith("25 tiles of 64 px")
    qtbot.waitUntil(lambda: is_estimated(ready), timeout=20_000)
    assert ready.run_panel._estimate.isVisible()
    assert said_by(ready.run_panel._estimate).startswith("About 25 tiles of 64 px · ")
    assert ready.session.view.run_line.startswith("25 tiles · about ")
    assert ready.session.plan.settled
    assert ready.session.view.state is State.READY


def test_another_setting_is_estimated_anew(ready, qtbot):
    qtbot.waitUntil(lambda: is_estimated(ready), timeout=20_000)
    ready.controller.choose_settings(RunSettings(precision="fp32", overlap=0.0))
    assert not is_estimated(ready)
    qtbot.waitUntil(lambda: is_estimated(ready), timeout=20_000)
    assert ready.session.view.estimate.startswith("About 16 tiles")


def test_a_run_does_not_wait_for_the_estimate_to_be_ready(viewer, ready, image, qtbot):
    module = ready.session.network.module
    module.gate.clear()
    qtbot.waitUntil(lambda: module.asked == 1, timeout=20_000)
    assert "measuring the time" in ready.session.view.estimate
    QTest.mouseClick(ready.run_panel.run, Qt.MouseButton.LeftButton)
    assert ready.session.view.state is State.RUNNING
    module.gate.set()
    qtbot.waitUntil(lambda: ready.session.view.state is State.FINISHED, timeout=20_000)
    assert ready.session.plan.settled
    labels = next(layer for layer in viewer.layers if layer.name == "slide · labels")
    assert set(np.unique(labels.data)) == {0, 1, 2}


def test_nothing_is_measured_while_a_run_goes_on(ready, qtbot):
    qtbot.waitUntil(lambda: is_estimated(ready), timeout=20_000)
    module = ready.session.network.module
    before = module.asked
    QTest.mouseClick(ready.run_panel.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not ready.session.view.busy, timeout=20_000)
    assert module.asked - before <= 25
    assert ready.session.view.report_lines


def test_what_the_run_took_is_told_and_kept_with_the_labels(viewer, ready, qtbot):
    qtbot.waitUntil(lambda: is_estimated(ready), timeout=20_000)
    QTest.mouseClick(ready.run_panel.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: ready.session.view.state is State.FINISHED, timeout=20_000)
    assert "tiles/s; network" in said_by(ready.run_panel._report)
    labels = next(layer for layer in viewer.layers if layer.name == "slide · labels")
    (run,) = labels.metadata["napari-tileseg runs"]
    assert run["run"]["mode"] == "blend"
    assert run["run"]["precision"] == "fp32"
    assert 0 <= run["run"]["tile mismatch"] <= 1


def test_a_closed_dock_measures_nothing(ready, viewer, qtbot):
    ready.controller.close()
    ready.session.set_settings(RunSettings(precision="fp32", overlap=0.5))
    qtbot.wait(200)
    assert not is_estimated(ready)
