from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tileseg.engine import tune
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.settings import RunSettings
from stubs import small_conv

SOURCE = Source(np.broadcast_to(np.uint8(0), (9000, 9000)))


@pytest.fixture
def timed(monkeypatch):
    """Pretend that forwards take a given time, and note which were asked for."""
    asked = []

    def pretend(seconds):
        def measure(_plan, _network, shape, batch, _check):
            asked.append((shape[0], batch))
            return seconds(shape[0], batch)

        monkeypatch.setattr(tune, "_timed", measure)
        return asked

    return pretend


def _tuned(device="cpu", outputs=3, watched=False, **options):
    model = small_conv(tile=512, stride=32, outputs=outputs)
    plan = make_plan(SOURCE, model, RunSettings(device="cpu", mode="calibrated", **options))
    plan = replace(plan, device=torch.device(device))
    return plan, tune.tuned(plan, SOURCE, model, lambda _: plan.halo, watched=watched)


def test_tiles_divide_the_image_so_that_the_network_sees_the_fewest_pixels(timed):
    asked = timed(lambda side, _: side**2 * 1e-7)
    _, result = _tuned()
    assert set(asked) == {(256, 1)}
    assert result.grid.axes[0].lengths == (4576, 4576)
    assert result.batch == 1


def test_on_a_cpu_a_tile_does_not_take_long_and_less_while_somebody_waits(timed):
    timed(lambda side, _: side**2 * 1e-6)
    alone, watched = _tuned()[1].tile, _tuned(watched=True)[1].tile
    assert 1.0 < alone[0] ** 2 * 1e-6 <= 4
    assert 0.5 < watched[0] ** 2 * 1e-6 <= 1


def test_a_moment_in_which_the_computer_is_busy_does_not_count(timed):
    slow = iter([20.0, 1.0, 30.0])
    timed(lambda side, _: side**2 * 1e-7 * next(slow))
    assert _tuned()[1].grid.axes[0].lengths == (4576, 4576)


def test_larger_tiles_that_need_less_context_get_less(timed):
    timed(lambda side, _: side**2 * 1e-6)
    model = small_conv(tile=512, stride=32)
    plan = make_plan(SOURCE, model, RunSettings(device="cpu", mode="calibrated"))
    result = tune.tuned(plan, SOURCE, model, lambda tile: 192 if tile < 1000 else 64)
    assert result.halo == 64
    assert result.tile[0] >= 1000


def test_more_tiles_at_once_are_tried_until_it_is_no_gain(timed):
    asked = timed(lambda side, batch: side**2 * 1e-9 * (batch + 1 if batch < 4 else 2 * batch))
    _, result = _tuned("meta", memory_gb=1000)
    assert result.batch == 2
    assert [batch for side, batch in asked if side == 640] == [1, 2, 4]


def test_little_memory_means_small_tiles(timed):
    timed(lambda side, _: side**2 * 1e-7)
    _, roomy = _tuned(outputs=50, memory_gb=10)
    _, tight = _tuned(outputs=50, memory_gb=0.5)
    assert tight.tile < roomy.tile


def test_what_a_person_chose_stays(timed):
    asked = timed(lambda side, _: 1.0)
    plan, result = _tuned(tile=800)
    assert result == plan
    assert asked == []
    _, result = _tuned("meta", tile=800, batch=3, memory_gb=1000)
    assert (result.tile, result.batch) == ((800, 800), 3)


def test_a_real_network_is_timed():
    model = small_conv(tile=64)
    source = Source(np.zeros((300, 300), np.uint8))
    plan = make_plan(source, model, RunSettings(device="cpu", mode="exact"))
    result = tune.tuned(plan, source, model, lambda _: 1)
    assert result.halo == 1
    assert result.tile == (300, 300)
