from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from napari_tileseg.engine import probe
from napari_tileseg.engine.spec import Architecture
from napari_tileseg.io import known_facts
from stubs import network


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("TILESEG_CACHE", str(folder))
    before = probe.memory()
    probe.remember_in(known_facts.KnownFields())
    yield folder
    probe.remember_in(before)


def _model(size: int = 5, **arguments):
    torch.manual_seed(0)
    made = network(nn.Conv2d(1, 3, size, padding=size // 2))
    return replace(made, architecture=Architecture("stub", arguments))


def test_a_network_is_probed_once_for_all_runs_of_the_program(cache, monkeypatch):
    first, again = _model(), _model()
    assert probe.known_field(first) is None
    field = probe.receptive_field(first)
    assert len(list(cache.rglob("*.json"))) == 1
    assert probe.known_field(again) == field
    monkeypatch.setattr(probe, "_probed", None)
    assert probe.receptive_field(again) == field


def test_other_weights_or_another_architecture_are_another_network():
    probe.receptive_field(_model())
    other = _model()
    with torch.no_grad():
        other.module.bias[0] += 1
    assert probe.known_field(other) is None
    assert probe.known_field(_model(deeper=True)) is None
    assert probe.known_field(_model(7)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"before": [2, 2]}',
        '{"before": [2], "after": [2], "bounded": true, "size_dependent": false}',
        '{"before": [2, 2], "after": [2, 2], "bounded": "yes", "size_dependent": false}',
        '{"before": [-2, 2], "after": [2, 2], "bounded": true, "size_dependent": false}',
        '{"before": ["a", 2], "after": [2, 2], "bounded": true, "size_dependent": false}',
    ],
)
def test_what_cannot_be_read_is_unknown(cache, text):
    probe.receptive_field(_model())
    (path,) = cache.rglob("*.json")
    path.write_text(text)
    assert probe.known_field(_model()) is None
    assert probe.receptive_field(_model()).bounded


def test_a_folder_that_cannot_be_written_is_no_reason_to_complain(cache):
    cache.write_text("a file")
    assert probe.receptive_field(_model()).before == (2, 2)


def test_networks_of_unknown_architecture_are_not_written_down(cache):
    probe.receptive_field(replace(_model(), architecture=None))
    assert not cache.exists()


def test_loading_a_model_makes_it_known(tmp_path):
    from napari_tileseg.io.checkpoints import bundled_models, load_model

    probe.remember_in(None)
    load_model(next(iter(bundled_models())))
    assert isinstance(probe.memory(), known_facts.KnownFields)
