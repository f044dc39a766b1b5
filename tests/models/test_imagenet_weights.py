"""Weights for download: used if they can be had, else random ones, and it is said."""

from __future__ import annotations

import pytest
import torch

from napari_tileseg.engine.spec import Architecture
from napari_tileseg.errors import CheckpointError
from napari_tileseg.models import registry
from napari_tileseg.models.encoders import IMAGENET
from napari_tileseg.models.libraries import import_smp
from napari_tileseg.models.pretrained import load_encoder_weights
from napari_tileseg.training.start import new_network


def unet(in_channels: int = 3) -> torch.nn.Module:
    recipe = Architecture("smp.Unet", {"encoder_name": "resnet18", "in_channels": in_channels})
    return registry.build(recipe)


def test_without_a_connection_the_encoder_begins_with_random_weights_and_it_is_said():
    module = unet()
    before = {name: one.clone() for name, one in module.encoder.state_dict().items()}
    said = load_encoder_weights(module, "resnet18", IMAGENET)
    assert "could not be downloaded" in said
    assert "--encoder-weights FILE" in said
    assert all(torch.equal(one, before[name]) for name, one in module.encoder.state_dict().items())


def test_a_network_remembers_that_its_encoder_begins_with_random_weights():
    made = new_network("m", ["a", "b"], ["grey"], encoder="resnet18", encoder_weights=IMAGENET)
    assert "could not be downloaded" in made.provenance["encoder"]
    assert new_network("m", ["a", "b"], ["grey"], encoder="resnet18").provenance == {}


@pytest.mark.parametrize("channels", [1, 3])
def test_what_was_downloaded_is_put_in(monkeypatch, channels):
    source = unet().encoder
    monkeypatch.setattr(import_smp().encoders, "get_encoder", lambda name, depth, weights: source)
    module = unet(channels)
    assert load_encoder_weights(module, "resnet18", IMAGENET) == ""
    wanted = source.state_dict()
    for name, one in module.encoder.state_dict().items():
        if one.shape == wanted[name].shape:
            assert torch.equal(one, wanted[name])


def test_an_encoder_without_such_weights_is_refused(monkeypatch):
    settings = import_smp().encoders.encoders["resnet18"]
    monkeypatch.setitem(settings, "pretrained_settings", {"ssl": {}})
    with pytest.raises(CheckpointError, match=r"no 'imagenet' weights.*offered: ssl.*Choose"):
        load_encoder_weights(unet(), "resnet18", IMAGENET)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_plain_transformer_asks_for_its_own_weights(monkeypatch, channels):
    import timm

    make, asked = timm.create_model, []

    def with_weights(name, *, pretrained, **more):
        asked.append((name, pretrained))
        torch.manual_seed(1)
        return make(name, pretrained=False, **more)

    name = "tu-vit_tiny_patch16_224.augreg_in21k"
    module = registry.build(
        Architecture("smp.DPT", {"encoder_name": name, "in_channels": channels, "classes": 2})
    )
    encoder = module.encoder.model
    before = encoder.blocks[0].attn.qkv.weight.clone()
    monkeypatch.setattr(timm, "create_model", with_weights)
    assert load_encoder_weights(module, name, IMAGENET) == ""
    assert asked == [(name.removeprefix("tu-"), True)]
    torch.manual_seed(1)
    wanted = make(asked[0][0], pretrained=False, dynamic_img_size=True)
    assert not torch.equal(before, wanted.blocks[0].attn.qkv.weight)
    assert torch.equal(encoder.blocks[0].attn.qkv.weight, wanted.blocks[0].attn.qkv.weight)
    kernel = wanted.patch_embed.proj.weight
    kernel = kernel.sum(1, keepdim=True) if channels == 1 else kernel
    assert torch.equal(encoder.patch_embed.proj.weight, kernel)
