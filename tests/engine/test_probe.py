from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet, UNet
from torch import nn

import napari_tileseg as nts
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.probe import receptive_field
from napari_tileseg.engine.run import stream_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import ModelFitError, SettingsError
from napari_tileseg.settings import Mode, RunSettings
from stubs import Ramp, network


def _convs(*sizes: int) -> nn.Module:
    return nn.Sequential(*(nn.Conv2d(1, 1, size, padding=size // 2) for size in sizes))


def _trained_like(module: nn.Module) -> nn.Module:
    """Give BatchNorm statistics that matter, as training would."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2)
    return module.eval()


def test_stacked_convolutions_have_the_field_that_arithmetic_gives():
    field = receptive_field(network(_convs(3, 5, 7), outputs=1))
    assert field.before == field.after == (6, 6)
    assert field.bounded


def test_a_field_can_differ_between_axes_and_sides():
    class Shifted(nn.Module):
        def forward(self, tiles):
            left = nn.functional.pad(tiles, (3, 0))[..., :-3]
            return tiles + left + nn.functional.pad(tiles, (0, 0, 0, 2))[..., 2:, :]

    field = receptive_field(network(Shifted(), outputs=1))
    assert field.before == (0, 3)
    assert field.after == (2, 0)
    assert field.halo == 3


@pytest.mark.parametrize("dims", [2, 3])
def test_the_probe_agrees_with_gradients(dims):
    torch.manual_seed(0)
    module = UNet(dims, 1, 1, channels=(2, 4, 8), strides=(2, 2), norm="batch").eval()
    model = network(module, outputs=1, dims=dims, stride=4)
    field = receptive_field(model)
    found = 0
    strip = torch.rand((1, 1, *[4] * (dims - 1), 128), requires_grad=True)
    answers = module(strip).flatten(1, -2)[0].sum(0)
    for place in range(64, 68):
        (gradient,) = torch.autograd.grad(answers[place], strip, retain_graph=True)
        reached = gradient.reshape(-1, 128).abs().sum(0).nonzero().flatten()
        found = max(found, place - int(reached[0]), int(reached[-1]) - place)
    assert field.bounded
    assert field.halo >= found > 3


@pytest.mark.parametrize(
    "layer", [nn.InstanceNorm2d(1), nn.GroupNorm(1, 1), nn.Sequential(nn.AdaptiveAvgPool2d(1))]
)
def test_layers_that_look_at_everything_have_no_bounded_field(layer):
    class Global(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, tiles):
            return tiles + self.layer(tiles)

    assert not receptive_field(network(Global(), outputs=1)).bounded


def test_resizing_with_aligned_corners_depends_on_the_size():
    class Resized(nn.Module):
        def forward(self, tiles):
            half = nn.functional.avg_pool2d(tiles, 4)
            return nn.functional.interpolate(
                half, size=tiles.shape[2:], mode="bilinear", align_corners=True
            )

    field = receptive_field(network(Resized(), outputs=1, stride=4))
    assert not field.bounded


def test_a_network_that_counts_its_place_is_not_bounded():
    assert not receptive_field(network(Ramp(3))).bounded


def test_a_stride_that_is_larger_than_was_said_is_noticed():
    class Halved(nn.Module):
        def forward(self, tiles):
            height, width = tiles.shape[2:]
            small = nn.functional.avg_pool2d(tiles, 8, ceil_mode=True)
            large = small.repeat_interleave(8, 2).repeat_interleave(8, 3)
            return large[..., :height, :width]

    assert receptive_field(network(Halved(), outputs=1, stride=8)).bounded
    assert not receptive_field(network(Halved(), outputs=1, stride=4)).bounded


def test_a_margin_that_the_network_uses_up_is_context():
    model = network(nn.Conv2d(1, 1, 9), outputs=1, margin=4)
    assert receptive_field(model).before == receptive_field(model).after == (4, 4)
    plan = make_plan(Source(np.zeros((90, 80))), model, RunSettings(mode="exact"))
    assert (plan.halo, plan.margin) == (0, 4)


def test_exact_tiles_equal_the_whole_image_and_less_halo_does_not():
    torch.manual_seed(0)
    module = _trained_like(
        BasicUNet(2, 1, 3, features=(4, 4, 8, 8, 8, 4), norm=("batch", {"affine": True}))
    )
    model = network(module, stride=16, tile=64)
    image = np.random.default_rng(0).random((420, 333)).astype(np.float32)
    source = Source(image)

    def probabilities(settings):
        plan = make_plan(source, model, settings)
        sure = np.zeros((3, *image.shape), np.float32)
        for patch in stream_plan(plan, source, model, provisional=False):
            sure[(slice(None), *patch.region)] = patch.probabilities
        return plan, sure

    whole_plan, whole = probabilities(RunSettings(mode="whole", probabilities=True))
    plan, exact = probabilities(RunSettings(mode="exact", tile=320, probabilities=True))
    assert whole_plan.n_tiles == 1
    assert plan.mode is Mode.EXACT
    assert plan.n_tiles > 4
    assert np.abs(exact - whole).max() <= 1e-5 * whole.std()


def test_one_pixel_less_of_context_is_not_exact():
    """With kernels that are all positive every pixel of the field counts."""
    module = _convs(9, 9)
    for weights in module.parameters():
        nn.init.constant_(weights, 1 / 81)
    model = network(module, outputs=1, task=Task.MULTILABEL)
    source = Source(np.random.default_rng(0).random((120, 100)).astype(np.float32))

    def sure(**options):
        plan = make_plan(source, model, RunSettings(probabilities=True, **options))
        patches = stream_plan(plan, source, model, provisional=False)
        result = np.zeros(source.label_shape, np.float32)
        for patch in patches:
            result[patch.region] = patch.probabilities[0]
        return result

    whole = sure(mode="whole")
    assert np.abs(sure(mode="exact", tile=40) - whole).max() <= 1e-6
    assert np.abs(sure(blend="crop", tile=40, overlap=14 / 40) - whole).max() > 1e-5


def test_exact_says_when_it_is_impossible():
    image = np.zeros((200, 200))
    small = network(_convs(9, 9), outputs=1)
    with pytest.raises(SettingsError, match="at least 17 px"):
        nts.predict(image, small, mode="exact", tile=16)
    everywhere = network(nn.InstanceNorm2d(1), outputs=1, global_context=("0 (InstanceNorm2d)",))
    with pytest.raises(ModelFitError, match=r"InstanceNorm2d.*mode 'whole'"):
        nts.predict(image, everywhere, mode="exact")
