"""The same engine on volumes: (Z, Y, X) instead of (Y, X)."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from torch import nn

import napari_tileseg as nts
from napari_tileseg.engine.global_context import with_facts
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.errors import ModelFitError
from napari_tileseg.models import registry
from napari_tileseg.settings import Mode, RunSettings
from stubs import AS_IT_IS, echo, network

SHAPE = (11, 23, 38)
"""Multiples of nothing."""

BASIC = {"features": [2, 4, 4, 4, 4, 4], "norm": "batch"}
UNET = {"channels": [4, 6, 8], "strides": [2, 2], "norm": "batch", "num_res_units": 1}


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _conv() -> Network:
    torch.manual_seed(0)
    return network(nn.Conv3d(1, 3, 3, padding=1), dims=3, tile=16)


def _monai(name: str, arguments: dict[str, object]) -> Network:
    pytest.importorskip("monai", reason="MONAI is an extra")
    recipe = Architecture(name, {"spatial_dims": 3, "out_channels": 3, **arguments})
    torch.manual_seed(0)
    module = registry.build(recipe)
    _look_far(module)
    spec = ModelSpec("volumes", default_classes(3), normalisation=AS_IT_IS, tile=32)
    return Network(module, with_facts(spec, module, registry.facts(module, recipe)), recipe)


@torch.no_grad()
def _look_far(module: nn.Module) -> None:
    """Let every layer mostly look to the left, so that what is furthest away counts most."""
    for part in module.modules():
        if isinstance(part, (nn.Conv3d, nn.ConvTranspose3d)):
            inputs = 0 if part.transposed else 1
            gain = prod(part.stride) if part.transposed else 1
            part.weight.abs_()[..., 0].mul_(20)
            part.weight.mul_(gain / part.weight.sum((inputs, 2, 3, 4), keepdim=True))
            head = part
    head.weight.copy_(torch.randn_like(head.weight))
    seen = module(torch.rand(1, 1, 32, 32, 32))
    head.bias.sub_(seen.mean((0, 2, 3, 4)))  # each class is the highest somewhere
    head.weight.div_(seen.std())
    head.bias.div_(seen.std())


def _logits_of_the_whole(model: Network, volume: np.ndarray) -> torch.Tensor:
    """Return (outputs, Z, Y, X), the volume mirrored up to a multiple of the stride."""
    stride = model.spec.stride
    padded = np.pad(volume, [(0, -size % stride) for size in volume.shape], mode="symmetric")
    with torch.inference_mode():
        logits = model.logits(torch.from_numpy(padded)[None, None])[0]
    return logits[(slice(None), *(slice(size) for size in volume.shape))]


def _logits_of_a_run(model: Network, volume: np.ndarray, **options: object) -> torch.Tensor:
    """Return logits (outputs, Z, Y, X) up to what is common to all of them."""
    found = np.full((model.spec.n_outputs, *volume.shape), np.nan, np.float32)
    for patch in nts.stream(volume, model, probabilities=True, device="cpu", **options):
        if patch.final:
            found[(slice(None), *patch.region)] = patch.probabilities
    assert not np.isnan(found).any()
    return torch.from_numpy(found).log()


@pytest.mark.parametrize("mode", ["blend", "exact", "whole"])
def test_echo_gives_the_volume_back(mode):
    volume = _rng().random((3, *SHAPE), np.float32)
    labels = nts.predict(volume, echo(3, dims=3, tile=16), axes="CZYX", mode=mode)
    np.testing.assert_array_equal(labels, volume.argmax(0))


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5])
def test_blended_tiles_cover_every_voxel_once(overlap):
    volume = _rng().random(SHAPE, np.float32)
    seen = np.zeros(SHAPE, int)
    for patch in nts.stream(volume, _conv(), mode="blend", overlap=overlap, tile=16):
        seen[patch.region] += patch.final
    assert (seen == 1).all()


def test_an_axis_shorter_than_a_tile_is_covered():
    volume = _rng().random((2, 40, 5), np.float32)
    np.testing.assert_array_equal(
        nts.predict(volume, _conv(), mode="exact"), nts.predict(volume, _conv(), mode="whole")
    )


@pytest.mark.parametrize("mode", ["blend", "exact"])
def test_volumes_over_time_are_segmented_one_by_one(mode):
    volumes = _rng().random((2, *SHAPE), np.float32)
    together = nts.predict(volumes, _conv(), axes="TZYX", mode=mode)
    apart = [nts.predict(volume, _conv(), axes="ZYX", mode=mode) for volume in volumes]
    np.testing.assert_array_equal(together, np.stack(apart))


def test_channels_may_stand_between_the_axes_of_space():
    volume = _rng().random((11, 3, 23, 38), np.float32)
    labels = nts.predict(volume, echo(3, dims=3, tile=16), axes="ZCYX")
    np.testing.assert_array_equal(labels, volume.argmax(1))


def test_without_names_the_last_three_axes_are_space():
    volumes = _rng().random((2, *SHAPE), np.float32)
    named = nts.predict(volumes, _conv(), axes="TZYX")
    np.testing.assert_array_equal(nts.predict(volumes, _conv()), named)


def test_an_image_is_no_volume():
    with pytest.raises(ModelFitError, match="3-D"):
        make_plan(Source(np.zeros((20, 20))), _conv(), RunSettings())


def _difference(model: Network, volume: np.ndarray, **options: object) -> float:
    """Return how far a run is from the whole volume at most, in standard deviations."""
    whole = _logits_of_the_whole(model, volume)
    found = _logits_of_a_run(model, volume, **options)
    # probabilities say how far logits are apart, not where they lie
    return float(((found - found[:1]) - (whole - whole[:1])).abs().max() / whole.std())


def _assert_exact(model: Network, volume: np.ndarray, tile: int) -> None:
    settings = RunSettings(mode=Mode.EXACT, tile=tile)
    plan = make_plan(Source(volume, spatial_dims=3), model, settings)
    assert plan.n_tiles > 2, "the volume has to be larger than a tile"
    assert _difference(model, volume, mode="exact", tile=tile) <= 1e-5
    labels = nts.predict(volume, model, mode="exact", tile=tile, device="cpu")
    expected = _logits_of_the_whole(model, volume).argmax(0).numpy()
    assert len(np.unique(expected)) == 3
    assert np.mean(labels != expected) < 1e-4  # near-ties may fall the other way


def test_exact_tiles_of_a_residual_unet_equal_the_whole_volume():
    _assert_exact(_monai("monai.UNet", UNET), _rng().random((22, 47, 83), np.float32), 48)


def test_exact_tiles_of_a_basic_unet_equal_the_whole_volume():
    # it looks so far that only a long thin volume is larger than a tile and yet small
    _assert_exact(_monai("monai.BasicUNet", BASIC), _rng().random((13, 16, 405), np.float32), 256)


def test_with_less_context_than_it_looks_the_difference_is_seen():
    model, volume = _monai("monai.UNet", UNET), _rng().random((22, 47, 83), np.float32)
    assert _difference(model, volume, blend="crop", tile=48, overlap=2 / 3) <= 1e-5
    assert _difference(model, volume, blend="crop", tile=48, overlap=1 / 3) > 1e-3


@pytest.mark.parametrize("mode", ["blend", "exact"])
def test_the_order_of_a_unets_tiles_does_not_matter(mode):
    model, volume = _monai("monai.UNet", UNET), _rng().random((20, 30, 70), np.float32)
    first = nts.predict(volume, model, mode=mode, tile=48, overlap=0.5)
    other = np.empty_like(first)
    for patch in nts.stream(volume, model, focus=(19, 29, 69), mode=mode, tile=48, overlap=0.5):
        if patch.final:
            other[patch.region] = patch.labels
    np.testing.assert_array_equal(first, other)
