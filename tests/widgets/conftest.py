"""A real viewer with the real dock."""

import os
import sys

import numpy as np
import pytest

from napari_tileseg.settings import RunSettings

NO_SCREEN = sys.platform == "linux" and (
    not os.environ.get("DISPLAY") or os.environ.get("QT_QPA_PLATFORM") == "offscreen"
)


@pytest.fixture
def image():
    """Return 256 x 256 px: three grey values in stripes, so that every tile shows all."""
    stripes = np.array([20, 120, 220], np.uint8)[(np.arange(256) // 16) % 3]
    return np.broadcast_to(stripes, (256, 256)).copy()


@pytest.fixture
def viewer(make_napari_viewer, monkeypatch, tmp_path):
    if NO_SCREEN:
        pytest.skip("the dock is driven by real clicks, which needs a display; use xvfb-run")
    monkeypatch.setattr(
        "napari_tileseg.viewer.recent.user_state_path", lambda *_, **__: tmp_path / "state"
    )
    # a network that waits for permits must not be asked for an estimate
    monkeypatch.setattr("napari_tileseg.viewer.estimates.DELAY_MS", 10**8)
    viewer = make_napari_viewer(show=True, strict_qt=True)
    viewer.window.resize(1200, 900)
    return viewer


@pytest.fixture
def dock(viewer, qtbot):
    _, widget = viewer.window.add_plugin_dock_widget("napari-tileseg", "Tiled Segmentation")
    qtbot.waitUntil(widget.isVisible, timeout=20_000)
    # where half precision is fast, "automatic" would try it before the first tile
    widget.session.set_settings(RunSettings(precision="fp32"))
    return widget
