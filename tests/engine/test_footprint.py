"""Memory of a forward is found by adding up tensors, not by running out of it."""

from __future__ import annotations

import os
import sys
from subprocess import run

import pytest
import torch
from torch import nn

import stubs
from napari_tileseg.engine.footprint import footprint
from napari_tileseg.settings import Precision

MB = 2**20


class Chain(nn.Module):
    """Holds at most two of its 16 feature maps at once, and remembers nothing."""

    def __init__(self, joins: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 1)
        self.rest = nn.ModuleList(nn.Conv2d(16, 16, 1) for _ in range(8))
        self.last = nn.Conv2d(16, 3, 1)
        self.joins = joins

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        features = self.first(tiles)
        start = features if self.joins else None
        for layer in self.rest:
            features = layer(features)
        answer: torch.Tensor = self.last(features if start is None else features + start)
        return answer


class LooksAtPixels(nn.Module):
    """Cannot be walked through without pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        brighter = self.layer(tiles)
        return brighter if float(tiles.max()) > 1 else brighter + 1


class Remembers(nn.Module):
    """Keeps a tensor of the size of its last input, as some positional encodings do."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: torch.Tensor | None = None

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.kept = torch.ones_like(tiles)
        return tiles.repeat(1, 3, 1, 1) * self.kept


def peak(module: nn.Module, side: int = 512, **options: object) -> int:
    return footprint(stubs.network(module), (side, side), **options).peak  # type: ignore[arg-type]


def test_what_nobody_holds_any_more_costs_nothing():
    map_of_16 = 16 * 512**2 * 4
    assert 2 * map_of_16 < peak(Chain()) < 3 * map_of_16
    assert peak(Chain(joins=True)) - peak(Chain()) == pytest.approx(1.15 * map_of_16, rel=0.25)


def test_memory_grows_with_the_pixels_and_the_batch():
    assert peak(Chain(), 1024) == pytest.approx(4 * peak(Chain(), 512), rel=0.01)
    assert peak(Chain(), batch=3) == pytest.approx(3 * peak(Chain()), rel=0.01)


def test_half_precision_takes_about_half():
    assert peak(Chain(), precision=Precision.BF16) == pytest.approx(peak(Chain()) / 2, rel=0.2)


def test_an_image_that_fits_into_no_memory_is_no_problem():
    assert peak(Chain(), 2**20) > 10**14


def test_weights_are_counted_and_left_alone():
    module = Chain()
    before = {name: one.clone() for name, one in module.state_dict().items()}
    found = footprint(stubs.network(module), (64, 64))
    assert found.weights == sum(one.numel() * 4 for one in module.parameters())
    after = module.state_dict()
    assert all(torch.equal(after[name], one) for name, one in before.items())
    assert type(module.first.weight) is nn.Parameter


def test_a_network_keeps_no_tensor_without_pixels():
    module = Remembers()
    peak(module)
    assert module.kept is None


def test_a_network_that_needs_pixels_is_measured_on_a_few():
    expected = 2 * 3 * 512**2 * 4
    assert peak(LooksAtPixels()) == pytest.approx(expected, rel=0.4)


_MEASURE = """
import sys, torch
import segmentation_models_pytorch as smp
module = smp.Unet("resnet18", encoder_weights=None, classes=3).eval()
def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
def forward(side):
    tiles = torch.zeros(1, 3, side, side).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        module(tiles)
forward(64)
before = status("VmRSS")
forward(512)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the highest memory is read from /proc")
def test_a_real_network_takes_what_was_found():
    import segmentation_models_pytorch as smp

    module = smp.Unet("resnet18", encoder_weights=None, classes=3)
    found = footprint(stubs.network(module, channels=3, stride=32), (512, 512))
    done = run(
        [sys.executable, "-c", _MEASURE],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.peak == pytest.approx(int(done.stdout), rel=0.5)
