from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from napari_tileseg.engine.folding import folded
from stubs import network


def _trained(module: nn.Module) -> nn.Module:
    """Give norms statistics that matter."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm2d, nn.BatchNorm3d)):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.uniform_(part.bias, -1, 1)
    return module.eval()


def _norms(module: nn.Module) -> int:
    return sum(type(part).__name__.startswith("BatchNorm") for part in module.modules())


class Skip(nn.Module):
    """The answer of the first convolution goes around the norm as well."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        first = self.first(tiles)
        return first + self.norm(first)


class Shared(nn.Module):
    """One convolution is used twice, once without the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.conv = nn.Conv2d(1, 3, 1), nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(self.conv(self.head(tiles))))


@pytest.mark.parametrize("dims", [2, 3])
@torch.no_grad()
def test_a_network_without_its_norms_answers_the_same(dims):
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
    module = _trained(
        nn.Sequential(conv(1, 4, 3, padding=1, bias=False), norm(4), nn.ReLU(), conv(4, 3, 1))
    )
    kept = copy.deepcopy(module.state_dict())
    found = folded(network(module, dims=dims))
    tiles = torch.randn(2, 1, *(16,) * dims)
    assert _norms(found.module) == 0
    assert torch.allclose(found.module(tiles), module(tiles), atol=1e-5)
    assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())


@torch.no_grad()
def test_a_whole_network_with_norms_that_activate_is_folded():
    smp = pytest.importorskip("segmentation_models_pytorch")
    module = _trained(smp.Unet("tu-mobilenetv3_small_050", encoder_weights=None, classes=3))
    found = folded(network(module, channels=3, stride=32))
    tiles = torch.randn(1, 3, 64, 64)
    answer = module(tiles)
    assert (found.module(tiles) - answer).abs().max() <= 1e-4 * answer.std()
    assert _norms(found.module) == 0
    assert _norms(module) > 20


@pytest.mark.parametrize("module", [Skip(), Shared()], ids=["around", "twice"])
@torch.no_grad()
def test_a_norm_whose_convolution_is_needed_elsewhere_stays(module):
    model = network(_trained(module))
    found = folded(model)
    tiles = torch.randn(1, 1, 16, 16)
    assert torch.allclose(found.module(tiles), module(tiles), atol=1e-5)
    assert _norms(found.module) == 1


def test_a_network_without_norms_is_not_copied():
    model = network(nn.Conv2d(1, 3, 3, padding=1))
    assert folded(model) is model


@torch.no_grad()
def test_weights_that_were_changed_are_folded_anew():
    module = _trained(nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)))
    model = network(module)
    first = folded(model)
    assert folded(model) is first
    module[0].weight.mul_(2)
    tiles = torch.randn(1, 1, 16, 16)
    assert folded(model) is not first
    assert torch.allclose(folded(model).module(tiles), module(tiles), atol=1e-5)


def test_what_is_folded_is_not_folded_again_although_a_norm_is_left():
    module = _trained(nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)))
    once = folded(network(module))
    assert _norms(once.module) == 1
    assert folded(once) is once
