"""Which convolutions learn in half precision on a CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_tileseg.settings import Precision
from napari_tileseg.training.depthwise import fast_depthwise

CPU = torch.device("cpu")


@pytest.fixture
def module() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1)
    )


def dtypes(module: nn.Sequential, precision: Precision) -> list[torch.dtype]:
    found: list[torch.dtype] = []
    for layer in module:
        layer.register_forward_hook(lambda _layer, _inputs, output: found.append(output.dtype))
    half = torch.autocast("cpu", torch.bfloat16, enabled=precision is Precision.BF16)
    with half, fast_depthwise(CPU, precision):
        module(torch.rand(2, 1, 8, 8)).float().sum().backward()
    return found


def test_on_a_cpu_only_depthwise_convolutions_leave_half_precision(module: nn.Sequential) -> None:
    half, full = torch.bfloat16, torch.float32
    assert dtypes(module, Precision.BF16) == [half, full, half]
    assert all(weight.grad is not None for weight in module.parameters())


def test_in_full_precision_nothing_changes(module: nn.Sequential) -> None:
    assert dtypes(module, Precision.FP32) == [torch.float32] * 3


def test_a_depthwise_convolution_gives_what_it_gives_in_full_precision(
    module: nn.Sequential,
) -> None:
    image = torch.rand(1, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16), fast_depthwise(CPU, Precision.BF16):
        shown = module[1](image.bfloat16())
    assert torch.equal(shown, module[1](image.bfloat16().float()))


def test_weights_that_a_network_computes_are_brought_along() -> None:
    image, weight = torch.rand(1, 4, 8, 8), torch.rand(4, 1, 3, 3)
    with torch.autocast("cpu", torch.bfloat16), fast_depthwise(CPU, Precision.BF16):
        by_place = torch.conv2d(image, weight.bfloat16(), None, 1, 0, 1, 4)
        by_name = torch.conv2d(input=image, weight=weight.bfloat16(), groups=4)
    assert by_place.dtype is torch.float32
    assert torch.equal(by_place, by_name)
