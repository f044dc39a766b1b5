"""ONNX networks run in the same engine, and no file does harm."""

import copy
import pickle
import random
import sys

import numpy as np
import pytest
import torch

import napari_tileseg as nts
import onnx_made
from napari_tileseg.engine.footprint import footprint
from napari_tileseg.engine.spec import Architecture, NormalisationKind, Task
from napari_tileseg.errors import CheckpointError, ModelFitError, NetworkError, TilesegError
from napari_tileseg.io import onnx_recipes
from napari_tileseg.io.checkpoints import load_model, look, save_model
from napari_tileseg.io.project_models import load_stored, model_file, store_model
from napari_tileseg.settings import TeachSettings
from napari_tileseg.training.fine_tune import fine_tune
from onnx_made import helper, model_of, one_by_one, with_external, written

RAW = Architecture("onnx", {"normalisation": "none"})


@pytest.fixture
def image():
    return np.random.default_rng(0).random((150, 210)).astype(np.float32)


@pytest.fixture
def above_half(tmp_path):
    """Foreground where a pixel is above 0.5."""
    return written(one_by_one([10], [-5]), tmp_path / "above half.onnx")


def refused(path, said, **more):
    with pytest.raises(CheckpointError, match=said) as caught:
        load_model(path, **more)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("mode", ["auto", "whole", "blend"])
def test_a_network_answers_in_every_mode_as_its_arithmetic_says(above_half, image, mode):
    network = load_model(above_half, architecture=RAW)
    assert network.spec.task is Task.BINARY
    labels = nts.predict(image, network, mode=mode, tile=64)
    assert np.array_equal(labels, image > 0.5)


def test_what_the_file_does_not_say_is_assumed_and_said(above_half):
    network = load_model(above_half)
    assert network.spec.normalisation.kind is NormalisationKind.FIXED
    for word in ("intensities", "logits", "classes are called"):
        assert word in network.provenance["assumed"]
    said = Architecture("onnx", {"normalisation": "zscore", "answers": "logits"})
    told = load_model(above_half, architecture=said, classes=["background", "cell"])
    assert told.spec.normalisation.kind is NormalisationKind.ZSCORE
    assert [one.name for one in told.classes] == ["background", "cell"]
    assert told.provenance["assumed"] == ""


def test_the_window_can_ask_for_the_rest(above_half):
    (found,) = look(above_half)
    assert found.name == "onnx"
    assert found.arguments == {"in_channels": 1, "classes": 1}
    assert "what it answers with" in found.assumptions()


@pytest.mark.parametrize(
    ("last", "task", "expected"),
    [
        ([("Softmax", {"axis": 1})], Task.MULTICLASS, [0.2, 0.8]),
        ([("Sigmoid", {})], Task.MULTILABEL, [1 / (1 + np.e), 1 / (1 + 1 / np.e)]),
    ],
)
def test_probabilities_at_the_end_are_seen_and_come_out_as_they_were(
    tmp_path, image, last, task, expected
):
    bias = [np.log(0.2), np.log(0.8)] if task is Task.MULTICLASS else [-1, 1]
    path = written(one_by_one([0, 0], bias, last=last), tmp_path / "p.onnx")
    network = load_model(path, architecture=RAW)
    assert network.spec.task is task
    tile = torch.from_numpy(image[None, None, :128, :128])
    found = network.probabilities(network.evidence(network.checked_logits(tile)[0]))
    assert np.allclose(found[:, 0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, "n"])
def test_a_network_of_one_size_sees_that_size_and_no_other(tmp_path, image, batch):
    model = one_by_one([10], [-5], shape=(batch, 1, 96, 96))
    network = load_model(written(model, tmp_path / "fixed.onnx"), architecture=RAW)
    assert network.spec.tile == 96
    assert np.array_equal(nts.predict(image, network, batch=2), image > 0.5)
    small = image[:40, :70]
    assert np.array_equal(nts.predict(small, network), small > 0.5)
    with pytest.raises(NetworkError, match=r"'fixed.onnx' reads 96 px.*tile of 96 px"):
        nts.predict(image, network, mode="whole")


def test_tiles_are_multiples_of_what_the_network_halves(tmp_path, image):
    wide = {"kernel_shape": [64, 64], "strides": [64, 64]}
    scales = onnx_made.numpy_helper.from_array(np.array([1, 1, 64, 64], np.float32), "scales")
    nodes = [
        helper.make_node("MaxPool", ["x"], ["small"], **wide),
        helper.make_node("Resize", ["small", "", "scales"], ["y"], mode="nearest"),
    ]
    shape = ("n", 1, "h", "w")
    model = model_of(nodes, [scales], [("x", shape, 1)], [("y", shape)])
    network = load_model(written(model, tmp_path / "deep.onnx"), architecture=RAW)
    assert network.spec.stride == 64
    assert nts.predict(image, network).shape == image.shape


