"""Packages of bioimage.io come in as they describe themselves, and leave for others to open."""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import napari_tileseg as nts
import onnx_made
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import (
    Architecture,
    ClassInfo,
    Normalisation,
    NormalisationKind,
    Task,
)
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.bioimageio_in import read_package
from napari_tileseg.io.checkpoints import load_model, look, save_model
from napari_tileseg.io.specs import described
from napari_tileseg.models import registry

spec_library = pytest.importorskip(
    "bioimageio.spec", reason="the extra 'bioimageio' is not installed"
)

NUCLEI = Path(__file__).parents[3] / "shared" / "data" / "unet2d_nuclei_broad"
OWN = "napari-tileseg"
ARGUMENTS = {
    "encoder_name": "resnet18",
    "encoder_depth": 3,
    "decoder_channels": [16, 8, 8],
    "in_channels": 1,
    "classes": 3,
}
CLASSES = (
    ClassInfo("nothing", "#000000"),
    ClassInfo("cell wall", "#12ab34"),
    ClassInfo("inside", "#ab3412"),
)


@pytest.fixture(scope="module")
def network() -> Network:
    recipe = Architecture("smp.Unet", dict(ARGUMENTS))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = registry.build(recipe)
    spec = replace(described(module, recipe, "µ cells: two"), classes=CLASSES, pixel_size_um=0.5)
    return Network(module, spec, recipe, {"made_by": "a test", "authors": ["A. Name"]})


@pytest.fixture(scope="module")
def archive(network, tmp_path_factory) -> Path:
    return save_model(network, tmp_path_factory.mktemp("package") / "cells.zip")


@pytest.fixture
def folder(archive, tmp_path) -> Path:
    with zipfile.ZipFile(archive) as one:
        one.extractall(tmp_path / "cells")
    return tmp_path / "cells"


@pytest.fixture
def made(tmp_path) -> Path:
    """A package as others write it: ONNX that answers 10 * x - 5 for a normalised image."""
    folder = tmp_path / "made"
    folder.mkdir()
    onnx_made.written(onnx_made.one_by_one([10], [-5]), folder / "weights.onnx")
    image = np.random.default_rng(0).random((1, 1, 128, 160)).astype(np.float32)
    np.save(folder / "in.npy", image)
    np.save(folder / "out.npy", 1 / (1 + np.exp(-(10 * image - 5))))
    space = {"type": "space", "size": {"min": 64, "step": 16}}
    answer = {"type": "space", "size": {"tensor_id": "raw", "axis_id": "y"}}
    write(
        folder,
        {
            "type": "model",
            "format_version": "0.5.4",
            "name": "made by hand",
            "inputs": [
                {
                    "id": "raw",
                    "axes": [
                        {"type": "batch"},
                        {"type": "channel", "channel_names": ["dna"]},
                        {**space, "id": "y"},
                        {**space, "id": "x"},
                    ],
                    "test_tensor": {"source": "in.npy"},
                }
            ],
            "outputs": [
                {
                    "id": "mask",
                    "axes": [
                        {"type": "batch"},
                        {"type": "channel", "channel_names": ["nucleus"]},
                        {**answer, "id": "y"},
                        {**answer, "size": {"tensor_id": "raw", "axis_id": "x"}, "id": "x"},
                    ],
                    "test_tensor": {"source": "out.npy"},
                    "postprocessing": [{"id": "sigmoid"}],
                }
            ],
            "weights": {"onnx": {"source": "weights.onnx", "opset_version": 17}},
        },
    )
    return folder


def write(folder: Path, content: dict) -> None:
    (folder / "rdf.yaml").write_text(yaml.safe_dump(content), "utf-8")


def changed(folder: Path, change) -> Path:
    """Write a package with another description."""
    name = "rdf.yaml" if (folder / "rdf.yaml").exists() else "bioimageio.yaml"
    content = yaml.safe_load((folder / name).read_text("utf-8"))
    (folder / name).unlink()
    change(content)
    write(folder, content)
    return folder


