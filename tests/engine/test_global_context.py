from __future__ import annotations

from importlib import import_module

import pytest
import torch
from torch import nn

from napari_tileseg.engine.global_context import modules_with_global_context
from napari_tileseg.engine.spec import Architecture
from napari_tileseg.models import registry


def test_layers_that_look_at_everything_are_named_with_their_place():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), nn.AdaptiveAvgPool2d(1))
    assert modules_with_global_context(module) == ("1 (InstanceNorm2d)", "2 (AdaptiveAvgPool2d)")


@pytest.mark.parametrize(
    "layer",
    [
        nn.InstanceNorm3d(4),
        nn.GroupNorm(2, 4),
        nn.AdaptiveMaxPool3d(1),
        nn.MultiheadAttention(4, 2),
        nn.TransformerEncoderLayer(4, 2),
        nn.LayerNorm((4, 8, 8)),
        nn.UpsamplingBilinear2d(scale_factor=2),
    ],
)
def test_a_layer_of_torch_that_looks_at_everything_is_named(layer):
    assert f"1 ({type(layer).__name__})" in modules_with_global_context(
        nn.Sequential(nn.Identity(), layer)
    )


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(4),
        nn.LayerNorm(4),
        nn.AvgPool2d(2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Upsample(scale_factor=2),
    ],
)
def test_a_layer_that_looks_at_its_surroundings_is_not(layer):
    assert modules_with_global_context(nn.Sequential(nn.Conv2d(4, 4, 3), layer)) == ()


def test_the_pooling_left_over_from_a_classifier_does_not_count():
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3))
    encoder.add_module("global_pool", nn.AdaptiveAvgPool2d(1))
    assert modules_with_global_context(nn.Sequential(encoder)) == ()


def test_the_gates_of_an_attention_unet_weigh_pixels_by_themselves():
    nets = pytest.importorskip("monai.networks.nets", reason="MONAI is an extra")
    found = modules_with_global_context(nets.AttentionUnet(2, 1, 2, channels=(4, 8), strides=(2,)))
    assert found == ("model.1.merge.adn.N (InstanceNorm2d)",)


def test_blocks_of_monai_and_timm_are_named():
    blocks = pytest.importorskip("monai.networks.blocks", reason="MONAI is an extra")
    attention = import_module("timm.layers").AttentionPool2d(8, num_heads=2, feat_size=4)
    module = nn.Sequential(blocks.ResidualSELayer(2, 4), attention)
    found = modules_with_global_context(module)
    assert {"0 (ResidualSELayer)", "1 (AttentionPool2d)"} <= set(found)


ENCODERS = {
    "resnet18": None,
    "tu-convnext_atto": None,
    "timm-tf_efficientnet_lite0": None,
    "efficientnet-b0": "MBConvBlock",  # squeezes without a module of its own
    "timm-mobilenetv3_small_100": "SqueezeExcite",
    "timm-regnety_002": "SEModule",
    "timm-skresnet18": "SelectiveKernel",
    "tu-convnextv2_atto": "GlobalResponseNorm",
    "tu-ecaresnet26t": "EcaModule",
    "tu-hgnet_tiny": "EseModule",
    "mit_b0": "Attention",
}
DECODERS = {"MAnet": "PABBlock", "DeepLabV3": "ASPPPooling", "PSPNet": "AdaptiveAvgPool2d"}


def _named_as_measured(module: nn.Module, named: str | None) -> None:
    strip = torch.zeros(1, 1, 32, 1536)
    strip[..., 0, 0] = torch.nan
    with torch.inference_mode():
        reaches_the_end = bool(module(strip)[..., -1].isnan().any())
    found = modules_with_global_context(module)
    assert reaches_the_end == bool(found) == (named is not None)
    assert named is None or any(named in one for one in found)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_names_agree_with_how_far_a_nan_spreads(encoder):
    arguments = {"encoder_name": encoder, "in_channels": 1, "classes": 2}
    _named_as_measured(registry.build(Architecture("smp.Unet", arguments)), ENCODERS[encoder])


@pytest.mark.parametrize("decoder", DECODERS)
def test_decoders_that_pool_or_attend_are_named(decoder):
    arguments = {"encoder_name": "resnet18", "in_channels": 1, "classes": 2}
    _named_as_measured(registry.build(Architecture(f"smp.{decoder}", arguments)), DECODERS[decoder])
