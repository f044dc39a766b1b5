from __future__ import annotations

import itertools
import logging

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.engine import precision
from napari_tileseg.engine.forward import Forward
from napari_tileseg.engine.normalise import Scaling
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.precision import Comparison, compare, resolved_precision
from napari_tileseg.engine.source import Source
from napari_tileseg.settings import Precision, RunSettings
from stubs import Counting, network

IDENTITY = Scaling((0.0,), (1.0,), (0.0,))


class Contrast(nn.Module):
    """Foreground where brighter than 0.5, found on top of an offset that eats half precision."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset
        self.conv = nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.conv.weight)
        nn.init.constant_(self.conv.bias, offset)

    def forward(self, tiles):
        raised = self.conv(tiles).float() - self.offset
        return 20 * torch.cat([0.5 - raised, raised - 0.5], dim=1)


def _resolved(module, monkeypatch, image, **options):
    monkeypatch.setattr(precision, "fast_precision", lambda device: Precision.BF16)
    model, source = network(module, outputs=2), Source(image)
    plan = make_plan(source, model, RunSettings(device="cpu", **options))
    return resolved_precision(plan, source, model)[0].precision


@pytest.fixture
def image():
    return np.random.default_rng(0).random((400, 400)).astype(np.float32)


def test_half_precision_that_changes_labels_is_refused_and_said(monkeypatch, image, caplog):
    ticks = itertools.cycle([0.0, 1.0, 0.0, 0.5])  # half precision seems twice as fast
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(ticks))
    with caplog.at_level(logging.INFO, precision.__name__):
        assert _resolved(Contrast(300), monkeypatch, image) is Precision.FP32
    assert "bf16 is not chosen: it agrees with fp32 on" in caplog.text
    assert "2.00 times as fast" in caplog.text


def test_half_precision_that_is_harmless_and_faster_is_taken(monkeypatch, image):
    harmless = Comparison(agreement=0.999, margin=0.01, speed_up=1.5)
    monkeypatch.setattr(precision, "compare", lambda *_: harmless)
    assert _resolved(Contrast(0), monkeypatch, image) is Precision.BF16


@pytest.mark.parametrize(
    "found",
    [
        Comparison(agreement=0.99, margin=0.01, speed_up=2),
        Comparison(agreement=0.999, margin=0.3, speed_up=2),
        Comparison(agreement=1, margin=0, speed_up=0.9),
    ],
)
def test_half_precision_has_to_be_both_harmless_and_faster(monkeypatch, image, found):
    monkeypatch.setattr(precision, "compare", lambda *_: found)
    assert _resolved(Contrast(0), monkeypatch, image) is Precision.FP32


@pytest.mark.parametrize(("tolerance", "chosen"), [(0.001, Precision.FP32), (0.01, Precision.BF16)])
def test_a_tolerance_for_labels_holds_for_the_precision_too(monkeypatch, image, tolerance, chosen):
    found = Comparison(agreement=0.997, margin=0.01, speed_up=2)
    monkeypatch.setattr(precision, "compare", lambda *_: found)
    settings = {"mode": "calibrated", "tile": 48, "tolerance": tolerance}
    assert _resolved(Contrast(0), monkeypatch, image, **settings) is chosen


def test_what_was_asked_for_is_taken_without_a_comparison(monkeypatch, image):
    monkeypatch.setattr(precision, "compare", None)
    assert _resolved(Contrast(300), monkeypatch, image, precision="bf16") is Precision.BF16


def test_exact_tiles_are_computed_in_full_precision(monkeypatch, image):
    monkeypatch.setattr(precision, "compare", None)
    assert _resolved(Contrast(0), monkeypatch, image, mode="exact") is Precision.FP32


def test_a_short_run_stays_in_full_precision_without_a_comparison(monkeypatch, image):
    monkeypatch.setattr(precision, "compare", None)
    assert _resolved(Contrast(0), monkeypatch, image[:30]) is Precision.FP32


def test_the_comparison_counts_what_differs():
    model = network(Contrast(0), outputs=2)
    full = Forward(model, IDENTITY, torch.device("cpu"), Precision.FP32)
    shifted = Forward(model, Scaling((0.0,), (1.0,), (0.01,)), torch.device("cpu"), Precision.FP32)
    ramp = np.linspace(0, 1, 1000, dtype=np.float32).reshape(1, 1, 1, -1)
    found = compare([full, shifted], model, [ramp] * 3)
    assert found.agreement == pytest.approx(0.99, abs=0.002)
    assert 0 < found.margin < 0.25
    same = compare([full, full], model, [ramp] * 3)
    assert (same.agreement, same.margin) == (1, 0)


def test_the_comparison_ends_when_it_is_lost():
    asked = Counting(Contrast(0))
    model = network(asked, outputs=2)
    full = Forward(model, IDENTITY, torch.device("cpu"), Precision.FP32)
    shifted = Forward(model, Scaling((0.0,), (1.0,), (0.4,)), torch.device("cpu"), Precision.FP32)
    ramp = np.linspace(0, 1, 1000, dtype=np.float32).reshape(1, 1, 1, -1)
    assert compare([full, shifted], model, [ramp] * 8, 0.99).agreement < 0.7
    assert len(asked.shapes) == 2 + 2


def test_a_network_that_uses_up_its_margin_is_compared_too(monkeypatch, image):
    monkeypatch.setattr(precision, "fast_precision", lambda _: Precision.BF16)
    model = network(nn.Conv2d(1, 3, 9), outputs=3, margin=4)
    source = Source(image)
    plan = make_plan(source, model, RunSettings(device="cpu"))
    assert resolved_precision(plan, source, model)[0].precision is not Precision.AUTO