def refused(path: Path, said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        load_model(path)
    assert path.name in str(caught.value)


def foreground(image, network, **options):
    """Return the probability of the last class, as the engine puts it together."""
    whole = np.full(image.shape, np.nan, np.float32)
    for patch in nts.stream(image, network, probabilities=True, precision="fp32", **options):
        if patch.final:
            whole[patch.region] = patch.probabilities[-1]
    return whole


@pytest.mark.skipif(not NUCLEI.is_dir(), reason="needs ../shared/data/unet2d_nuclei_broad")
@pytest.mark.parametrize("mode", ["auto", "whole", "blend"])
def test_a_published_package_gives_its_test_output_through_our_engine(mode):
    network = load_model(NUCLEI)
    image, expected = (np.load(NUCLEI / f"test_{one}.npy")[0, 0] for one in ("input", "output"))
    assert np.abs(foreground(image, network, mode=mode) - expected).max() <= 1e-4
    assert network.provenance["licence"] == "MIT"
    assert network.provenance["halo_px"] == 32


@pytest.mark.skipif(not NUCLEI.is_dir(), reason="needs ../shared/data/unet2d_nuclei_broad")
def test_a_published_package_leaves_as_one_that_validates(tmp_path):
    again = save_model(load_model(NUCLEI), tmp_path / "again.zip")
    found = spec_library.load_description(again)
    assert type(found).__name__ == "ModelDescr"
    assert [axis.size for axis in found.inputs[0].axes if axis.type != "channel"] == [1, 512, 512]
    image, expected = (np.load(NUCLEI / f"test_{one}.npy")[0, 0] for one in ("input", "output"))
    assert np.abs(foreground(image, load_model(again)) - expected).max() <= 1e-4


@pytest.mark.parametrize("options", [{}, {"mode": "whole"}, {"mode": "blend", "tile": 64}])
def test_a_package_gives_its_test_output_through_our_engine(made, options):
    network = load_model(made)
    assert network.spec.task is Task.BINARY
    assert [one.name for one in network.classes] == ["background", "nucleus"]
    image, expected = (np.load(made / f"{one}.npy")[0, 0] for one in ("in", "out"))
    assert np.abs(foreground(image, network, **options) - expected).max() <= 1e-5


@pytest.mark.parametrize("named", ["rdf.yaml", ""])
def test_the_description_stands_for_its_folder(made, named):
    assert load_model(made / named).spec.name == "made by hand"
    assert look(made / named) is None


def test_what_leaves_is_read_by_others_and_comes_back_whole(network, archive):
    found = spec_library.load_description(archive)
    assert type(found).__name__ == "ModelDescr"
    assert found.validation_summary.status in ("passed", "valid-format")
    assert found.name == "cells two"
    back = load_model(archive)
    assert back.spec == network.spec
    assert back.architecture.name == "smp.Unet"
    assert back.provenance["made_by"] == "a test"
    for name, weight in network.module.state_dict().items():
        assert torch.equal(back.module.state_dict()[name], weight), name


def test_what_leaves_gives_its_own_test_output(network, folder):
    image, expected = (np.load(folder / f"test_{one}.npy")[0] for one in ("input", "output"))
    assert np.abs(foreground(image[0], network, mode="whole") - expected[-1]).max() <= 1e-5


def test_networks_of_no_library_leave_as_onnx(tmp_path):
    pytest.importorskip("onnxscript", reason="the extra 'onnx' is not installed")
    recipe = Architecture("original-unet", {"depth": 1, "base_channels": 2, "padding": "valid"})
    module = registry.build(recipe)
    network = Network(module, described(module, recipe, "own"), recipe)
    path = save_model(network, tmp_path / "own.zip")
    found = spec_library.load_description(path)
    assert found.weights.pytorch_state_dict is None
    assert found.inputs[0].axes[2].size.step == network.spec.stride
    back = load_model(changed(extracted(path, tmp_path), lambda one: one["config"].pop(OWN)))
    assert back.spec.margin == network.spec.margin > 0
    assert back.spec.task is network.spec.task


def extracted(path: Path, to: Path) -> Path:
    with zipfile.ZipFile(path) as one:
        one.extractall(to / "out")
    return to / "out"


@pytest.mark.parametrize(
    "wanted",
    [
        Normalisation(),
        Normalisation(NormalisationKind.FIXED, (0.4,), (0.25,)),
        Normalisation(NormalisationKind.PERCENTILE, (0.1,), (0.5,), 1, 99.5),
        Normalisation(NormalisationKind.ZSCORE),
        Normalisation(NormalisationKind.NONE),
    ],
)
def test_without_our_own_words_the_steps_say_the_same(network, tmp_path, wanted):
    one = replace(network, spec=replace(network.spec, normalisation=wanted))
    folder = extracted(save_model(one, tmp_path / "n.zip"), tmp_path)
    found = load_model(changed(folder, lambda content: content["config"].pop(OWN))).spec
    assert found.normalisation.kind is wanted.kind
    assert np.allclose(found.normalisation.mean, wanted.mean)
    assert np.allclose(found.normalisation.std, wanted.std)
    if wanted.kind is NormalisationKind.PERCENTILE:
        assert (found.normalisation.low, found.normalisation.high) == (1, 99.5)
    assert [one.name for one in found.classes] == [one.name for one in CLASSES]
    assert found.pixel_size_um == 0.5
    assert found.task is Task.MULTICLASS


def steps(*found):
    return lambda one: one["inputs"][0].update(preprocessing=list(found))


def after(*found):
    return lambda one: one["outputs"][0].update(postprocessing=list(found))


def axes(which, *order):
    return lambda one: one[which][0].update(axes=[one[which][0]["axes"][i] for i in order])


def library(name):
    states = {"source": "w.pt", "pytorch_version": "2.10.0"}
    states["architecture"] = {"import_from": name, "callable": "system", "kwargs": {"command": "x"}}
    return lambda one: one.update(weights={"pytorch_state_dict": states})


def from_file(one):
    states = {"source": "w.pt", "pytorch_version": "2.10.0"}
    states["architecture"] = {"source": "net.py", "callable": "Net", "sha256": "0" * 64}
    one["weights"] = {"pytorch_state_dict": states}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (steps({"id": "clip", "kwargs": {"min": 0, "max": 1}}), "'clip' in its preprocessing"),
        (
            steps({"id": "scale_linear", "kwargs": {"gain": 2.0}}),
            "'fixed numbers for float32 images' in its preprocessing",
        ),
        (after({"id": "zero_mean_unit_variance"}), "'zero_mean_unit_variance' in its post"),
        (axes("inputs", 0, 2, 3, 1), "reads an array with the axes byxc"),
        (library("os"), "library 'os', which could run any code"),
        (library("segmentation_models_pytorch.utils"), "could run any code"),
        (from_file, r"code in the file 'net\.py', which would be run"),
        (lambda one: one.update(format_version="0.4.10"), r"format 0\.4\.10"),
        (lambda one: one.update(type="dataset"), "no package of a model"),
        (lambda one: one.pop("outputs"), "not one of bioimage.io .*outputs"),
        (lambda one: one.update(inputs=one["inputs"] * 2), "reads 2 arrays|not one of bioimage.io"),
        (
            lambda one: one["weights"]["onnx"].update(source="../secret.onnx"),
            "not inside the package|not one of bioimage.io",
        ),
        (
            lambda one: one["weights"]["onnx"].update(source="https://example.com/w.onnx"),
            r"not inside the package",
        ),
        (lambda one: one["weights"]["onnx"].update(sha256="0" * 64), "not the file that"),
    ],
)
def test_what_our_engine_has_not_got_is_refused_by_name(made, change, said):
    refused(changed(made, change), said)