def test_volumes_are_read(tmp_path):
    model = one_by_one([10], [-5], shape=("n", 1, "d", "h", "w"))
    network = load_model(written(model, tmp_path / "v.onnx"), architecture=RAW)
    volume = np.random.default_rng(0).random((20, 40, 50)).astype(np.float32)
    labels = nts.predict(volume, network, axes="ZYX", tile=32)
    assert np.array_equal(labels, volume > 0.5)


def test_copies_and_saved_files_answer_alike(above_half, image, tmp_path):
    network = load_model(above_half, architecture=RAW, classes=["nothing", "bright"])
    tile = torch.from_numpy(image[None, None, :128, :128])
    expected = network.module(tile)
    for other in (copy.deepcopy(network.module), pickle.loads(pickle.dumps(network.module))):
        assert torch.equal(other(tile), expected)
    again = load_model(save_model(network, tmp_path / "kept.safetensors"))
    assert again.spec == network.spec
    assert torch.equal(again.module(tile), expected)


def test_a_project_keeps_it_and_gives_it_back(above_half, tmp_path):
    network = load_model(above_half, architecture=RAW)
    sha256 = store_model(tmp_path / "models", network)
    above_half.unlink()
    back = load_stored(model_file(tmp_path / "models", sha256), sha256)
    assert back.spec == network.spec
    assert torch.equal(back.module.content, network.module.content)


def test_what_it_takes_is_estimated_without_running_it(tmp_path):
    wide = one_by_one([1] * 64, [0] * 64, last=[("ReduceMax", {"axes": [1]})])
    network = load_model(written(wide, tmp_path / "wide.onnx"), architecture=RAW)
    small, large = (footprint(network, (size, size)).peak for size in (256, 512))
    assert large == pytest.approx(4 * small, rel=0.01)
    assert large >= 64 * 4 * 512**2 / 4 or sys.platform != "linux"
    assert network.module._sessions == {}


def test_an_onnx_network_is_not_taught(above_half):
    network = load_model(above_half)
    with pytest.raises(ModelFitError, match=r"ONNX network: it can be run, but not taught. Choose"):
        next(iter(fine_tune(network, [], settings=TeachSettings())))


def test_weights_in_a_file_beside_it_are_taken_in(tmp_path, image):
    raw = np.float32(10).tobytes()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "w.bin").write_bytes(raw)
    path = tmp_path / "outside.onnx"
    written(with_external(one_by_one([10], [-5]), "more/w.bin", raw), path)
    network = load_model(path, architecture=RAW)
    (tmp_path / "more" / "w.bin").unlink()
    assert np.array_equal(nts.predict(image, network), image > 0.5)


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/hostname", "more/../../w.bin", "C:\\w.bin", "", "a\0b", "link"]
)
def test_weights_outside_of_its_folder_are_not_touched(tmp_path, location):
    raw = np.float32(10).tobytes()
    (tmp_path / "w.bin").write_bytes(raw)
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "w.bin")
    path = written(with_external(one_by_one([10], [-5]), location, raw), folder / "m.onnx")
    refused(path, "outside its own folder")


def test_weights_that_are_missing_or_too_short_are_named(tmp_path):
    path = written(with_external(one_by_one([10], [-5]), "w.bin", b"1234"), tmp_path / "m.onnx")
    refused(path, r"weights in 'w\.bin'.*not all there")
    (tmp_path / "w.bin").write_bytes(b"12")
    refused(path, r"weights in 'w\.bin'.*not all there")
    asks = with_external(one_by_one([10], [-5]), "w.bin", b"", length=-5)
    refused(written(asks, path), r"cannot be run|not all there")


def test_what_our_own_files_bring_along_may_not_ask_for_other_files(above_half, tmp_path):
    network = load_model(above_half)
    asks = with_external(one_by_one([10], [-5]), "w.bin", b"1234").SerializeToString()
    network.module.content = torch.frombuffer(bytearray(asks), dtype=torch.uint8)
    network.architecture.arguments["bytes"] = len(asks)
    refused(save_model(network, tmp_path / "harm.safetensors"), "outside its own folder")


def _loop():
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"])],
        "body",
        [
            helper.make_tensor_value_info("i", 7, []),
            helper.make_tensor_value_info("go", 9, []),
        ],
        [helper.make_tensor_value_info("still", 9, [])],
    )
    return helper.make_node("Loop", ["", ""], [], body=body)


def _argmax():
    nodes = [helper.make_node("ArgMax", ["x"], ["y"], axis=1)]
    model = model_of(nodes, [], [("x", (1, 3, "h", "w"), 1)], [("y", (1, 1, "h", "w"))])
    model.graph.output[0].type.tensor_type.elem_type = 7
    return model


