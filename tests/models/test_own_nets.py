from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_tileseg.engine.global_context import with_facts
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import predict
from napari_tileseg.engine.probe import receptive_field
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.checkpoints import load_model, save_model
from napari_tileseg.models import pretrained, registry
from napari_tileseg.models.upsampling import upsampling_weights
from napari_tileseg.settings import Mode, RunSettings
from napari_tileseg.training.new_classes import with_classes
from napari_tileseg.training.start import new_network

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"encoder_name": "resnet18", "decoder_channels": [32, 16, 16, 16, 16]}
THIN = {"base_channels": 4}
EVERY = {
    "flexible": ("flexible-unet", SMALL),
    "bilinear": ("flexible-unet", SMALL | {"upsampling": "bilinear"}),
    "nearest": ("flexible-unet", SMALL | {"upsampling": "nearest"}),
    "pixelshuffle": ("flexible-unet", SMALL | {"upsampling": "pixelshuffle"}),
    "plusplus": ("flexible-unet", SMALL | {"decoder": "UnetPlusPlus", "gates": True}),
    "gated": ("attention-unet", SMALL),
    "gated scse": ("attention-unet", SMALL | {"decoder_attention_type": "scse"}),
    "gated swin": (
        "attention-unet",
        {"encoder_name": "tu-swinv2_cr_tiny_ns_224", "decoder_channels": [16, 16, 8, 8, 8]},
    ),
    "res-unet": ("res-unet", THIN),
    "res-unet shuffled": ("res-unet", THIN | {"upsampling": "pixelshuffle", "depth": 2}),
    "segnet": ("segnet", THIN),
    "segnet averaged": ("segnet", THIN | {"pooling": "average"}),
    "fcn-32s": ("fcn", THIN | {"variant": "32s", "head_channels": 16}),
    "fcn-16s": ("fcn", THIN | {"variant": "16s", "head_channels": 16}),
    "fcn-8s": ("fcn", THIN | {"head_channels": 16}),
    "apcnet": ("apcnet", {"encoder_name": "resnet18", "channels": 16}),
    "torchvision.FCN": ("torchvision.FCN", {}),
    "torchvision.DeepLabV3": ("torchvision.DeepLabV3", {}),
}
STRIDES = {"res-unet": 8, "res-unet shuffled": 4, "apcnet": 8} | {
    name: 8 for name in EVERY if name.startswith("torchvision")
}
STARTS_CLOSED = {"gated scse", "gated swin"}
"""Where a library begins with weights of 0, or few units that can all be off."""

GLOBAL = {"gated scse", "gated swin", "apcnet", "torchvision.DeepLabV3"}


def network_of(which: str) -> Network:
    name, arguments = EVERY[which]
    recipe = Architecture(name, {"in_channels": 2, "classes": 3, **arguments})
    torch.manual_seed(0)
    module = registry.build(recipe)
    spec = ModelSpec("m", default_classes(3), channels=("a", "b"), tile=64)
    return Network(module, with_facts(spec, module, registry.facts(module, recipe)), recipe)


@pytest.mark.parametrize("which", EVERY)
def test_it_answers_for_every_pixel_and_comes_back_from_a_file(which: str, tmp_path: Path) -> None:
    network = network_of(which)
    assert (network.spec.stride, network.spec.margin) == (STRIDES.get(which, 32), 0)
    assert bool(network.spec.global_context) == (which in GLOBAL)
    back = load_model(save_model(network, tmp_path / "m"))
    assert (back.spec, back.architecture) == (network.spec, network.architecture)
    with torch.inference_mode():
        for size in ((64, 96), (96, 64)):
            tile = torch.rand(1, 2, *size)
            answer = network.logits(tile)
            assert answer.shape == (1, 3, *size)
            assert torch.equal(back.logits(tile), answer)


