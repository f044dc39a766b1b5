"""Files that run code are opened only after somebody said so, and are then remembered."""

from __future__ import annotations

import pickle
import warnings

import pytest
import torch
from torch import nn

from napari_tileseg.engine.spec import Architecture
from napari_tileseg.errors import CheckpointError, NotTrustedError
from napari_tileseg.io.checkpoints import load_model, save_model
from napari_tileseg.models import registry
from written_unets import STYLES, Written

TILE = torch.rand(1, 2, 32, 32, generator=torch.Generator().manual_seed(0))


class Own(nn.Module):
    """A network of somebody's own, which no library has."""

    def __init__(self, outputs: int = 4) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 6, 5, padding=2), nn.Conv2d(6, outputs, 1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(tiles).sin())


class Halving(Own):
    """One that answers for blocks of pixels only."""

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return super().forward(tiles)[..., ::2, ::2]


class Wicked:
    """Leaves a trace when it is opened."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()


@pytest.fixture
def own() -> Own:
    torch.manual_seed(0)
    return Own().eval()


def test_a_pickled_network_is_opened_when_it_is_trusted_and_only_then(own, tmp_path):
    path = tmp_path / "own.pt"
    torch.save(own, path)
    with pytest.raises(NotTrustedError, match=r"run code.*--trust.*trust=True"):
        load_model(path)
    back = load_model(path, trust=True, classes=["a", "b", "c", "d"])
    assert torch.equal(back.logits(TILE), own(TILE))
    assert [one.name for one in back.classes] == ["a", "b", "c", "d"]
    assert back.spec.channels == ("channel 1", "channel 2")
    assert "which intensities" in back.provenance["assumed"]
    with pytest.raises(CheckpointError, match="how to build it is not known"):
        save_model(back, tmp_path / "x")


def test_trust_is_remembered_for_the_same_content_and_no_other(own, tmp_path):
    path = tmp_path / "own.pt"
    torch.save(own, path)
    load_model(path, trust=True)
    again = path.rename(tmp_path / "renamed.pt")
    load_model(again)
    with torch.no_grad():
        own.last.bias += 1
    torch.save(own, path)
    with pytest.raises(NotTrustedError):
        load_model(path)


def test_what_runs_does_so_only_if_it_is_trusted(tmp_path):
    witness, path = tmp_path / "witness", tmp_path / "wicked.pt"
    torch.save({"w": torch.zeros(2), "more": Wicked(witness)}, path)
    with pytest.raises(NotTrustedError):
        load_model(path)
    assert not witness.exists()
    with pytest.raises(CheckpointError):
        load_model(path, trust=True)
    assert witness.exists()


@pytest.mark.parametrize("inside", [lambda one: one, lambda one: {"epoch": 3, "model": one}])
def test_a_pickled_network_that_is_known_is_built_anew_and_can_be_saved(inside, tmp_path):
    recipe = Architecture(
        "smp.Unet",
        {
            "encoder_name": "resnet18",
            "encoder_depth": 3,
            "decoder_channels": [16, 8, 8],
            "in_channels": 2,
            "classes": 3,
        },
    )
    module = registry.build(recipe)
    torch.save(inside(module), tmp_path / "unet.pt")
    back = load_model(tmp_path / "unet.pt", trust=True)
    assert back.architecture == recipe
    assert torch.equal(back.logits(TILE), module(TILE))
    assert load_model(save_model(back, tmp_path / "own")).architecture == recipe


def test_plain_pickles_and_torchscript_are_opened_when_trusted(own, tmp_path):
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(own))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(own, TILE).save(tmp_path / "script.pt")
        for name in ("plain.pkl", "script.pt"):
            with pytest.raises(NotTrustedError, match=r"state_dict\(\).*--trust"):
                load_model(tmp_path / name)
            back = load_model(tmp_path / name, trust=True)
            torch.testing.assert_close(back.logits(TILE), own(TILE))


def test_of_an_exported_program_only_the_weights_are_used(own, tmp_path):
    written = Written(STYLES["down_convolution, up_transpose"]).eval()
    for module, name in ((written, "known.pt2"), (own, "own.pt2")):
        torch.export.save(torch.export.export(module, (TILE,)), tmp_path / name)
        with pytest.raises(NotTrustedError):
            load_model(tmp_path / name)
    back = load_model(tmp_path / "known.pt2", trust=True)
    with torch.inference_mode():
        torch.testing.assert_close(back.logits(TILE), written(TILE))
    with pytest.raises(CheckpointError, match="Give the architecture"):
        load_model(tmp_path / "own.pt2", trust=True)


def test_what_is_trusted_and_still_no_segmentation_is_explained(tmp_path, monkeypatch):
    torch.save(Halving(), tmp_path / "halving.pt")
    with pytest.raises(CheckpointError, match="does not answer for every pixel"):
        load_model(tmp_path / "halving.pt", trust=True)
    torch.save(Own(), tmp_path / "gone.pt")
    monkeypatch.delattr(f"{__name__}.Own")
    with pytest.raises(CheckpointError, match=r"'gone\.pt' cannot be opened.*Install what it was"):
        load_model(tmp_path / "gone.pt", trust=True)


@pytest.mark.parametrize("trust", [False, True])
def test_of_a_folder_the_file_that_runs_code_is_named_and_trust_is_not_asked_for(tmp_path, trust):
    recipe = Architecture("smp.Unet", {"encoder_name": "resnet18", "classes": 2})
    registry.build(recipe).save_pretrained(tmp_path / "nuclei")
    (tmp_path / "nuclei" / "model.safetensors").unlink()
    torch.save(Own(), tmp_path / "nuclei" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin.*by itself") as caught:
        load_model(tmp_path / "nuclei", trust=trust)
    assert not isinstance(caught.value, NotTrustedError)
    assert "--trust" not in str(caught.value)