def _two_inputs():
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    return model_of(nodes, [], [(n, (1, 1, 64, 64), 1) for n in "ab"], [("y", (1, 1, 64, 64))])


def _two_outputs():
    more = [helper.make_node("Identity", ["x"], ["z"])]
    return one_by_one([1], [0], extra=more, outputs=("y", "z"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_two_inputs, r"reads 2 arrays \(a, b\)"),
        (_two_outputs, r"answers with 2 arrays \(y, z\)"),
        (_argmax, r"class numbers \(int64\).*argmax"),
        (lambda: one_by_one([1], [0], shape=(1, 1, 32, 64)), "32 x 64 px and no other size"),
        (lambda: one_by_one([1], [0], shape=("n", 1, "w")), "an array of 3 axes"),
        (lambda: one_by_one([1], [0], shape=("n", "c", "h", "w")), "how many channels"),
        (lambda: one_by_one([1], [0], last=[("GlobalMaxPool", {})]), "one value for each class"),
        (lambda: one_by_one([1], [0], extra=[_loop()]), r"could run without end.*without loops"),
        (lambda: one_by_one([1], [0], last=[("NoSuchStep", {})]), "cannot be run by onnxruntime"),
    ],
)
def test_networks_that_do_not_segment_tiles_are_refused_with_a_way_on(tmp_path, make, said):
    refused(written(make(), tmp_path / "other.onnx"), said)


def test_files_that_are_cut_short_or_changed_are_refused(tmp_path):
    whole = one_by_one([10], [-5]).SerializeToString()
    for number, content in enumerate((whole[: len(whole) // 2], whole[:-3], whole[:12])):
        path = tmp_path / f"cut {number}.onnx"
        path.write_bytes(content)
        refused(path, "damaged|no steps|cannot be run")


def test_a_file_that_brings_onnxruntime_down_does_so_in_another_process(above_half, monkeypatch):
    ends = "import os, sys; sys.stdin.buffer.read(); os.abort()"
    monkeypatch.setattr(onnx_recipes, "program", lambda: [onnx_recipes.sys.executable, "-c", ends])
    refused(above_half, r"brings down what runs it \(exit code -?\d+\).*another copy")
    waits = "import time; time.sleep(60)"
    monkeypatch.setattr(onnx_recipes, "program", lambda: [onnx_recipes.sys.executable, "-c", waits])
    monkeypatch.setattr(onnx_recipes, "_PATIENCE_S", 0.5)
    refused(above_half, "does not come to an end")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not count what a process works")
def test_one_that_works_without_end_is_ended(tmp_path, monkeypatch):
    path = written(onnx_made.busy(), tmp_path / "busy.onnx")
    monkeypatch.setattr(onnx_recipes, "_WORK_S", 0.2)
    refused(path, "does not come to an end")


def test_what_is_said_has_to_agree_with_the_file(above_half):
    refused(above_half, "no smp.Unet", architecture=Architecture("smp.Unet", {}))
    refused(above_half, "1 channels, not 3", architecture=Architecture("onnx", {"in_channels": 3}))
    refused(above_half, "1 outputs.*not 4", architecture=Architecture("onnx", {"classes": 4}))
    refused(above_half, "answers=maybe", architecture=Architecture("onnx", {"answers": "maybe"}))


def test_without_the_library_the_way_to_get_it_is_named(above_half, monkeypatch):
    monkeypatch.setitem(onnx_recipes.sys.modules, "onnxruntime", None)
    with pytest.raises(TilesegError, match=r'pip install "napari-tileseg\[onnx\]"'):
        load_model(above_half)


def test_no_damage_gets_further_than_an_answer_or_a_refusal(tmp_path):
    draw = random.Random(0)
    model = one_by_one([10, 20], [-5, 5], last=[("Sigmoid", {}), ("Softmax", {"axis": 1})])
    whole = model.SerializeToString()
    refusals = []
    for number in range(25):
        content = bytearray(whole)
        for _ in range(draw.choice([1, 2, 8])):
            content[draw.randrange(2, len(content))] = draw.randrange(256)
        path = tmp_path / f"damaged {number}.onnx"
        path.write_bytes(bytes(content))
        try:
            load_model(path)
        except CheckpointError as error:
            refusals.append(str(error))
    assert len(refusals) > 10
    assert all(one.startswith("'damaged ") and one.isprintable() for one in refusals)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process has taken")
@pytest.mark.parametrize("make", [onnx_made.greedy, onnx_made.hoarding])
def test_one_that_asks_for_too_much_memory_does_not_get_it(tmp_path, make):
    refused(written(make(), tmp_path / "greedy.onnx"), "cannot be run|fails with|brings down")
