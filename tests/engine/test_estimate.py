"""What a run will cost is known before it, within limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import stubs
from napari_tileseg.engine.estimate import estimate, memory_of
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.trial import try_out
from napari_tileseg.errors import Cancelled
from napari_tileseg.settings import RunSettings


def noise(*shape):
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def planned(image, network, axes=None, **options):
    source = Source(image, axes=axes, spatial_dims=network.spec.spatial_dims)
    return make_plan(source, network, RunSettings().but(device="cpu", **options)), source


def counted(**spec):
    module = stubs.Counting(nn.Conv2d(1, 3, 3, padding=1))
    return stubs.network(module, **spec), module


def test_a_few_tiles_are_computed_and_all_are_counted():
    network, module = counted()
    plan, source = planned(noise(700, 500), network, mode="blend", tile=64, precision="fp32")
    found = estimate(plan, source, network)
    assert found.tiles == plan.n_tiles > 100
    assert 0 < len([shape for shape in module.shapes if shape[2:] == (64, 64)]) <= 4
    assert found.seconds > 0
    assert found.sentence.startswith(f"About {found.tiles} tiles of 64 px · ")


@pytest.fixture
def slow(monkeypatch):
    """Return a network that takes a second for each tile."""

    class Slow(nn.Module):
        def forward(self, tiles):
            clock.now += 1.0
            return tiles.repeat(1, 3, 1, 1)

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("napari_tileseg.engine.trial.time", clock)
    return stubs.network(Slow())


def test_time_grows_with_the_tiles(slow):
    for side in (256, 512):
        plan, source = planned(noise(side, side), slow, mode="blend", tile=64, overlap=0)
        found = estimate(plan, source, slow)
        assert found.seconds == pytest.approx((side / 64) ** 2, rel=0.01)


def test_several_devices_share_the_time(slow):
    plan, source = planned(noise(512, 512), slow, mode="blend", tile=64, overlap=0)
    four = replace(plan, further_devices=(torch.device("cpu"),) * 3)
    found = estimate(four, source, slow)
    assert found.seconds == pytest.approx((512 / 64) ** 2 / 4, rel=0.01)
    assert found.plan.devices == four.devices


def test_the_plan_of_an_estimate_is_settled_and_runs_as_it_is():
    network, _ = counted()
    plan, source = planned(noise(300, 300), network)
    found = estimate(plan, source, network)
    assert found.plan.settled
    assert estimate(found.plan, source, network).plan is found.plan


def test_tiles_in_which_there_is_something_are_preferred():
    image = np.zeros((640, 640), np.uint8)
    image[:64] = noise(64, 640)
    network, module = counted()
    plan, source = planned(image, network, mode="blend", tile=64, overlap=0)
    try_out(estimate(plan, source, network).plan, source, network)
    assert len(module.shapes) >= 4  # equal tiles would be answered for once


def test_large_tiles_are_not_computed_to_know_how_long_they_take():
    network, module = counted()
    plan, source = planned(noise(3000, 3000), network, mode="whole")
    found = estimate(plan, source, network)
    assert found.tiles == 1
    assert max(shape[2] for shape in module.shapes) <= 1024


def test_an_image_of_one_small_tile_is_estimated():
    network, _ = counted()
    plan, source = planned(noise(20, 30), network)
    assert estimate(plan, source, network).tiles == 1


def test_stacks_of_small_planes_are_estimated():
    network, _ = counted()
    plan, source = planned(noise(6, 40, 40), network, batch=4, tile=64)
    assert estimate(plan, source, network).tiles == 6


def test_volumes_are_estimated():
    network = stubs.network(nn.Conv3d(1, 3, 3, padding=1), dims=3)
    plan, source = planned(noise(40, 70, 70), network, mode="blend", tile=32)
    assert estimate(plan, source, network).seconds > 0


def test_merging_costs_memory_where_tiles_overlap_only():
    network, _ = counted()
    image = noise(64, 100_000)
    overlapping, source = planned(image, network, mode="blend", tile=32)
    cropping, _ = planned(image, network, mode="exact", tile=32)
    line = 3 * 4 * 8 * 16_384  # outputs x bytes x overlap x the widest section
    assert memory_of(overlapping, source, network) > line
    assert memory_of(cropping, source, network) < line


def test_an_estimate_can_be_stopped():
    network, _ = counted()
    plan, source = planned(noise(300, 300), network)
    with pytest.raises(Cancelled):
        estimate(plan, source, network, should_stop=lambda: True)


def test_labels_that_are_easily_packed_take_little_room():
    network = stubs.echo()
    flat = np.zeros((3, 256, 256), np.uint8)
    flat[1, ::7] = 200
    plan, source = planned(flat, network, "CYX", mode="blend", tile=64)
    rough, rough_source = planned(noise(3, 256, 256), network, "CYX", mode="blend", tile=64)
    packed = estimate(plan, source, network).disk_bytes
    assert packed < 256 * 256 / 20
    assert packed < estimate(rough, rough_source, network).disk_bytes / 5


def test_probabilities_need_room_for_each_class():
    network, _ = counted()
    without, source = planned(noise(256, 256), network)
    with_them, _ = planned(noise(256, 256), network, probabilities=True)
    more = estimate(with_them, source, network).disk_bytes
    assert more - estimate(without, source, network).disk_bytes == 256 * 256 * 3 * 2


def test_nothing_is_left_on_the_network():
    network, module = counted()
    plan, source = planned(noise(128, 128), network)
    estimate(plan, source, network)
    assert not module.inner._forward_pre_hooks
    assert isinstance(module.inner.weight, torch.nn.Parameter)
