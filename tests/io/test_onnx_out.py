"""A network that leaves as ONNX answers as before, and comes back with all that is known of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.onnx.errors import OnnxExporterError

import napari_tileseg as nts
import onnx_made
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ClassInfo
from napari_tileseg.errors import CheckpointError, NetworkError
from napari_tileseg.io import onnx_out
from napari_tileseg.io.checkpoints import load_model, save_model
from napari_tileseg.io.onnx_out import TOLERANCE, difference, tile_for
from napari_tileseg.io.specs import described
from napari_tileseg.models import registry

pytest.importorskip("onnxscript", reason="the extra 'onnx' is not installed")

CLASSES = (
    ClassInfo("nothing", "#000000"),
    ClassInfo("cell wall", "#12ab34"),
    ClassInfo("inside", "#ab3412"),
)


def small(padding: str) -> Network:
    arguments = {"depth": 1, "base_channels": 4, "padding": padding, "classes": 3, "in_channels": 1}
    recipe = Architecture("original-unet", arguments)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = registry.build(recipe)
    spec = replace(described(module, recipe, "small"), classes=CLASSES, pixel_size_um=0.5)
    return Network(module, spec, recipe, {"made_by": "a test"})


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 256, (150, 110), np.uint8)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_it_answers_as_before_for_any_size_and_keeps_its_description(tmp_path, image, padding):
    network = small(padding)
    path = save_model(network, tmp_path / "small.onnx")
    assert difference(network, path, tile_for(network, [40, 23], batch=3)) <= TOLERANCE
    back = load_model(path)
    assert back.spec == network.spec
    assert back.provenance["made_by"] == "a test"
    assert "assumed" not in back.provenance
    options = {"mode": "blend", "tile": 64, "precision": "fp32"}
    ours, theirs = (nts.predict(image, one, **options) for one in (network, back))
    assert (ours != theirs).mean() < 1e-3
    assert len(np.unique(ours)) > 1


def test_one_that_came_from_onnx_leaves_as_it_came(tmp_path, image):
    model = onnx_made.one_by_one([9], [-4.5], last=[("Sigmoid", {})], shape=(1, 1, 64, 64))
    path = onnx_made.written(model, tmp_path / "first.onnx")
    recipe = Architecture("onnx", {"normalisation": "fixed"})
    network = load_model(path, architecture=recipe, classes=["dark", "bright"])
    again = load_model(save_model(network, tmp_path / "second.onnx"))
    assert again.spec == network.spec
    assert np.array_equal(nts.predict(image, again), image > 127)


@pytest.mark.parametrize("fails", ["export", "difference"])
def test_one_that_cannot_read_any_size_is_written_for_the_size_it_suggests(
    tmp_path, image, monkeypatch, fails
):
    whole = getattr(onnx_out, fails)
    errors = [OnnxExporterError("fixed") if fails == "export" else NetworkError("no such index")]

    def at_second_try(*given, **more):
        if errors:
            raise errors.pop()
        return whole(*given, **more)

    monkeypatch.setattr(onnx_out, fails, at_second_try)
    network = small("valid")
    network = replace(network, spec=replace(network.spec, tile=64))
    back = load_model(save_model(network, tmp_path / "small.onnx"))
    assert back.module.side == 64 + 2 * network.spec.margin
    assert back.spec.tile == 64
    options = {"mode": "blend", "tile": 64, "precision": "fp32"}
    ours, theirs = (nts.predict(image, one, **options) for one in (network, back))
    assert (ours != theirs).mean() < 1e-3


def test_what_cannot_be_written_is_told_and_nothing_is_left(tmp_path, monkeypatch):
    def no_export(*_: object, **__: object) -> None:
        raise OnnxExporterError("how to report it") from AssertionError("no such step\nsecond line")

    monkeypatch.setattr(torch.onnx, "export", no_export)
    with pytest.raises(CheckpointError, match=r"as ONNX: no such step second line\. Save"):
        save_model(small("same"), tmp_path / "small.onnx")
    assert list(tmp_path.iterdir()) == []


def test_one_that_answers_otherwise_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_tileseg.io.onnx_out.difference", lambda *_: 0.5)
    with pytest.raises(CheckpointError, match=r"answers otherwise there, by 0\.5 of"):
        save_model(small("same"), tmp_path / "small.onnx")
    assert list(tmp_path.iterdir()) == []
