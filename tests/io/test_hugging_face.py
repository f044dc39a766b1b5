"""Models on the Hugging Face hub: only where a person names one, and only what cannot run code."""

from __future__ import annotations

from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors

from napari_tileseg.cli import main
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.io.smp_folders_out import DESCRIPTION, save_smp_folder
from napari_tileseg.models import registry

OFFERED = "0123abcd"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub with one model, owner/cells; returns it, its folder, and what was asked for."""
    recipe = Architecture(
        "smp.Unet",
        {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [8, 8, 8]}
        | {"in_channels": 1, "classes": 2},
    )
    spec = ModelSpec("nuclei", default_classes(2), channels=("grey",), stride=8, tile=256)
    model = Network(registry.build(recipe).eval(), spec, recipe)
    folder, asked = save_smp_folder(model, tmp_path / OFFERED), []

    def snapshot_download(name, *, revision, allow_patterns):
        asked.append((name, revision, tuple(allow_patterns)))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return model, folder, asked


def test_a_model_is_fetched_by_its_name_and_nothing_that_could_run_code(hub):
    model, _, asked = hub
    found = load_model("hf:owner/cells@v1")
    name, revision, patterns = asked[0]
    assert (name, revision) == ("owner/cells", "v1")
    assert all(one.endswith((".json", ".safetensors")) for one in patterns)
    assert found.spec.name == "nuclei"
    tile = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(found.module(tile), model.module(tile))


def test_a_model_that_does_not_say_its_name_has_the_one_on_the_hub(hub):
    _, folder, asked = hub
    (folder / DESCRIPTION).unlink()
    assert load_model("hf:owner/cells").spec.name == "cells"
    assert asked[0][1] is None


def test_the_commands_take_such_a_name_too(hub, tmp_path, capsys):
    assert main(["info", "hf:owner/cells"]) == 0
    assert "nuclei" in capsys.readouterr().out
    assert main(["convert", "hf:owner/cells", str(tmp_path / "mine.safetensors")]) == 0
    assert load_model(tmp_path / "mine.safetensors").spec.name == "nuclei"


def test_nothing_is_fetched_for_other_sources(hub):
    _, folder, asked = hub
    load_model(folder)
    with pytest.raises(CheckpointError, match="There is no file"):
        load_model("owner/cells")
    assert not asked


@pytest.mark.parametrize(
    "source", ["hf:", "hf:cells", "hf:../cells", "hf:a/b/c", "hf:a/../b", "hf:a/b@", "hf:a b/c"]
)
def test_what_is_no_name_is_refused_before_anything_is_asked(hub, source):
    with pytest.raises(CheckpointError, match="hf:OWNER/NAME"):
        load_model(source)
    assert not hub[2]


def refused(kind):
    return kind("no", response=SimpleNamespace(headers={}, request=None, status_code=404))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (refused(errors.GatedRepoError), "have asked for it"),
        (refused(errors.RevisionNotFoundError), "no branch, tag or commit 'v1'"),
        (refused(errors.RepositoryNotFoundError), "no model 'owner/cells' on Hugging Face"),
        (refused(errors.HfHubHTTPError), r"could not be fetched.*HfHubHTTPError"),
        (errors.LocalEntryNotFoundError("no"), r"could not be fetched.*copy the folder"),
        (errors.OfflineModeIsEnabled("no"), r"could not be fetched.*Connect"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_every_refusal_says_what_to_do(monkeypatch, error, said):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(CheckpointError, match=said):
        load_model("hf:owner/cells@v1")


def test_a_damaged_model_is_told_by_the_name_that_was_asked_for(hub):
    _, folder, _ = hub
    (folder / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="'cells' cannot be used"):
        load_model("hf:owner/cells")


def test_a_model_in_another_format_is_told(hub):
    _, folder, _ = hub
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"owner/cells.*holds no config\.json"):
        load_model("hf:owner/cells")
