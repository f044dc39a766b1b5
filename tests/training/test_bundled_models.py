import csv
import json
import sys
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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


def test_the_cells_model_finds_the_cells_of_the_sample_image() -> None:
    model = load_model("cells")
    with open_image(sample_image()) as opened:
        pixels = np.asarray(opened.levels[0])
    mask = read_labels(sample_data_folder() / "cells_mask.png").labels
    part = np.s_[600:1112, 600:1112]
    report = evaluate(model, [pixels[part]], [mask[part]])
    assert report.miou > 0.85


def test_the_sample_image_was_not_learnt_from() -> None:
    images = load_model("cells").provenance["images"]
    known = {one["sha256"] for one in images["train"] + images["validation"]}
    assert sha256(sample_image().read_bytes()).hexdigest() not in known


def test_the_sample_image_is_what_the_script_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    script = _script(monkeypatch)
    image, mask = script.micrograph(script.SAMPLE_SEED, script.SIDE_PX)
    with open_image(sample_image()) as opened:
        there = np.asarray(opened.levels[0])
    # not every bit: libraries round their Fourier transforms differently
    assert (image == there).mean() > 0.99
    assert (mask == np.asarray(Image.open(sample_data_folder() / "cells_mask.png"))).mean() > 0.99


def _script(monkeypatch: pytest.MonkeyPatch) -> Any:
    path = sample_data_folder() / "make_sample.py"
    found = spec_from_file_location("make_sample", path)
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    monkeypatch.setitem(sys.modules, "make_sample", module)  # its dataclass looks itself up
    found.loader.exec_module(module)
    return module


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
