from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_tileseg import cli
from napari_tileseg.cli.overlay import write_overlay
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import default_classes
from napari_tileseg.errors import OutputError
from napari_tileseg.io.checkpoints import bundled_models
from napari_tileseg.io.labels import read_labels
from stubs import echo


def test_without_a_display_the_demo_writes_labels_and_a_picture(tileseg, monkeypatch, tmp_path):
    if "cells" not in bundled_models():
        pytest.skip("the sample model is not bundled with this copy")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    code, out, err = tileseg("demo", "--headless", "--out", tmp_path / "demo", "--device", "cpu")
    assert code == cli.DONE, err
    found = read_labels(tmp_path / "demo" / "cells_labels.ome.tif")
    names = [one.name for one in found.classes]
    assert len(names) >= 3
    assert [line.split("  ")[0] for line in out.splitlines()[1:]] == names
    assert set(np.unique(found.labels)) == set(range(len(names)))
    assert Image.open(tmp_path / "demo" / "cells_overlay.png").width >= 2048
    assert "Where tiles meet" in err


def test_the_overlay_shows_colours_where_the_labels_are(tmp_path):
    pixels = np.zeros((300, 400), np.uint8)
    labels = np.zeros((300, 400), np.uint8)
    labels[100:200, 100:200] = 2
    path = tmp_path / "overlay.png"
    write_overlay(Source(pixels), labels, default_classes(3), ["50%", "40%", "10%"], path)
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert picture[50, 50].tolist() == [0, 0, 0]
    red, green, blue = picture[150, 150]
    assert red > green > blue  # orange, the colour of the second class
    assert picture.shape[0] > 300  # a legend below
    assert (picture[300:] == 255).mean() > 0.5


def test_a_large_image_is_drawn_smaller(tmp_path):
    pixels = np.zeros((100, 5000), np.uint8)
    write_overlay(Source(pixels), pixels, default_classes(2), ["", ""], tmp_path / "o.png")
    assert Image.open(tmp_path / "o.png").width <= 2048


def test_an_overlay_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    pixels = np.zeros((20, 20), np.uint8)
    path = tmp_path / "no" / "overlay.png"
    with pytest.raises(OutputError, match="cannot be written"):
        write_overlay(Source(pixels), pixels, echo().classes, ["", "", ""], path)
    assert not path.parent.exists()


def test_a_window_without_its_toolkit_says_how_to_get_it(tileseg, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "napari", None)
    code, _, err = tileseg("demo", "--screenshot", tmp_path / "window.png")
    assert code == cli.FAILED
    assert 'pip install "napari-tileseg[all]"' in err
    assert "--headless" in err


def test_the_window_runs_on_the_device_that_was_asked_for(tileseg, monkeypatch, tmp_path):
    """The window itself is a stub: what counts is what is handed on."""
    asked = []
    monkeypatch.setattr(
        "napari_tileseg.cli.window.open_demo", lambda picture, device: asked.append(device)
    )
    assert tileseg("demo", "--screenshot", tmp_path / "w.png", "--device", "cpu")[0] == cli.DONE
    assert tileseg("demo", "--screenshot", tmp_path / "w.png")[0] == cli.DONE
    assert asked == ["cpu", "auto"]
