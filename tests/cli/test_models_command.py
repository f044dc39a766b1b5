from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tileseg import cli
from napari_tileseg.bench import model_row, model_table
from napari_tileseg.bench.fresh import BenchError
from napari_tileseg.bench.model_table import Entry, entries, needed
from napari_tileseg.engine.probe import receptive_field
from napari_tileseg.models import libraries
from napari_tileseg.models.registry import ARCHITECTURES
from stubs import network

WORKS = {
    "parameters": 2_500_000,
    "upsampling_parameters": 0,
    "stride": 8,
    "receptive_field": 44,
    "exact_halo": 44,
    "mode": "calibrated",
    "odd_size": True,
    "same_after_saving": True,
    "learns": True,
    "onnx": "not tried: onnxruntime is not installed",
    "ms": 1234.5,
    "peak_mb": 10.0,
}


class Windowed(nn.Module):
    """Adds the mean of windows of 8 px, times what is nothing before anything is learnt."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, 1, 1))

    def forward(self, x):
        rows, columns = x.shape[2:]
        filled = functional.pad(x, (0, -columns % 8, 0, -rows % 8))
        means = functional.interpolate(functional.avg_pool2d(filled, 8), scale_factor=8)
        return x + self.weight * means[..., :rows, :columns]


def test_branches_that_begin_at_zero_are_seen():
    asleep = network(Windowed(), outputs=1, channels=1, stride=4)
    assert not receptive_field(asleep).size_dependent
    assert receptive_field(model_row._awake(asleep)).size_dependent
    assert not asleep.module.weight.any()


def test_every_architecture_is_listed_and_can_be_described(tileseg):
    text = tileseg("models")[1]
    told = json.loads(tileseg("models", "--json")[1])
    assert all(f"  {name} " in text for name in ARCHITECTURES)
    assert ARCHITECTURES.keys() <= told.keys()
    assert [one["name"] for one in told["res-unet"]["arguments"]][:2] == ["in_channels", "classes"]
    assert told["smp.Unet"]["encoder"]


def test_one_architecture_tells_its_arguments(tileseg):
    code, out, _ = tileseg("models", "unet", "segnet")
    assert code == cli.DONE
    assert out.startswith("smp.Unet\n  A U-Net with any encoder")
    assert 'encoder_name ["resnet34"]' in out
    assert 'pooling ["max"]' in out
    assert "One of max, average." in out


def test_without_its_library_an_architecture_says_how_to_get_it(tileseg, monkeypatch):
    monkeypatch.setattr(
        libraries, "import_module", lambda name: exec(f"raise ImportError({name!r})")
    )
    code, out, _ = tileseg("models", "monai.UNet")
    assert code == cli.DONE
    assert 'pip install "napari-tileseg[monai]"' in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("segnett",), cli.FAILED, "mean 'segnet'"),
        (("--images", "a"), cli.WRONG_USE, "--images goes together with --table"),
        (("--table", "--images", "a", "segnet"), cli.WRONG_USE, "go together"),
    ],
)
def test_wrong_use_is_explained(tileseg, words, code, said):
    got, out, err = tileseg("models", *words)
    assert (got, out) == (code, "")
    assert said in err


@pytest.fixture
def measured(monkeypatch):
    """Let every measurement say what the dictionary holds for the architecture."""
    answers: dict = {}

    def measure(function, name, **_):
        answer = answers.get(name, WORKS)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(model_table, "in_fresh_process", measure)
    return answers


def test_the_table_is_printed_and_written(tileseg, measured, tmp_path):
    measured["original-unet"] = WORKS | {"learns": None, "why_not": "It answers for less."}
    code, out, _ = tileseg(
        "models", "--table", "res-unet", "original-unet", "--save", tmp_path / "t.json"
    )
    assert code == cli.DONE
    assert "2.50 M" in out
    assert "44 px" in out
    assert "1,234" in out
    assert "It answers for less." in out
    assert "onnxruntime is not installed" in out
    rows = json.loads((tmp_path / "t.json").read_text())["models"]
    assert [row["name"] for row in rows] == ["res-unet", "original-unet", "original-unet"]
    assert rows[0]["parameters"] == 2_500_000


@pytest.mark.parametrize(
    "wrong",
    [{"same_after_saving": False}, {"odd_size": False}, {"learns": False}, BenchError("It fell.")],
)
def test_what_does_not_work_makes_the_table_fail(tileseg, measured, wrong):
    measured["segnet"] = wrong if isinstance(wrong, Exception) else WORKS | wrong
    code, out, err = tileseg("models", "--table", "segnet", "res-unet")
    assert code == cli.FAILED
    assert "WRONG" in err
    assert "res-unet  works" in err
    assert "It fell." in out or not isinstance(wrong, Exception)


def test_the_table_has_every_architecture_and_every_way_of_upsampling():
    wanted = entries()
    assert {one.name for one in wanted} == set(ARCHITECTURES)
    kinds = {one.arguments.get("upsampling") for one in entries(["flexible-unet"])}
    assert kinds == {"transposed", "bilinear", "nearest", "pixelshuffle"}


def test_what_a_library_needs_to_be_told_is_filled_in():
    pytest.importorskip("monai", reason="MONAI is an extra")
    assert needed(Entry("monai.UNet", {"spatial_dims": 2})).keys() == {
        "spatial_dims",
        "channels",
        "strides",
    }


def test_a_row_holds_what_was_measured(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for folder, highest in (("images", 255), ("masks", 3)):
        (tmp_path / folder).mkdir()
        pixels = rng.integers(0, highest, (128, 128), np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    folders = str(tmp_path / "images"), str(tmp_path / "masks")
    found = model_row.row("res-unet", {"base_channels": 4, "depth": 2}, *folders, quick=True)
    assert found["upsampling_parameters"] == sum(4 * c * c + c for c in (16, 8))
    assert (found["stride"], found["margin"], found["mode"]) == (4, 0, "calibrated")
    assert found["odd_size"]
    assert found["same_after_saving"]
    assert (found["steps"], found["tile_px"]) == (3, 128)
    assert found["loss_before"] > 0
    assert json.loads(json.dumps(found)) == found