def test_percentiles_and_thresholds_are_taken_over(made):
    scale = {"axes": ["y", "x"], "min_percentile": 2, "max_percentile": 98}
    changed(made, steps({"id": "scale_range", "kwargs": scale}))
    changed(made, after({"id": "sigmoid"}, {"id": "binarize", "kwargs": {"threshold": 0.3}}))
    found = load_model(made).spec
    assert found.normalisation == Normalisation(NormalisationKind.PERCENTILE, low=2, high=98)
    assert found.threshold == 0.3


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\n"
        + "".join(f"{n}: &{n} [*{p}, *{p}]\n" for p, n in pairwise("abcdefghijklmnopqrst")),
        "a: &a [*a]\ntype: model\n",
        "[" * 100_000,
        "\x00",
        "!!python/object/apply:os.system ['touch witness']",
        "- 1",
        "type: model",
        "type: model\n" + "#" * 300_000,
    ],
)
def test_descriptions_made_to_harm_are_refused(made, text, monkeypatch):
    monkeypatch.chdir(made)
    (made / "rdf.yaml").write_text(text, "utf-8")
    refused(made, "cannot be read|no package of a model|of the format None|it has 300,012 bytes")
    assert not (made / "witness").exists()


def test_archives_made_to_harm_are_refused(made, tmp_path):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in made.iterdir():
            archive.write(one, one.name)
        archive.writestr("weights2.onnx", bytes(200 << 20))
    refused(bomb, "unpacks to 209,[0-9,]+ bytes")
    cut = tmp_path / "cut.zip"
    packed = shutil.make_archive(str(tmp_path / "whole"), "zip", made)
    content = bytearray(Path(packed).read_bytes())
    content[40:400] = os.urandom(360)
    cut.write_bytes(content)
    refused(cut, "cut.zip")


def test_an_archive_may_have_its_files_in_a_folder(made, tmp_path):
    packed = shutil.make_archive(str(tmp_path / "deep"), "zip", made.parent, made.name)
    network, source = read_package(Path(packed), ["nothing", "nucleus"])
    assert source == Path(packed)
    assert [one.name for one in network.classes] == ["nothing", "nucleus"]


def test_nothing_is_written_that_the_library_finds_fault_with(network, tmp_path, monkeypatch):
    from napari_tileseg.io import bioimageio_out

    monkeypatch.setattr(bioimageio_out, "_postprocessing", lambda _: [{"id": "no such step"}])
    with pytest.raises(CheckpointError, match=r"package of bioimage\.io.*postproc"):
        save_model(network, tmp_path / "bad.zip")
    assert list(tmp_path.iterdir()) == []
