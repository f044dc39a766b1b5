import csv
import json
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_tileseg import evaluate, load_model
from napari_tileseg.io.checkpoints import bundled_models
from napari_tileseg.io.images import open_image
from napari_tileseg.io.labels import read_labels
from napari_tileseg.io.samples import sample_data_folder, sample_image

AXONS = Path(__file__).parents[3] / "shared" / "data" / "axon_sem"
LIMIT = 12_000_000


@pytest.mark.parametrize("name", ["axon_myelin_sem", "cells"])
def test_a_bundled_model_is_small_and_says_what_it_learnt_from(name: str) -> None:
    model = load_model(name)
    assert bundled_models()[name].stat().st_size <= LIMIT
    images = model.provenance["images"]
    assert all(len(one["sha256"]) == 64 for one in images["train"] + images["validation"])
    assert model.spec.pixel_size_um is not None
    json.dumps(model.provenance)


@pytest.mark.parametrize(("name", "at_least"), [("axon_myelin_sem", 0.75), ("cells", 0.85)])
def test_a_bundled_model_works_on_its_sample_image(name: str, at_least: float) -> None:
    pixels, mask = _sample(name)
    part = np.s_[400:912, 400:912]
    assert evaluate(load_model(name), [pixels[part]], [mask[part]]).miou > at_least


@pytest.mark.parametrize("name", ["axon_myelin_sem", "cells"])
def test_the_sample_image_was_not_learnt_from(name: str) -> None:
    images = load_model(name).provenance["images"]
    known = {one["sha256"] for one in images["train"] + images["validation"]}
    assert sha256(sample_image(name).read_bytes()).hexdigest() not in known


@pytest.mark.parametrize(
    ("name", "script", "maker"),
    [("axon_myelin_sem", "make_nerve", "nerve"), ("cells", "make_sample", "micrograph")],
)
def test_the_sample_image_is_what_the_script_makes(
    monkeypatch: pytest.MonkeyPatch, name: str, script: str, maker: str
) -> None:
    monkeypatch.syspath_prepend(sample_data_folder())
    module = import_module(script)
    image, mask = getattr(module, maker)(module.SEED, module.SIDE_PX)
    pixels_there, mask_there = _sample(name)
    # not every bit: libraries round their Fourier transforms differently
    assert (image == pixels_there).mean() > 0.99
    assert (mask == mask_there).mean() > 0.99


def _sample(name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    path = sample_image(name)
    with open_image(path) as opened:
        pixels = np.asarray(opened.levels[0])
    return pixels, read_labels(path.with_name(f"{path.stem}_mask.png")).labels


@pytest.mark.slow
@pytest.mark.skipif(not AXONS.is_dir(), reason="needs ../shared/data/axon_sem")
def test_the_axon_model_reaches_080_on_an_animal_it_has_never_seen() -> None:
    with (AXONS / "splits.csv").open() as stream:
        names = [row["file"] for row in csv.DictReader(stream) if row["split"] == "test"]
    images = [np.asarray(Image.open(AXONS / "images" / name)) for name in names]
    masks = [np.asarray(Image.open(AXONS / "masks" / name)) for name in names]
    assert evaluate(load_model("axon_myelin_sem"), images, masks).miou >= 0.80


@pytest.mark.skipif(not AXONS.is_dir(), reason="needs ../shared/data/axon_sem")
def test_the_axon_model_has_seen_no_image_of_the_test_animal() -> None:
    with (AXONS / "splits.csv").open() as stream:
        names = [row["file"] for row in csv.DictReader(stream) if row["split"] != "train"]
    trained = {one["sha256"] for one in load_model("axon_myelin_sem").provenance["images"]["train"]}
    found = {sha256((AXONS / "images" / name).read_bytes()).hexdigest() for name in names}
    assert not trained & found
