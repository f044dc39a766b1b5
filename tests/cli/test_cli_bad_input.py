"""Every bad input: what is said, and that the result of an earlier run is as it was."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
import torch

from disks import make_read_only, small_disk
from napari_tileseg import cli
from napari_tileseg.engine.spec import Architecture
from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.io.labels import read_labels
from napari_tileseg.models import registry

EARLIER = b"the labels of an earlier run"


class Given(NamedTuple):
    """What a person asks for; every field is right until a case spoils it."""

    image: object
    model: object
    out: object
    more: tuple = ()


class Code:
    """Asks for a call when it is unpickled."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch '{self.witness}'",)


@pytest.fixture
def given(tmp_path, tiny_checkpoint):
    """Everything right: a grey image, a model that reads it, a result that exists."""
    pixels = np.random.default_rng(0).integers(0, 255, (70, 90), np.uint8)
    image, out = tmp_path / "image.tif", tmp_path / "out" / "labels.ome.tif"
    tifffile.imwrite(image, pixels)
    out.parent.mkdir()
    out.write_bytes(EARLIER)
    return Given(image, tiny_checkpoint, out, ("--device", "cpu"))


def _array(given, pixels):
    path = given.image.with_suffix(".npy")
    np.save(path, pixels)
    return given._replace(image=path)


def _with_one(given, value):
    pixels = np.ones((70, 90), np.float32)
    pixels[60, 80] = value
    return _array(given, pixels)


def _image_of(given, content):
    given.image.write_bytes(content)
    return given


def _model_of(given, content):
    given.model.write_bytes(content)
    return given


def _pickle(given):
    path = given.model.with_suffix(".pt")
    torch.save({"state_dict": {}, "extra": Code(given.model.with_name("witness"))}, path)
    return given._replace(model=path, more=("--arch", "smp.Unet"))


def _bare(given, *arch):
    path = given.model.with_suffix(".pt")
    torch.save(load_model(given.model).module.state_dict(), path)
    return given._replace(model=path, more=("--arch", *arch))


TINY = ("encoder_name=resnet18", "encoder_depth=3", "decoder_channels=[16,16,8]", "in_channels=1")

CASES = {
    "nan": (
        lambda given: _with_one(given, np.nan),
        "'image' holds values that are not numbers .NaN or infinite..*60.*80.*Replace them",
    ),
    "infinite": (
        lambda given: _with_one(given, -np.inf),
        "'image' holds values that are not numbers .NaN or infinite..*60.*80.*Replace them",
    ),
    "complex": (
        lambda given: _array(given, np.ones((70, 90), np.complex64)),
        "'image' is complex .complex64.; a network reads real numbers. Take its magnitude",
    ),
    "no pixels": (
        lambda given: _array(given, np.ones((0, 90), np.uint8)),
        "'image.npy' is empty: its size is 0 × 90. Choose another image",
    ),
    "no bytes": (
        lambda given: _image_of(given, b""),
        "'image.tif' is empty .0 bytes.. Copy or download it again",
    ),
    "truncated image": (
        lambda given: _image_of(given, given.image.read_bytes()[:-3000]),
        r"'image(\.tif)?'.*(damaged|not complete|cannot be read)",
    ),
    "almost no image": (
        lambda given: _image_of(given, given.image.read_bytes()[:20]),
        r"'image\.tif'.*(damaged|not complete|cannot be read)",
    ),
    "a text": (
        lambda given: _image_of(given, b"these are notes"),
        "'image.tif' is not an image that can be read, or is damaged. These can be read",
    ),
    "no image": (
        lambda given: given._replace(image="nowhere.tif"),
        "There is no image 'nowhere.tif'. Check the name and the folder",
    ),
    "wrong channels": (
        lambda given: _array(given, np.ones((70, 90, 3), np.uint8)),
        r"'tiny' reads 1 channel .*; 'image' has 3. Choose which .* --channels 0",
    ),
    "truncated model": (
        lambda given: _model_of(given, given.model.read_bytes()[:-5000]),
        "'tiny.safetensors' .*not complete or is damaged.*Download or copy it again",
    ),
    "a web page": (
        lambda given: _model_of(given, b"<!DOCTYPE html><title>Sign in</title>" * 30),
        "'tiny.safetensors' is a web page, not a checkpoint. Download again",
    ),
    "code": (_pickle, r"'tiny.pt'.*run code.*not opened.*state_dict"),
    "no model": (
        lambda given: given._replace(model="nowhere.safetensors"),
        "There is no file, folder or bundled model 'nowhere.safetensors'.*Check the name",
    ),
    "unknown architecture": (
        lambda given: _bare(given, "smp.Unett", *TINY),
        "There is no architecture 'smp.Unett'.*smp.Unet",
    ),
    "another class count": (
        lambda given: _bare(given, "smp.Unet", *TINY, "classes=5"),
        "of another shape .*They are for 3 outputs: give classes=3",
    ),
    "another number of names": (
        lambda given: given._replace(more=("--classes", "glass,cell")),
        "'tiny' tells 3 classes apart .*but 2 names were given: glass, cell. Give 3 names",
    ),
    "no such device": (
        lambda given: given._replace(more=("--device", "cuda:77")),
        "There is no device 'cuda:77' here. There is: cpu.*Choose one of these",
    ),
}


