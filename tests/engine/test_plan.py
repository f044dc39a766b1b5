from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.errors import ModelFitError, SettingsError
from napari_tileseg.settings import Mode, RunSettings
from stubs import network, small_conv


def _image(height, width):
    return Source(np.broadcast_to(np.uint8(0), (height, width)))


def _plan(model, shape=(5000, 4000), **options):
    return make_plan(_image(*shape), model, RunSettings(device="cpu", **options))


def test_a_long_run_in_automatic_mode_waits_to_be_measured():
    plan = _plan(small_conv(stride=16, tile=512))
    assert plan.mode is Mode.CALIBRATED
    assert not plan.settled
    assert plan.halo == 64


def test_a_short_run_in_automatic_mode_is_blended():
    assert _plan(small_conv(tile=512), (900, 900)).mode is Mode.BLEND


@pytest.mark.parametrize("options", [{"overlap": 0.5}, {"blend": "hann"}, {"tile": 128}])
def test_what_a_person_chose_means_overlapping_tiles(options):
    assert _plan(small_conv(tile=512), **options).mode is Mode.BLEND


def test_exact_tiles_have_the_context_of_the_receptive_field():
    model = network(nn.Conv2d(1, 3, 9, padding=4), tile=64, stride=4)
    plan = _plan(model, mode="exact")
    assert plan.halo == 4
    assert plan.grid.axes[0].cores[1][0] == plan.grid.axes[0].starts[1] + 4


def test_a_tile_without_room_for_its_context_is_refused():
    model = network(nn.Conv2d(1, 3, 17, padding=8))
    with pytest.raises(SettingsError, match="at least 17 px"):
        _plan(model, mode="exact", tile=16)
    assert _plan(model, mode="calibrated", tile=16).halo == 4


def test_memory_and_threads_are_written_down():
    plan = _plan(small_conv(), memory_gb=3)
    assert plan.memory_bytes == 3e9
    assert plan.threads is not None
    assert plan.threads > 0
    assert 0 < _plan(small_conv()).memory_bytes < 1e15


def test_frozen_norms_are_offered_where_they_help():
    norm = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.InstanceNorm2d(3))
    named = ("1 (InstanceNorm2d)",)
    model = network(norm, tile=64, global_context=named)
    plan = _plan(model)
    assert plan.mode is Mode.BLEND
    assert "frozen-norm" in plan.notes[0]
    pooled = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Identity())
    other = network(pooled, tile=64, global_context=("1 (Attention)",))
    assert "frozen-norm" not in _plan(other).notes[0]
    frozen = _plan(model, mode="frozen-norm")
    assert (frozen.mode, frozen.halo) == (Mode.FROZEN_NORM, 1)
    with pytest.raises(ModelFitError, match="frozen-norm"):
        _plan(small_conv(), mode="frozen-norm")
