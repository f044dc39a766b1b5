"""Networks that answer for less than they are shown: every pixel is covered all the same."""

from __future__ import annotations

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
from napari_tileseg.models import registry
from napari_tileseg.settings import RunSettings
from stubs import AS_IT_IS, Counting, network

MODES = ["blend", "exact", "whole"]
SHAPES = [(61, 83), (16, 200), (5, 7), (1, 1)]


class Middle(nn.Module):
    """Answers with what it sees, but for a frame."""

    def __init__(self, margin: int) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        inner = (slice(self.margin, size - self.margin) for size in tiles.shape[2:])
        return tiles[(..., *inner)]


def _middle(margin: int, dims: int = 2, **spec: object) -> Network:
    module = Counting(Middle(margin))
    return network(module, channels=3, dims=dims, margin=margin, tile=16, **spec)


def _image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("margin", [1, 6, 20])
def test_labels_lie_where_the_pixels_are(mode, shape, margin):
    image = _image(3, *shape)
    labels = nts.predict(image, _middle(margin, stride=4), axes="CYX", mode=mode)
    np.testing.assert_array_equal(labels, image.argmax(0))


def test_labels_lie_where_the_voxels_are():
    volume = _image(3, 9, 21, 35)
    labels = nts.predict(volume, _middle(6, dims=3, stride=4), axes="CZYX", mode="exact")
    np.testing.assert_array_equal(labels, volume.argmax(0))


def test_the_network_is_shown_a_margin_around_every_tile():
    model = _middle(6, stride=4)
    nts.predict(_image(3, 40, 40), model, axes="CYX", mode="blend", tile=16, batch=1)
    assert {shape[2:] for shape in model.module.shapes} == {(28, 28)}


def test_beyond_the_image_the_network_sees_a_mirror():
    class Border(nn.Module):
        """Answers with what lies three pixels further left."""

        def forward(self, tiles):
            return tiles[..., 3:-3, :-6]

    model = network(Border(), channels=3, margin=3, tile=16)
    image = _image(3, 20, 30)
    labels = nts.predict(image, model, axes="CYX", mode="exact")
    mirrored = np.pad(image, ((0, 0), (0, 0), (3, 0)), mode="symmetric")[..., :-3]
    np.testing.assert_array_equal(labels, mirrored.argmax(0))


def _original(**arguments: object) -> Network:
    thin = {"base_channels": 4, "classes": 3, "depth": 3}
    recipe = Architecture("original-unet", {**thin, **arguments})
    torch.manual_seed(0)
    module = registry.build(recipe)
    facts = registry.facts(module, recipe)
    side = 160 + 2 * facts.margin
    with torch.no_grad():  # each class is the highest somewhere
        seen = module(torch.from_numpy(_image(1, 1, side, side)))
        module.head.bias.sub_(seen.mean((0, 2, 3)))
        for values in (module.head.weight, module.head.bias):
            values.div_(seen.std((0, 2, 3)).reshape(-1, *(1,) * (values.ndim - 1)))
    spec = ModelSpec("cells", default_classes(3), normalisation=AS_IT_IS, tile=64)
    return Network(module, with_facts(spec, module, facts), recipe)


def _logits_of_the_whole(model: Network, image: np.ndarray) -> torch.Tensor:
    """Return (outputs, Y, X) for an image that is mirrored at its borders, as in the paper."""
    stride, margin = model.spec.stride, model.spec.margin
    sides = [(margin, margin + -size % stride) for size in image.shape]
    mirrored = torch.from_numpy(np.pad(image, sides, mode="symmetric"))
    with torch.inference_mode():
        answer = model.logits(mirrored[None, None])[0]
    return answer[:, : image.shape[0], : image.shape[1]]


def _logits_of_a_run(model: Network, image: np.ndarray, **options: object) -> torch.Tensor:
    """Return logits (outputs, Y, X) up to what is common to all of them."""
    found = np.full((3, *image.shape), np.nan, np.float32)
    for patch in nts.stream(image, model, probabilities=True, device="cpu", **options):
        if patch.final:
            found[(slice(None), *patch.region)] = patch.probabilities
    assert not np.isnan(found).any()
    return torch.from_numpy(found).log()


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
@pytest.mark.parametrize("mode", ["exact", "whole"])
def test_tiles_of_the_original_unet_equal_the_mirrored_image(mode, upsampling):
    model, image = _original(upsampling=upsampling), _image(150, 203)
    whole = _logits_of_the_whole(model, image)
    options = {"mode": mode} if mode == "whole" else {"mode": mode, "tile": 64}
    found = _logits_of_a_run(model, image, **options)
    # probabilities say how far logits are apart, not where they lie
    difference = (found - found[:1]) - (whole - whole[:1])
    # the head stretches what classes differ by, and with it what float32 rounds off
    assert difference.abs().max() <= 1e-4 * whole.std()
    assert difference.abs().mean() <= 2e-6 * whole.std()


def _labels_of_tiles_side_by_side(model: Network, image: np.ndarray) -> np.ndarray:
    return nts.predict(image, model, blend="crop", overlap=0, tile=32, device="cpu")


def test_the_margin_is_all_the_context_that_is_needed():
    model, image = _original(), _image(150, 203)
    expected = _logits_of_the_whole(model, image).argmax(0).numpy()
    assert len(np.unique(expected)) == 3
    found = _labels_of_tiles_side_by_side(model, image)
    assert np.mean(found != expected) < 1e-4  # near-ties may fall the other way


def test_with_padding_instead_of_a_margin_tiles_side_by_side_do_not_fit():
    model, image = _original(padding="same"), _image(150, 203)
    expected = _logits_of_the_whole(model, image).argmax(0).numpy()
    assert np.mean(_labels_of_tiles_side_by_side(model, image) != expected) > 0.01


def test_the_grid_is_that_of_the_answer():
    model = _original()
    plan = make_plan(Source(_image(128, 192)), model, RunSettings(mode="exact", tile=64))
    assert plan.tile == (64, 64)
    assert plan.margin == model.spec.margin == 46
    assert plan.grid[0].outer[0].start == 0