def _refused(tileseg, given, said):
    code, out, err = tileseg(
        "predict", given.image, "--model", given.model, "--out", given.out, *given.more
    )
    assert code == cli.FAILED
    assert re.search(said, err), err
    assert err.splitlines()[-1].startswith("tileseg: error: ")
    assert "Traceback" not in err
    assert not out
    assert given.out.read_bytes() == EARLIER
    assert not [path for path in given.out.parent.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_told_and_the_earlier_result_is_untouched(tileseg, given, tmp_path, case):
    spoil, said = CASES[case]
    _refused(tileseg, spoil(given), said)
    assert not (tmp_path / "witness").exists(), "code in a checkpoint was run"


def test_a_read_only_folder_is_told_and_the_earlier_result_is_untouched(tileseg, given, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        out = disk / "labels.ome.tif"
        out.write_bytes(EARLIER)
        make_read_only(disk)
        said = r"labels.ome.tif' cannot be written .Read-only file system.. Choose another place"
        _refused(tileseg, given._replace(out=out), said)


def _fill(disk):
    with (disk / "other").open("wb", buffering=0) as other, suppress(OSError):
        while True:
            other.write(bytes(1024))


@pytest.mark.parametrize("name", ["labels.ome.tif", "labels.png"])
def test_a_full_disk_is_told_and_the_earlier_result_is_untouched(tileseg, given, tmp_path, name):
    with small_disk(tmp_path / "disk") as disk:
        out = disk / name
        out.write_bytes(EARLIER)
        _fill(disk)
        said = r"the disk that holds .* is full\. Free some room.*existing file is untouched"
        _refused(tileseg, given._replace(out=out), said)


def test_without_a_fault_the_earlier_result_is_replaced(tileseg, given):
    words = ("--model", given.model, "--out", given.out, *given.more)
    assert tileseg("predict", given.image, *words)[0] == cli.DONE
    assert read_labels(given.out).labels.shape == (70, 90)


@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (37, 1), (40, 50)])
def test_an_image_smaller_than_a_tile_is_segmented(tileseg, given, shape):
    small = _array(given, np.random.default_rng(1).integers(0, 255, shape, np.uint8))
    words = ("--model", given.model, "--out", given.out, *given.more)
    code, _, err = tileseg("predict", small.image, *words)
    assert code == cli.DONE, err
    labels = read_labels(given.out).labels
    assert labels.shape == shape
    assert labels.max() < 3


def _bright_half(module):
    """Set the weights of a U-Net so that its one output is above 0 where the image is bright."""
    with torch.no_grad():
        for one in module.modules():
            if isinstance(one, torch.nn.Conv2d):
                one.weight.zero_()
        module.encoder.conv1.weight[0, :, 3, 3] = 1  # every second pixel, at half the size
        _, with_skip, last = module.decoder.blocks.children()
        skipped = with_skip.conv1[0].in_channels - module.encoder.out_channels[1]
        with_skip.conv1[0].weight[0, skipped, 1, 1] = 1
        for conv in (with_skip.conv2[0], last.conv1[0], last.conv2[0]):
            conv.weight[0, 0, 1, 1] = 1
        module.segmentation_head[0].weight[0, 0, 1, 1] = 1
        module.segmentation_head[0].bias[:] = -0.5


def test_one_output_on_disk_is_foreground_where_it_is_above_its_threshold(tileseg, given, tmp_path):
    arguments = {
        "encoder_name": "resnet18",
        "encoder_depth": 3,
        "decoder_channels": [16, 16, 8],
        "in_channels": 1,
        "classes": 1,
    }
    module = registry.build(Architecture("smp.Unet", arguments))
    _bright_half(module)
    module.save_pretrained(tmp_path / "nuclei")
    coarse = np.random.default_rng(2).random((60, 80)) < 0.3
    bright = coarse.repeat(2, 0).repeat(2, 1)
    image = _array(given, (bright * 255).astype(np.uint8)).image
    words = ("--model", tmp_path / "nuclei", "--out", given.out, "--tile", 64, *given.more)
    code, text, err = tileseg("predict", image, *words)
    assert code == cli.DONE, err
    np.testing.assert_array_equal(read_labels(given.out).labels, bright)
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["background", "foreground"]
