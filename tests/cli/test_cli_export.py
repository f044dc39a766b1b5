from __future__ import annotations

import numpy as np

from napari_tileseg import cli
from napari_tileseg.engine.spec import ClassInfo
from napari_tileseg.io.labels import export, read_labels

CLASSES = (ClassInfo("background", "#000000"), ClassInfo("axon", "#e69f00"))


def test_labels_names_and_colours_survive_the_change_of_format(tileseg, tmp_path):
    labels = np.random.default_rng(0).integers(0, 2, (50, 60), dtype=np.uint8)
    source = export(labels, tmp_path / "labels.ome.tif", classes=CLASSES, pixel_size_um=0.1)
    out = tmp_path / "labels.png"
    code, _, err = tileseg("export", source, "--to", "png", "--out", out)
    assert code == cli.DONE
    assert str(out) in err
    again = read_labels(out)
    np.testing.assert_array_equal(again.labels, labels)
    assert tuple(again.classes) == CLASSES


def test_a_missing_file_is_named(tileseg, tmp_path):
    words = ["--to", "png", "--out", tmp_path / "labels.png"]
    code, _, err = tileseg("export", tmp_path / "none.tif", *words)
    assert code == cli.FAILED
    assert "none.tif" in err
    assert not (tmp_path / "labels.png").exists()


def test_an_unknown_format_is_wrong_use(tileseg, tmp_path):
    code, _, err = tileseg("export", "labels.tif", "--to", "doc", "--out", tmp_path / "l.doc")
    assert code == cli.WRONG_USE
    assert "ome-tiff" in err
