"""Results that are too large for the memory."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from disks import small_disk
from napari_tileseg import cli
from napari_tileseg.cli import segment
from napari_tileseg.errors import OutputError
from napari_tileseg.io.labels import read_labels


@pytest.fixture(autouse=True)
def _all_are_large(monkeypatch):
    monkeypatch.setattr(segment, "_LARGEST_IN_MEMORY", 0)


@pytest.fixture(params=["allocated", "written"])
def _way(request, monkeypatch):
    if request.param == "written":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
        monkeypatch.setattr(segment, "_BLOCK", 1000)


@pytest.mark.usefixtures("_way")
def test_labels_that_pass_through_a_file_are_the_same(tileseg, echo_model, rgb, tmp_path):
    out = tmp_path / "labels.ome.tif"
    code, _, err = tileseg("predict", rgb[0], "--model", echo_model, "--out", out)
    assert code == cli.DONE, err
    np.testing.assert_array_equal(read_labels(out).labels, rgb[1])
    assert {one.name for one in tmp_path.iterdir()} == {rgb[0].name, out.name}


@pytest.mark.usefixtures("_way")
def test_the_room_is_taken_before_it_is_used(tmp_path):
    job = SimpleNamespace(multilabel=False, label_shape=(300, 400))
    with segment.label_array(job, tmp_path) as labels:
        (scratch,) = tmp_path.iterdir()
        assert scratch.stat().st_blocks * 512 >= 300 * 400
        assert not labels.any()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_way")
def test_a_disk_without_room_is_told_before_the_first_tile(tmp_path):
    job = SimpleNamespace(multilabel=False, label_shape=(1000, 1000))
    with small_disk(tmp_path / "disk") as disk:
        with (
            pytest.raises(OutputError, match=r"need 0\.001 GB in .*Make room there"),
            segment.label_array(job, disk),
        ):
            pytest.fail("there is no room")
        assert not list(disk.iterdir())


def test_a_run_that_has_no_room_fails_in_words(tileseg, echo_model, tmp_path):
    image = tmp_path / "image.tif"
    tifffile.imwrite(image, np.zeros((1000, 1000, 3), np.uint8), photometric="rgb")
    with small_disk(tmp_path / "disk") as disk:
        out = disk / "labels.ome.tif"
        out.write_bytes(b"earlier work")
        code, _, err = tileseg("predict", image, "--model", echo_model, "--out", out)
        assert code == cli.FAILED
        assert "0.001 GB" in err
        assert [one.name for one in disk.iterdir()] == [out.name]
        assert out.read_bytes() == b"earlier work"
