from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_tileseg import cli
from napari_tileseg.io.checkpoints import bundled_models


def test_an_image_is_described(tileseg, tmp_path):
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, np.zeros((4, 30, 40), np.uint16), ome=True, metadata={"axes": "ZYX"})
    code, out, _ = tileseg("info", path, "--json")
    facts = json.loads(out)
    assert code == cli.DONE
    assert (facts["kind"], facts["axes"], facts["shape"]) == ("image", "ZYX", [4, 30, 40])
    assert (facts["dtype"], facts["bytes_in_memory"]) == ("uint16", 9600)
    assert "4 x 30 x 40" in tileseg("info", path)[1]


def test_a_checkpoint_is_described(tileseg, tiny_checkpoint):
    code, out, _ = tileseg("info", tiny_checkpoint, "--json")
    facts = json.loads(out)
    assert code == cli.DONE
    assert (facts["kind"], facts["name"], facts["stride"]) == ("checkpoint", "tiny", 8)
    assert [one["name"] for one in facts["classes"]] == ["background", "class 1", "class 2"]
    assert facts["architecture"] == "smp.Unet"
    assert facts["parameters"] > 1000
    text = tileseg("info", tiny_checkpoint)[1]
    assert "background (#000000), class 1" in text
    assert "pixel size (µm):   0.5" in text


def test_how_far_a_network_looks_is_said_once_it_is_known(tileseg, tiny_checkpoint):
    from napari_tileseg.engine.probe import receptive_field
    from napari_tileseg.io.checkpoints import load_model

    text = tileseg("info", tiny_checkpoint)[1]
    assert "margin:            0 px" in text
    assert "receptive field" not in text
    field = receptive_field(load_model(tiny_checkpoint))
    assert (
        f"receptive field:   {field.halo} px on every side\n" in tileseg("info", tiny_checkpoint)[1]
    )
    facts = json.loads(tileseg("info", tiny_checkpoint, "--json")[1])
    assert facts["receptive_field"]["before"] == list(field.before)


@pytest.mark.parametrize(
    ("size_dependent", "said"),
    [(False, "the whole input\n"), (True, "9 px on every side, but the answer also depends")],
)
def test_a_field_without_bounds_says_why(
    tileseg, tiny_checkpoint, monkeypatch, size_dependent, said
):
    from napari_tileseg.engine.probe import ReceptiveField

    field = ReceptiveField((8, 9), (7, 9), bounded=False, size_dependent=size_dependent)
    monkeypatch.setattr("napari_tileseg.cli.facts.known_field", lambda network: field)
    assert f"receptive field:   {said}" in tileseg("info", tiny_checkpoint)[1]


def test_bare_weights_are_described_with_their_architecture(tileseg, tiny_checkpoint, tmp_path):
    import torch

    from napari_tileseg.io.checkpoints import load_model

    weights = tmp_path / "weights.pt"
    torch.save(load_model(tiny_checkpoint).module.state_dict(), weights)
    arch = ["smp.Unet", "encoder_name=resnet18", "encoder_depth=3", "in_channels=1", "classes=3"]
    words = ["--json", "--classes", "glass,cell,nucleus", "--arch", *arch]
    code, out, err = tileseg("info", weights, *words, "decoder_channels=[16,16,8]")
    assert code == cli.DONE, err
    facts = json.loads(out)
    assert [one["name"] for one in facts["classes"]] == ["glass", "cell", "nucleus"]
    assert facts["arguments"]["decoder_channels"] == [16, 16, 8]


def test_an_argument_without_a_value_is_wrong_use(tileseg, tiny_checkpoint):
    code, _, err = tileseg("info", tiny_checkpoint, "--arch", "smp.Unet", "resnet18")
    assert code == cli.WRONG_USE
    assert "'resnet18' after --arch is not of the form KEY=VALUE" in err


def test_a_name_that_is_nothing_lists_the_bundled_models(tileseg, monkeypatch, tmp_path):
    path = tmp_path / "cells.safetensors"
    monkeypatch.setattr("napari_tileseg.io.checkpoints.bundled_models", lambda: {"cells": path})
    code, out, err = tileseg("info", "cels")
    assert code == cli.FAILED
    assert not out
    assert "There is no file 'cels'" in err
    assert "there are: cells" in err


@pytest.mark.parametrize("name", ["model.pkl", "model", "model.tif"])
def test_what_would_run_code_is_refused_whatever_it_is_called(tileseg, tmp_path, name):
    with (tmp_path / name).open("wb") as file:
        pickle.dump(Path, file)
    code, _, err = tileseg("info", tmp_path / name)
    assert code == cli.FAILED
    assert "could run code, so it is not opened" in err


def test_an_image_is_one_whatever_its_first_pixel_is(tileseg, tmp_path):
    for pixel in (ord("{"), 128):
        path = tmp_path / f"{pixel}.tif"
        tifffile.imwrite(path, np.full((30, 40), pixel, np.uint8))
        # some programs write pixels right behind the first eight bytes
        path.write_bytes(_pixels_first(path.read_bytes(), pixel))
        code, out, _ = tileseg("info", path, "--json")
        assert code == cli.DONE
        assert json.loads(out)["shape"] == [30, 40]


def _pixels_first(tiff, pixel):
    """Rearrange a TIFF file of one strip: its pixels, then what describes them."""
    count = 30 * 40
    (entries,) = struct.unpack_from("<H", tiff, 8)
    shift, moved = count, bytearray(tiff[8:])
    for number in range(entries):
        at = 2 + 12 * number
        code, kind, n, value = struct.unpack_from("<HHII", moved, at)
        size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}[kind] * n
        if code == 273:
            struct.pack_into("<I", moved, at + 8, 8)
        elif size > 4:
            struct.pack_into("<I", moved, at + 8, value + shift)
    return tiff[:4] + struct.pack("<I", 8 + count) + bytes([pixel]) * count + bytes(moved)


def test_a_text_file_is_neither(tileseg, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not an image")
    code, out, err = tileseg("info", path)
    assert code == cli.FAILED
    assert not out
    assert "notes.txt" in err


def test_the_bundled_models_are_listed_and_can_be_described(tileseg):
    if not bundled_models():
        pytest.skip("no model is bundled with this copy")
    code, out, _ = tileseg("models", "--json")
    found = json.loads(out)
    assert code == cli.DONE
    found = {name: facts for name, facts in found.items() if facts["kind"] == "checkpoint"}
    assert set(found) == set(bundled_models())
    text = tileseg("models")[1]
    for name, facts in found.items():
        assert f"{name}\n  reads" in text
        assert json.loads(tileseg("info", name, "--json")[1])["classes"] == facts["classes"]
