from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.engine import plan as plans
from napari_tileseg.engine import settle as settling
from napari_tileseg.engine.calibrate import Calibration
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.precision import Comparison
from napari_tileseg.engine.settle import Found, settle, settled_as
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import ModelFitError
from napari_tileseg.settings import Mode, Precision, RunSettings
from stubs import Counting, network

IMAGE = np.random.default_rng(0).random((300, 350)).astype(np.float32)


@pytest.fixture(autouse=True)
def _short_runs_are_worth_measuring(monkeypatch):
    monkeypatch.setattr(plans, "_WORTHWHILE_TILES", 4)
    monkeypatch.setattr(plans, "_WORTHWHILE_SIDE", {2: 16})


def far_looking(side: int = 41, seen: int = 5, **spec):
    """Return a network whose receptive field is large, and of which little counts."""
    module = nn.Conv2d(1, 1, side, padding=side // 2, bias=True)
    nn.init.zeros_(module.weight)
    middle = slice(side // 2 - seen // 2, side // 2 + seen // 2 + 1)
    with torch.no_grad():
        module.weight[..., middle, middle] = 1 / seen**2
        module.bias.fill_(-0.5)
    return network(module, outputs=1, task=Task.BINARY, tile=64, **spec)


def settled(model, **options):
    source = Source(IMAGE)
    plan = make_plan(source, model, RunSettings(device="cpu", **options))
    return plan, settle(plan, source, model)


def test_automatic_takes_the_context_that_matters():
    plan, result = settled(far_looking())
    assert not plan.settled
    assert result.settled
    assert result.mode is Mode.CALIBRATED
    assert result.halo <= 2
    assert "measured on 6 places" in result.notes[-1]


def test_automatic_takes_exact_tiles_where_they_cost_next_to_nothing():
    model = Counting(nn.Conv2d(1, 3, 3, padding=1))
    _, result = settled(network(model, tile=64))
    assert (result.mode, result.halo) == (Mode.EXACT, 1)
    assert "those of the whole image" in result.notes[-1]


@pytest.mark.parametrize(
    ("flips", "speed_up", "precision"),
    [
        (0.0004, 9.0, Precision.BF16),
        (0.0004, 1.01, Precision.FP32),
        (0.00099, 9.0, Precision.FP32),
    ],
)
def test_context_and_precision_together_keep_the_tolerance(monkeypatch, flips, speed_up, precision):
    curve = np.repeat([0.02, 0.0012, 0.0], [16, 16, 32]) + 2e-5  # by distance from a border
    found = Calibration(np.tile(curve, (6, 1)), stride=8, dims=2, tolerance=0.001)
    monkeypatch.setattr(settling, "calibrated", lambda *_: found)
    half = Comparison(1 - flips, 0.0, speed_up)
    monkeypatch.setattr(
        settling,
        "resolved_precision",
        lambda plan, *_: (replace(plan, precision=Precision.BF16), half),
    )
    _, result = settled(far_looking(), mode="calibrated", tile=96)
    assert result.precision is precision
    assert found.flips(result.halo, 96) + flips * (precision is Precision.BF16) <= 0.001
    assert ("bf16 changes 0.04 % more" in result.notes[-1]) == (precision is Precision.BF16)


def test_automatic_blends_where_context_would_be_the_greater_work(monkeypatch):
    monkeypatch.setattr(settling, "_DEAR", 1.2)
    _, result = settled(far_looking(seen=41))
    assert result.mode is Mode.BLEND
    assert result.halo is None
    assert "greater part of the work" in result.notes[-1]


def test_a_network_that_depends_on_the_size_of_its_tiles_is_blended():
    class Everywhere(nn.Module):
        def forward(self, tiles):
            return tiles - tiles.mean(dim=(2, 3), keepdim=True)

    model = network(Everywhere(), outputs=1, task=Task.BINARY)
    _, result = settled(model)
    assert result.mode is Mode.BLEND
    assert "seams are possible" in result.notes[-1]
    with pytest.raises(ModelFitError, match="never equal the whole image"):
        settled(model, mode="calibrated")


def test_no_tolerance_means_exact():
    _, result = settled(far_looking(), mode="calibrated", tolerance=0.0)
    assert (result.mode, result.halo) == (Mode.EXACT, 20)


def test_a_short_run_is_not_measured(monkeypatch):
    monkeypatch.setattr(plans, "_WORTHWHILE_TILES", 10_000)
    model = network(Counting(nn.Conv2d(1, 3, 3, padding=1)), tile=64)
    _, result = settled(model, precision="fp32")
    assert result.settled
    assert result.mode is Mode.BLEND
    assert model.module.shapes == []


def test_a_tile_of_ones_own_stays():
    _, result = settled(far_looking(), mode="calibrated", tile=96)
    assert result.tile == (96, 96)


@pytest.mark.parametrize("options", [{}, {"mode": "exact"}, {"overlap": 0.5}, {"tile": 300}])
def test_another_plan_is_settled_likewise_without_measuring(options, monkeypatch):
    model, source = far_looking(), Source(IMAGE)
    plan, result = settled(model, **options)
    found = Found(result.mode, result.halo, max(result.tile), result.batch, result.precision)
    monkeypatch.setattr(settling, "calibrated", None)
    again = settled_as(plan, source, model, found)
    assert replace(again, notes=()) == replace(result, notes=(), memory_bytes=again.memory_bytes)


def test_what_a_person_chose_is_not_replaced_by_what_was_found():
    model, source = far_looking(), Source(IMAGE)
    found = Found(Mode.BLEND, None, 64, 1, Precision.BF16)
    wanted = RunSettings(device="cpu", mode="exact", precision="fp32", batch=3, tile=128)
    again = settled_as(make_plan(source, model, wanted), source, model, found)
    assert (again.mode, again.precision, again.batch) == (Mode.EXACT, Precision.FP32, 3)
    assert again.tile == (128, 128)