@pytest.mark.parametrize("which", [w for w in EVERY if w not in ("plusplus", "gated swin")])
@pytest.mark.parametrize("size", [(250, 190), (67, 33)])
def test_odd_sizes_are_answered_too(which: str, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        assert network_of(which).module(torch.rand(1, 2, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("which", EVERY)
def test_every_weight_learns(which: str) -> None:
    module = network_of(which).module.train()
    module(torch.rand(2, 2, 64, 64)).square().mean().backward()
    assert [name for name, one in module.named_parameters() if one.grad is None] == []
    if which in STARTS_CLOSED:
        return
    assert [name for name, one in module.named_parameters() if not one.grad.any()] == []


@pytest.mark.parametrize("which", ["pixelshuffle", "gated", "segnet", "fcn-8s", "res-unet"])
def test_the_engine_runs_it_on_an_image_of_any_size(which: str) -> None:
    network = network_of(which)
    image = np.random.default_rng(0).integers(0, 255, (2, 125, 95), np.uint8)
    labels = predict(image, network, axes="CYX", tile=64, mode="blend")
    assert labels.shape == (125, 95)
    assert labels.max() < 3


@pytest.mark.parametrize("which", ["segnet", "fcn-16s", "res-unet shuffled"])
def test_what_looks_no_further_than_its_surroundings_can_be_exact(which: str) -> None:
    field = receptive_field(network_of(which))
    assert field.bounded
    assert not field.size_dependent


def test_a_network_that_describes_regions_of_the_tile_is_never_exact() -> None:
    network = network_of("apcnet")
    assert "regions of the whole tile" in network.spec.global_context[0]
    image = Source(np.zeros((2, 600, 600), np.uint8), axes="CYX")
    assert make_plan(image, network, RunSettings()).mode is Mode.BLEND


def test_a_pixel_shuffle_begins_as_nearest_neighbours() -> None:
    block = network_of("pixelshuffle").module.decoder.blocks[0]
    with torch.inference_mode():
        up = block.up(torch.rand(1, 512, 3, 4))
    for pixels in (up[..., 1::2, ::2], up[..., ::2, 1::2], up[..., 1::2, 1::2]):
        assert torch.equal(pixels, up[..., ::2, ::2])


def test_a_gate_that_is_closed_lets_nothing_of_a_skip_through() -> None:
    gate = network_of("gated").module.decoder.blocks[1].gate
    with torch.inference_mode():
        gate.psi.weight.zero_()
        gate.psi.bias.fill_(-100)
        passed = gate(torch.rand(1, 128, 8, 8), torch.rand(1, 32, 4, 4))
        assert torch.allclose(passed, gate(torch.zeros(1, 128, 8, 8), torch.rand(1, 32, 4, 4)))


def test_only_what_is_learnt_counts_as_weights_for_upsampling() -> None:
    counts = {
        which: upsampling_weights(network_of(which).module)
        for which in ("flexible", "bilinear", "nearest", "segnet", "fcn-8s")
    }
    below = [512, *SMALL["decoder_channels"][:-1]]
    assert counts.pop("flexible") == sum(4 * one * one + one for one in below)
    assert counts.pop("fcn-8s") == 2 * 9 * 4**2 + 9 * 16**2
    assert set(counts.values()) == {0}


def test_segnet_puts_every_maximum_back_where_it_was() -> None:
    from napari_tileseg.models.segnet import Segnet, _back_to

    net = Segnet(1, 2, base_channels=4)
    values = torch.rand(1, 4, 5, 7)
    halved, where = net._halved(values)
    back = _back_to(halved, values.shape[2:], where)
    assert back.shape == values.shape
    assert torch.equal(back[back != 0], values[back != 0])
    assert int((back != 0).sum()) == halved.numel()


def test_the_scores_of_an_fcn_begin_as_bilinear_interpolation() -> None:
    from napari_tileseg.models.fcn import bilinear_start

    coarse = torch.rand(1, 3, 4, 5)
    with torch.inference_mode():
        up = bilinear_start(3, 8)(coarse)
    expected = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear")
    torch.testing.assert_close(up[..., 8:-8, 8:-8], expected[..., 8:-8, 8:-8])


@pytest.mark.parametrize("counters", [True, False])  # files from before 2018 have none
@pytest.mark.parametrize("name", ["segnet", "fcn"])
def test_weights_of_vgg16_fit_the_thirteen_convolutions(name: str, counters: bool) -> None:
    from torchvision.models.vgg import cfgs, make_layers

    layers = make_layers(cfgs["D"], batch_norm=True).state_dict()
    theirs = {f"features.{key}": one for key, one in layers.items()}
    if not counters:
        theirs = {key: one for key, one in theirs.items() if "num_batches" not in key}
    given = pretrained.FileWeights("vgg.pt", theirs)
    few = {"head_channels": 8} if name == "fcn" else {}
    start = {"architecture": name, "arguments": few, "encoder_weights": given}
    ours = new_network("m", ["a", "b"], ["red", "green", "blue"], **start).module
    assert torch.equal(ours.encoder[4][2][0].weight, theirs["features.40.weight"])
    assert torch.equal(ours.encoder[0][0][1].running_var, theirs["features.1.running_var"])


def test_weights_of_vgg16_do_not_fit_fewer_channels() -> None:
    from torchvision.models.vgg import cfgs, make_layers

    theirs = dict(make_layers(cfgs["D"], batch_norm=True).state_dict())
    given = pretrained.FileWeights("vgg.pt", theirs)
    start = {"architecture": "segnet", "arguments": THIN, "encoder_weights": given}
    with pytest.raises(CheckpointError, match="does not fit this encoder"):
        new_network("m", ["a", "b"], ["grey"], **start)


def test_nothing_is_downloaded_for_a_vgg16_of_another_width(monkeypatch) -> None:
    monkeypatch.setattr(pretrained, "_downloaded", lambda *of: pytest.fail("downloaded"))
    start = {"architecture": "fcn", "arguments": THIN, "encoder_weights": "imagenet"}
    with pytest.raises(CheckpointError, match=r"base_channels=64, not for \d+\. Choose 64"):
        new_network("m", ["a", "b"], ["grey"], **start)


def test_published_weights_of_torchvision_have_the_same_names() -> None:
    from torchvision.models.segmentation import fcn_resnet50

    theirs = fcn_resnet50(weights=None, weights_backbone=None, num_classes=3, aux_loss=True)
    ours = registry.build(Architecture("torchvision.FCN", {"classes": 3, "aux_loss": True}))
    ours.load_state_dict(theirs.state_dict())
    tile = torch.rand(1, 3, 64, 48)
    with torch.inference_mode():
        assert torch.equal(ours(tile), theirs.eval()(tile)["out"])


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("flexible-unet", {"upsampling": "cubic"}, "it can be 'transposed', 'bilinear'"),
        ("flexible-unet", {"decoder": "FPN"}, "decoder of Unet is 'FPN'; it can be 'Unet'"),
        ("attention-unet", {"gates": 1}, "gates of Unet is 1; it can be False, True"),
        ("segnet", {"pooling": "min"}, "pooling of segnet is 'min'"),
        ("segnet", {"base_channels": 4096}, "a whole number from 1 to 256"),
        ("fcn", {"variant": 8}, "it can be '32s', '16s', '8s'"),
        ("res-unet", {"depth": 9}, "depth of res-unet is 9.*from 1 to 6"),
        ("apcnet", {"encoder_name": "resnet17"}, "no encoder 'resnet17'"),
        ("apcnet", {"scales": [0]}, "apcnet cannot be built with"),
        ("torchvision.FCN", {"backbone": "vgg"}, "it can be 'resnet50', 'resnet101'"),
        ("torchvision.FCN", {"weights": "x"}, "no argument 'weights'"),
    ],
)
def test_a_wrong_argument_is_explained(name: str, arguments: dict, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        registry.build(Architecture(name, arguments))


@pytest.mark.parametrize("which", ["gated", "segnet", "fcn-8s", "apcnet"])
def test_it_can_be_given_another_class(which: str) -> None:
    network = network_of(which)
    more = with_classes(network, default_classes(4))
    tile = torch.rand(1, 2, 64, 64)
    with torch.inference_mode():
        before, after = network.logits(tile), more.logits(tile)
    assert after.shape == (1, 4, 64, 64)
    torch.testing.assert_close(after[:, :3], before)
