from pathlib import Path

import numpy as np
import pytest
import torch

from napari_tileseg.engine.global_context import with_facts
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.errors import CheckpointError, NetworkError
from napari_tileseg.io.checkpoints import load_model, save_model
from napari_tileseg.models import registry
from napari_tileseg.models.unet_sizes import TRIM_PX, answer_size, margin_of

THIN = {"base_channels": 4, "classes": 3}


def original(**arguments: object) -> Network:
    recipe = Architecture("original-unet", {**THIN, **arguments})
    torch.manual_seed(0)
    module = registry.build(recipe)
    spec = ModelSpec("cells", default_classes(3))
    return Network(module, with_facts(spec, module, registry.facts(module, recipe)), recipe)


def test_it_has_the_sizes_and_the_weights_of_the_paper() -> None:
    module = registry.build(Architecture("original-unet"))
    count = sum(one.numel() for one in module.parameters())
    assert count == 31_030_658  # one channel, two classes
    assert answer_size(572, 4) == 388
    thin = original().module
    with torch.inference_mode():
        assert thin(torch.zeros(1, 1, 572, 572)).shape == (1, 3, 388, 388)


@pytest.mark.parametrize("upsampling", TRIM_PX)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_with_its_margin_every_multiple_of_the_stride_is_answered(
    depth: int, upsampling: str
) -> None:
    network = original(depth=depth, upsampling=upsampling)
    stride, margin = network.spec.stride, network.spec.margin
    assert (stride, margin) == (2**depth, margin_of(depth, TRIM_PX[upsampling]))
    for rows, columns in ((1, 1), (2, 1), (3, 5)):
        sizes = rows * stride, columns * stride
        shown = torch.zeros(2, 1, *(size + 2 * margin for size in sizes))
        with torch.inference_mode():
            assert network.logits(shown).shape == (2, 3, *sizes)


def test_the_margin_is_the_smallest_that_fits() -> None:
    assert [margin_of(depth) for depth in (1, 2, 3, 4)] == [8, 20, 46, 94]
    assert answer_size(16 + 2 * 92, 4) is None, "what it uses up is 92 px, but that never fits"


@pytest.mark.parametrize("size", [573, 570, 184, 139])
def test_a_tile_that_does_not_fit_is_refused(size: int) -> None:
    assert answer_size(size, 4) is None
    with pytest.raises(NetworkError, match=rf"{size} px does not fit.*multiple of 16 px"):
        original().module(torch.zeros(1, 1, 572, size))


@pytest.mark.parametrize("upsampling", TRIM_PX)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_tiles_cut_with_the_margin_equal_the_whole_image(upsampling: str, batch_norm: bool) -> None:
    network = original(depth=2, upsampling=upsampling, batch_norm=batch_norm)
    margin, size = network.spec.margin, 16
    image = np.random.default_rng(0).random((1, 1, 48, 64), np.float32)
    sides = ((0, 0), (0, 0), (margin, margin), (margin, margin))
    grown = torch.from_numpy(np.pad(image, sides, mode="reflect"))
    with torch.inference_mode():
        whole = network.logits(grown)
        for top in range(0, 48, size):
            for left in range(0, 64, size):
                span = slice(top, top + size), slice(left, left + size)
                shown = grown[..., top : top + size + 2 * margin, left : left + size + 2 * margin]
                torch.testing.assert_close(
                    network.logits(shown), whole[(..., *span)], rtol=0, atol=1e-5 * whole.std()
                )


@pytest.mark.parametrize("upsampling", TRIM_PX)
def test_with_padding_there_is_no_margin(upsampling: str) -> None:
    network = original(depth=3, padding="same", upsampling=upsampling)
    assert (network.spec.stride, network.spec.margin) == (8, 0)
    with torch.inference_mode():
        assert network.logits(torch.zeros(1, 1, 24, 40)).shape == (1, 3, 24, 40)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_it_comes_back_from_a_file_with_its_margin(tmp_path: Path, padding: str) -> None:
    network = original(depth=2, padding=padding, batch_norm=True, upsampling="bilinear")
    back = load_model(save_model(network, tmp_path / "cells"))
    assert (back.spec, back.architecture) == (network.spec, network.architecture)
    shown = torch.rand(1, 1, *(32 + 2 * network.spec.margin,) * 2)
    with torch.inference_mode():
        assert torch.equal(back.logits(shown), network.logits(shown))


def test_bare_weights_need_only_the_name_and_the_arguments(tmp_path: Path) -> None:
    network = original(depth=2)
    torch.save(network.module.state_dict(), tmp_path / "weights.pt")
    recipe = Architecture("Original-UNet", {**THIN, "depth": 2})
    spec = load_model(tmp_path / "weights.pt", architecture=recipe).spec
    assert (spec.stride, spec.margin, spec.channels) == (4, 20, ("grey",))
    assert (spec.normalisation.mean, spec.normalisation.std) == ((0.0,), (1.0,))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"depth": 7}, "depth of original-unet is 7; it can be 1, 2"),
        ({"depth": 2.0}, "depth of original-unet is 2.0"),
        (
            {"padding": "reflect"},
            "padding of original-unet is 'reflect'; it can be 'valid', 'same'",
        ),
        ({"upsampling": "cubic"}, "it can be 'transposed', 'nearest', 'bilinear'"),
        ({"batch_norm": "yes"}, "it can be False, True"),
        ({"base_channels": 0}, "base_channels of original-unet is 0.*from 1 on"),
        ({"base_channels": 1024}, "16,384 channels; 4,096 is the most"),
        ({"encoder_name": "resnet18"}, "no argument 'encoder_name'.*It has: base_channels"),
    ],
)
def test_a_wrong_argument_is_explained(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        original(**arguments)
