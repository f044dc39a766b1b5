"""Every file that cannot be used gets its own answer, and none of them runs code."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io import checkpoints
from napari_tileseg.io.checkpoints import load_model, save_model
from napari_tileseg.models import registry

RECIPE = Architecture(
    "smp.Unet",
    {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8], "classes": 2},
)


class Code:
    """What a harmful checkpoint looks like: it asks for a call when it is opened."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch '{self.witness}'",)


@pytest.fixture(scope="module")
def network() -> Network:
    module = registry.build(RECIPE)
    spec = ModelSpec("m", default_classes(2), channels=("red", "green", "blue"), stride=8)
    return Network(module, spec, RECIPE)


@pytest.fixture
def saved(network: Network, tmp_path: Path) -> Path:
    return save_model(network, tmp_path / "saved.safetensors")


def refused(path: Path, said: str, architecture: Architecture | None = None) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        load_model(path, architecture=architecture)
    assert "weights_only" not in str(caught.value), "never advise to switch the protection off"


def test_a_missing_file_suggests_names_that_are_near(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(saved.with_name("savd.safetensors"), r"no file.*Did you mean 'saved\.safetensors'\?")
    monkeypatch.setattr(checkpoints, "bundled_models", lambda: {"axon_myelin_sem": saved})
    with pytest.raises(CheckpointError, match=r"Did you mean 'axon_myelin_sem'\?.*Check the name"):
        load_model("axon_myelin")


def test_a_folder_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "nuclei"
    (folder / "inner").mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name in (".", "./", "inner/.."):
        with pytest.raises(CheckpointError, match="The folder 'nuclei' holds no network"):
            load_model(name)
    with pytest.raises(CheckpointError, match="no file, folder or bundled model ''"):
        load_model("")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_an_empty_file_is_named_empty(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    path.touch()
    refused(path, r"is empty \(0 bytes\)\. Download or copy it again")


@pytest.mark.parametrize("page", ["<!DOCTYPE html><p>", "\n <html>", "\ufeff<?xml version='1.0'?>"])
def test_a_web_page_is_recognised(tmp_path: Path, page: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text(page * 20, "utf-8")
    refused(path, "is a web page.*'raw' or 'download'")


def test_a_pointer_of_git_lfs_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    refused(path, "Git LFS.*git lfs pull")


@pytest.mark.parametrize("share", [0.9, 0.5, 0.001])
def test_truncated_safetensors_are_not_complete(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    refused(saved, "not complete or is damaged.*Download or copy it again")


def test_a_few_bytes_of_safetensors_are_not_complete(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:6])
    refused(saved, "is not complete.*Download or copy it again")


def test_a_truncated_zip_is_not_complete(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(network.module.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-400])
    refused(path, "is not complete: its end is missing.*again", RECIPE)


@pytest.mark.parametrize("share", [0.9, 0.3])
def test_a_truncated_old_file_is_not_complete(
    network: Network, tmp_path: Path, share: float
) -> None:
    path = tmp_path / "w.pt"
    torch.save(network.module.state_dict(), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "not complete or is damaged.*again", RECIPE)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_named_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path, witness = tmp_path / "harmful.pt", tmp_path / "witness"
    content = {"state_dict": {"w": torch.zeros(2)}, "extra": Code(witness)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    refused(path, rf"run code.*{os.name}\.system.*not opened.*state_dict\(\)", RECIPE)
    assert not witness.exists()


def test_a_plain_pickle_is_not_opened(tmp_path: Path) -> None:
    path, witness = tmp_path / "harmful.pkl", tmp_path / "witness"
    path.write_bytes(pickle.dumps(Code(witness)))
    refused(path, r"pickled Python object.*not opened.*state_dict\(\)")
    assert not witness.exists()


def test_a_whole_pickled_network_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(nn.Sequential(nn.Conv2d(1, 2, 3)), path)
    refused(path, r"a whole network as a Python object.*torch\.nn.*state_dict\(\)", RECIPE)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.trace(nn.Conv2d(1, 2, 3), torch.zeros(1, 1, 8, 8)).save(path)
    refused(path, r"TorchScript program.*not opened.*state_dict\(\)", RECIPE)


def test_exported_programs_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "program.pt2"
    program = torch.export.export(nn.Linear(2, 2), (torch.zeros(2, 2),))
    torch.export.save(program, path)
    refused(path, r"exported program \(\.pt2\).*state_dict\(\)", RECIPE)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("rdf.yaml", "no package of a model.*another"),
        ("notes.txt", "zip archive, but no checkpoint.*Unpack it"),
    ],
)
def test_other_archives_are_named(tmp_path: Path, member: str, said: str) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "x")
    refused(path, said)


def test_any_other_file_is_told_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are only notes, not a checkpoint")
    refused(path, r"not a checkpoint that can be read.*\.safetensors.*save_pretrained")


def test_weights_of_an_unknown_network_ask_for_its_architecture(tmp_path: Path) -> None:
    weights = {"stem.weight": torch.zeros(4, 3, 3, 3), "head.weight": torch.zeros(2, 4, 1, 1)}
    torch.save(weights, tmp_path / "w.pt")
    save_file(weights, tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        refused(tmp_path / name, "not how to build their network.*Give the architecture")


def test_a_file_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", r"holds epoch, lr, but no state dict.*state_dict\(\)", RECIPE)
    torch.save([1, 2], tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "holds no state dict", RECIPE)


def test_weights_of_another_architecture_name_what_differs(
    network: Network, tmp_path: Path
) -> None:
    torch.save(network.module.state_dict(), tmp_path / "w.pt")
    linknet = Architecture("smp.Linknet", {"encoder_name": "resnet18", "classes": 2})
    refused(
        tmp_path / "w.pt",
        r"do not fit the architecture smp\.Linknet: \d+ missing \(decoder\S+, \S+, \S+, \.\.\.\); "
        r"\d+ not known to it.*Give the architecture",
        linknet,
    )


def test_a_class_count_that_does_not_fit_the_weights_is_told(
    network: Network, tmp_path: Path
) -> None:
    torch.save(network.module.state_dict(), tmp_path / "w.pt")
    five = Architecture("smp.Unet", {**RECIPE.arguments, "classes": 5})
    refused(tmp_path / "w.pt", r"2 of another shape .*They are for 2 outputs: give classes=2", five)


def rewritten(path: Path, change: Callable[[dict], None]) -> None:
    """Change the description inside one of our files."""
    weights, metadata = checkpoints.read_safetensors(path)
    description = json.loads(metadata["napari-tileseg"])
    change(description)
    save_file(weights, path, {"napari-tileseg": json.dumps(description)})


BAD_DESCRIPTIONS = {
    "a newer version": (
        lambda d: d.update(version=2),
        "newer version.*Update napari-tileseg",
    ),
    "no version": (lambda d: d.pop("version"), "description inside.*cannot be read"),
    "an unknown architecture": (
        lambda d: d["architecture"].update(name="smp.Unet4"),
        r"no architecture 'smp\.Unet4'\. Did you mean 'smp\.Unet'",
    ),
    "no architecture": (lambda d: d.pop("architecture"), "does not say how to build"),
    "an argument that runs away": (
        lambda d: d["architecture"]["arguments"].update(pretrained_cfg="x"),
        "no argument 'pretrained_cfg'",
    ),
    "more classes than outputs": (
        lambda d: d["spec"]["classes"].append({"name": "x", "colour": "#ffffff"}),
        "names 3 classes .* gives 2 outputs",
    ),
    "fewer channels than it reads": (
        lambda d: d["spec"].update(channels=["grey"]),
        "reads 1 channels, but its network reads 3",
    ),
    "no classes": (lambda d: d["spec"].pop("classes"), "description inside this checkpoint"),
    "a spec that is no table": (lambda d: d.update(spec=[1]), "description inside"),
}


@pytest.mark.parametrize("case", BAD_DESCRIPTIONS)
def test_a_description_that_contradicts_itself_is_refused(saved: Path, case: str) -> None:
    change, said = BAD_DESCRIPTIONS[case]
    rewritten(saved, change)
    refused(saved, said)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "no config.json.*save_pretrained"),
        ("{", "config.json in 'folder' cannot be read"),
        ("[]", "is not the description of a network"),
        ('{"_model_class": "os"}', "class 'os'. Choose a folder with one of these: Unet, "),
        ('{"_model_class": "Unet"}', "no weights. Put model.safetensors"),
        ('{"classes": 2}', "asks for the class None"),
    ],
)
def test_a_folder_that_is_no_smp_model_is_explained(
    tmp_path: Path, config: str | None, said: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(config)
    refused(folder, said)
