from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch

from napari_tileseg import cli
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.io.smp_folders_out import save_smp_folder
from napari_tileseg.models import registry


def test_a_model_becomes_a_folder_of_the_library_and_comes_back(tileseg, tiny_checkpoint, tmp_path):
    before, folder = load_model(tiny_checkpoint), tmp_path / "as_folder"
    assert tileseg("convert", tiny_checkpoint, folder)[0] == cli.DONE
    theirs = smp.from_pretrained(folder).eval()
    tile = torch.rand(1, len(before.spec.channels), 32, 32)
    with torch.inference_mode():
        assert torch.equal(theirs(tile), before.module(tile))
    assert tileseg("convert", folder, tmp_path / "back.safetensors")[0] == cli.DONE
    back = load_model(tmp_path / "back.safetensors")
    assert back.spec == before.spec
    assert back.architecture.name == before.architecture.name
    told = {name: one for name, one in before.architecture.arguments.items() if one is not None}
    assert back.architecture.arguments == told
    with torch.inference_mode():
        assert torch.equal(back.module(tile), before.module(tile))


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("smp.Unet", "tu-swin_tiny_patch4_window7_224"),
        ("smp.DPT", "tu-vit_tiny_patch16_224.augreg_in21k"),
    ],
)
def test_a_transformer_takes_tiles_of_any_size_in_the_library_too(name, encoder, tmp_path):
    arguments = {"encoder_name": encoder, "in_channels": 1, "classes": 2}
    recipe = Architecture(name, arguments)
    spec = ModelSpec("any size", default_classes(2), channels=("grey",), stride=32, tile=256)
    before = Network(registry.build(recipe).eval(), spec, recipe)
    theirs = smp.from_pretrained(save_smp_folder(before, tmp_path / "folder")).eval()
    tile = torch.rand(1, 1, 160, 160)
    with torch.inference_mode():
        assert torch.equal(theirs(tile), before.module(tile))


@pytest.mark.parametrize("suffix", [".onnx", ".zip"])
def test_a_model_leaves_for_other_programs_and_comes_back(
    tileseg, tiny_checkpoint, tmp_path, suffix
):
    pytest.importorskip("onnxscript", reason="the extra 'onnx' is not installed")
    pytest.importorskip("bioimageio.spec", reason="the extra 'bioimageio' is not installed")
    before, out = load_model(tiny_checkpoint), tmp_path / f"out{suffix}"
    assert tileseg("convert", tiny_checkpoint, out)[0] == cli.DONE
    assert tileseg("convert", out, tmp_path / "back.safetensors")[0] == cli.DONE
    back = load_model(tmp_path / "back.safetensors")
    assert back.spec == before.spec
    tile = torch.rand(1, len(before.spec.channels), 64, 96)
    with torch.inference_mode():
        ours, theirs = (one.module(tile) for one in (before, back))
    assert float((ours - theirs).abs().max()) <= 1e-3 * float(ours.std())


def test_bare_weights_become_a_model_that_knows_its_classes(tileseg, tiny_checkpoint, tmp_path):
    torch.save(load_model(tiny_checkpoint).module.state_dict(), tmp_path / "w.pt")
    out = tmp_path / "named.safetensors"
    assert tileseg("convert", tmp_path / "w.pt", out, "--classes", "a,b,c", "--half")[0] == cli.DONE
    model = load_model(out)
    assert [one.name for one in model.classes] == ["a", "b", "c"]
    assert "assumed" not in model.provenance


@pytest.mark.parametrize(
    ("out", "more", "said", "code"),
    [
        ("x.pt", (), "has to end in .safetensors", cli.WRONG_USE),
        ("folder", ("--half",), "--half is for", cli.WRONG_USE),
        ("full", (), "is there already", cli.FAILED),
    ],
)
def test_what_cannot_be_written_is_told(tileseg, tiny_checkpoint, tmp_path, out, more, said, code):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    found, _, err = tileseg("convert", tiny_checkpoint, tmp_path / out, *more)
    assert found == code
    assert said in err
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith(".")) == []


def test_other_architectures_are_no_folders_of_the_library(tileseg, tmp_path):
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
    from napari_tileseg.io.checkpoints import save_model
    from napari_tileseg.models import registry

    recipe = Architecture("original-unet", {"depth": 1, "base_channels": 4, "padding": "same"})
    spec = ModelSpec("m", default_classes(2), stride=2)
    save_model(Network(registry.build(recipe), spec, recipe), tmp_path / "m.safetensors")
    code, _, err = tileseg("convert", tmp_path / "m.safetensors", tmp_path / "folder")
    assert code == cli.FAILED
    assert "Save it as .safetensors" in err
