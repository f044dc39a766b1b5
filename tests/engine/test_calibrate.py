from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.engine.calibrate import calibrated, ring_shares
from napari_tileseg.engine.geometry import cropped_grid
from napari_tileseg.engine.normalise import Scaling
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.settle import settle
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import Cancelled
from napari_tileseg.settings import Mode, Precision, RunSettings
from stubs import network

AS_IT_IS = Scaling((0.0,), (1.0,), (0.0,))


class Looking(nn.Module):
    """Says whether the mean of what lies `reach` pixels around is above a half."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.reach = reach

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        side = 2 * self.reach + 1
        # outside of the tile there is 0, as for the padding of a convolution
        return nn.functional.avg_pool2d(tiles, side, stride=1, padding=self.reach) - 0.5


def _noise(*shape):
    return Source(np.random.default_rng(0).random(shape).astype(np.float32))


def _found(model, source, **options):
    plan = make_plan(source, model, RunSettings(device="cpu", mode="calibrated", **options))
    return calibrated(source, model, plan, AS_IT_IS)


@pytest.mark.parametrize("stride", [1, 4])
def test_the_context_found_is_that_of_the_network_where_every_pixel_counts(stride):
    model = network(Looking(8), outputs=1, task=Task.BINARY, stride=stride)
    found = _found(model, _noise(700, 600), tolerance=0.0)
    assert found.least_halo(512) == 8
    assert found.flips(8, 512) == 0
    assert found.curve[:7].min() > 0.001
    assert found.curve[8:].max() == 0


def test_a_larger_tolerance_needs_less_context():
    model = network(Looking(16), outputs=1, task=Task.BINARY)
    source = _noise(700, 600)
    halos = [_found(model, source, tolerance=share).least_halo(256) for share in (0, 0.01, 0.05)]
    assert halos == sorted(halos, reverse=True)
    assert halos[0] > halos[-1]


def test_larger_tiles_need_less_context():
    model = network(Looking(16), outputs=1, task=Task.BINARY)
    found = _found(model, _noise(700, 600), tolerance=0.02)
    assert found.least_halo(1024) < found.least_halo(128)
    assert found.least_halo(2) is None


def test_the_share_that_was_promised_is_kept_on_the_whole_image():
    model = network(Looking(16), outputs=1, task=Task.BINARY)
    source = _noise(800, 800)
    found = _found(model, source, tolerance=0.05)
    halo = found.least_halo(128)
    assert 0 < halo < 16
    image = torch.from_numpy(source.read((), (slice(0, 800), slice(0, 800)), (0,)))[None]
    whole = model.module(image)[0, 0] > 0
    differ = 0
    for tile in cropped_grid(source, model, halo, 128):
        answer = model.module(image[(..., *tile.outer)])[0, 0] > 0
        differ += int((answer[tile.core_within] != whole[tile.core]).sum())
    share = differ / whole.numel()
    assert 0 < share <= 0.055
    assert share == pytest.approx(found.flips(halo, 128), rel=0.2)


def test_a_small_image_has_no_room_to_measure():
    model = network(Looking(16), outputs=1, task=Task.BINARY)
    found = _found(model, _noise(100, 90))
    assert found.least_halo(64) is None
    assert "too small" in found.sentence(None, 64)


def test_an_image_that_is_long_along_one_axis_is_cut_along_that_one():
    model = network(Looking(8), outputs=1, task=Task.BINARY)
    assert _found(model, _noise(60, 900), tolerance=0.0).least_halo(512) == 8


def test_a_network_that_uses_up_its_margin_needs_no_context():
    module = nn.Conv2d(1, 1, 9, bias=False)
    model = network(module, outputs=1, task=Task.BINARY, margin=4)
    assert _found(model, _noise(500, 500), tolerance=0.0).least_halo(512) == 0


def test_measuring_can_be_stopped():
    def stop():
        raise Cancelled("Stopped.")

    model = network(Looking(8), outputs=1, task=Task.BINARY)
    source = _noise(500, 500)
    plan = make_plan(source, model, RunSettings(device="cpu", mode="calibrated"))
    with pytest.raises(Cancelled):
        calibrated(source, model, plan, AS_IT_IS, stop)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_rings_of_a_core_are_all_of_it(dims):
    shares = ring_shares(3, 20, dims, 30)
    distances = np.minimum(np.arange(20), np.arange(20)[::-1])
    nearest = distances
    for _ in range(dims - 1):
        nearest = np.minimum(nearest[..., None], distances)
    inside = nearest[nearest >= 3]
    np.testing.assert_allclose(shares, np.bincount(inside, minlength=30) / inside.size)


def test_settling_says_what_was_found():
    model = network(Looking(8), outputs=1, task=Task.BINARY)
    source = _noise(600, 600)
    plan = make_plan(
        source, model, RunSettings(device="cpu", mode="calibrated", tile=128, precision="fp32")
    )
    settled = settle(plan, source, model)
    assert settled.settled
    assert settled.mode is Mode.CALIBRATED
    assert settled.precision is Precision.FP32
    assert settled.halo <= 8
    assert f"{settled.halo} px of context" in settled.notes[-1]
    assert settle(settled, source, model) is settled
