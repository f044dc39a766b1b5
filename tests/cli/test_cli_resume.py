from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import zarr

SLOW = """
import sys, time
import numpy as np, torch
from napari_tileseg.cli import main
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import ModelSpec, Normalisation, NormalisationKind, default_classes
from napari_tileseg.io import checkpoints, sheets
sheets._CHUNK = {2: 64}
class Slow(torch.nn.Module):
    def forward(self, tiles):
        time.sleep(0.01)
        ramp = torch.arange(tiles.shape[-1]).float()
        return torch.cat([torch.sin(ramp + tiles), torch.cos(3 * ramp * tiles), tiles], dim=1)
as_it_is = Normalisation(NormalisationKind.NONE)
spec = ModelSpec("slow", default_classes(3), tile=32, normalisation=as_it_is)
checkpoints.load_model = lambda *_, **__: Network(Slow(), spec)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (400, 500), np.uint8)
    tifffile.imwrite(path, pixels)
    return path


def _command(image, out, *more):
    words = ["predict", image, "--model", "slow", "--out", out, "--device", "cpu", "--quiet", *more]
    return [sys.executable, "-c", SLOW, *map(str, words)]


def _size(path):
    return path.stat().st_size if path.exists() else 0


@pytest.mark.slow
def test_killed_at_any_moment_the_run_can_be_gone_on_with(image, tmp_path):
    whole, parts = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    subprocess.run(_command(image, whole), check=True)
    journal, kills, more = parts / ".chunks-done", 0, []
    for attempt in range(3):
        run, before = subprocess.Popen(_command(image, parts, *more)), _size(journal)
        while _size(journal) == before and run.poll() is None:
            time.sleep(0.002)
        time.sleep(0.05 * np.random.default_rng(attempt).random())
        os.kill(run.pid, signal.SIGKILL)
        kills += run.wait() == -signal.SIGKILL
        more = ["--resume"]
    assert kills > 1
    assert (zarr.open_array(parts)[:] == 255).any()
    subprocess.run(_command(image, parts, "--resume"), check=True)
    np.testing.assert_array_equal(zarr.open_array(parts)[:], zarr.open_array(whole)[:])


def test_a_store_is_written_and_read_by_export(tileseg, tiny_checkpoint, image, tmp_path):
    out, flat = tmp_path / "labels.zarr", tmp_path / "labels.ome.tif"
    code, said, _ = tileseg("predict", image, "--model", tiny_checkpoint, "--out", out)
    assert code == 0
    assert "class 1" in said
    stored = zarr.open_array(out)[:]
    assert stored.max() < 3
    assert tileseg("export", out, "--to", "ome-tiff", "--out", flat)[0] == 0
    np.testing.assert_array_equal(tifffile.imread(flat), stored)
    tileseg("predict", image, "--model", tiny_checkpoint, "--out", tmp_path / "direct.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "direct.tif"), stored)


def test_going_on_with_other_settings_is_refused(tileseg, tiny_checkpoint, image, tmp_path):
    out = tmp_path / "labels.zarr"
    tileseg("predict", image, "--model", tiny_checkpoint, "--out", out)
    again = ("predict", image, "--model", tiny_checkpoint, "--out", out)
    code, _, said = tileseg(*again)
    assert code == 1
    assert "--resume" in said
    code, _, said = tileseg(*again, "--resume", "--tile", "128")
    assert code == 1
    assert "tile was [64, 64], now [128, 128]" in said
    assert tileseg(*again, "--resume")[0] == 0


def test_a_store_says_how_the_runs_into_it_went(tileseg, tiny_checkpoint, image, tmp_path):
    out = tmp_path / "labels.zarr"
    again = ("predict", image, "--model", tiny_checkpoint, "--out", out)
    assert tileseg(*again)[0] == 0
    attributes = dict(zarr.open_array(out, mode="r").attrs)
    (run,) = attributes["tileseg runs"]
    assert run["tiles"] > 1
    assert 0 <= run["tile mismatch"] <= 1
    assert run["seconds by stage"]["network"] > 0
    (out / ".chunks-done").unlink()  # as if nothing had been finished
    assert tileseg(*again, "--resume")[0] == 0
    after = dict(zarr.open_array(out, mode="r").attrs)
    assert [one["tiles"] > 0 for one in after["tileseg runs"]] == [True, True]
    assert after["tileseg"] == attributes["tileseg"]
    assert tileseg(*again, "--resume")[0] == 0  # there is nothing left to do, nor to say
    assert dict(zarr.open_array(out, mode="r").attrs) == after


def test_only_a_store_can_be_gone_on_with(tileseg, tiny_checkpoint, image, tmp_path):
    code, _, said = tileseg(
        "predict", image, "--model", tiny_checkpoint, "--out", tmp_path / "a.tif", "--resume"
    )
    assert code != 0
    assert "Only a .zarr" in said


def test_an_error_on_the_way_keeps_what_is_finished(
    tileseg, tiny_checkpoint, image, tmp_path, monkeypatch
):
    out = tmp_path / "labels.zarr"
    write, written = zarr.Array.__setitem__, []

    def until_full(self, region, labels):
        written.append(region)
        if len(written) > 12:
            raise OSError(28, "No space left on device")
        write(self, region, labels)

    monkeypatch.setattr("napari_tileseg.io.sheets._CHUNK", {2: 64})
    monkeypatch.setattr(zarr.Array, "__setitem__", until_full)
    code, _, said = tileseg("predict", image, "--model", tiny_checkpoint, "--out", out)
    assert code == 1
    assert "No space left on device" in said
    assert "What is finished is kept" in said
    monkeypatch.setattr(zarr.Array, "__setitem__", write)
    kept = (zarr.open_array(out)[:] != 255).sum()
    assert 0 < kept < 400 * 500
    assert tileseg("predict", image, "--model", tiny_checkpoint, "--out", out, "--resume")[0] == 0
    assert (zarr.open_array(out)[:] != 255).all()


def _differences(said):
    """Return what a refused --resume says to be different."""
    assert "was made from something else" in said
    return said.partition("something else: ")[2].partition(". Use the same")[0]


def test_a_changed_folder_image_is_not_gone_on_with(tileseg, tiny_checkpoint, tmp_path):
    folder = tmp_path / "image.zarr"
    pixels = np.random.default_rng(0).integers(0, 255, (60, 70), np.uint8)
    array = zarr.create_array(str(folder), shape=(60, 70), chunks=(30, 35), dtype="uint8")
    array[:] = pixels
    out = folder / "labels.zarr"  # inside, and still no change of the image
    again = ("predict", folder, "--model", tiny_checkpoint, "--out", out, "--resume")
    assert tileseg(*again[:-1])[0] == 0
    assert tileseg(*again)[0] == 0
    array[:30, :35] = 0
    code, _, said = tileseg(*again)
    assert code == 1
    assert _differences(said).startswith("image ")
    shutil.rmtree(folder / "c" / "0")
    assert "image files was 5, now 3" in _differences(tileseg(*again)[2])


def test_other_threads_or_another_device_are_not_gone_on_with(
    tileseg, tiny_checkpoint, image, tmp_path, monkeypatch
):
    import torch

    again = ("predict", image, "--model", tiny_checkpoint, "--out", tmp_path / "a.zarr")
    again = (*again, "--device", "cpu")
    assert tileseg(*again)[0] == 0
    about = zarr.open_array(tmp_path / "a.zarr", mode="r").attrs["tileseg"]
    assert about["facts"]["device"] == "cpu"
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    code, _, said = tileseg(*again, "--resume")
    assert code == 1
    expected = f"number of threads (OMP_NUM_THREADS) was {threads}, now {threads + 1}"
    assert _differences(said) == expected
