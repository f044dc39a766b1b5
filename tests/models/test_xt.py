from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import Focus, stream_plan
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.checkpoints import load_model, save_model
from napari_tileseg.models import registry
from napari_tileseg.models.xt_context import ContextEncoder, Stacked
from napari_tileseg.models.xt_views import Attention, View, cell_side
from napari_tileseg.settings import Mode, RunSettings, TeachSettings, TrainSettings
from napari_tileseg.training.piece import piece_size
from napari_tileseg.training.pupil import patch_size
from napari_tileseg.training.samples import Sample
from napari_tileseg.training.train import train

TINY = {
    "encoder_name": "tu-test_convnext",
    "in_channels": 1,
    "classes": 3,
    "region": 64,
    "halo": 32,
    "dim": 16,
    "heads": 2,
    "width": 4,
}


def xt(**changes):
    torch.manual_seed(0)
    return registry.build(Architecture("xt", {**TINY, **changes}))


def xt_with_context(**changes):
    """Build one of which the context counts, as after training."""
    module = xt(**changes)
    with torch.no_grad():
        torch.nn.init.normal_(module.context.leave[1].weight)
        for part in module.decoder.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_var.fill_(0.15)  # what comes from below fades away otherwise
    return module


def described(module, **changes):
    recipe = Architecture("xt", {**TINY, **changes})
    known = registry.facts(module, recipe)
    spec = ModelSpec(
        "xt", default_classes(3), stride=known.stride, global_context=known.size_dependent
    )
    return Network(module, spec, recipe)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"attention": "window"},
        {"attention": "memory"},
        {"attention": "none"},
        {"budget": 6},
        {"decoder": "fpn", "upsampling": "bilinear"},
        {"upsampling": "transposed", "halo": 0},
        {"upsampling": "pixelshuffle", "encoder_name": "tu-test_resnet"},
    ],
)
@torch.inference_mode()
def test_it_answers_for_images_of_any_size(changes):
    module = xt(**changes)
    for size in ((150, 90), (10, 64)):
        assert module(torch.rand(2, 1, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("encoder", ["tu-swinv2_tiny_window8_256", "tu-hiera_tiny_224"])
@torch.inference_mode()
def test_encoders_of_a_fixed_size_see_regions_of_that_size(encoder):
    module = xt(encoder_name=encoder, region=128)
    assert module(torch.rand(1, 1, 130, 120)).shape == (1, 3, 130, 120)


@torch.inference_mode()
def test_it_begins_as_its_encoder_and_decoder_alone():
    image = torch.rand(1, 1, 128, 192)
    module, alone = xt(), xt(attention="none")
    alone.load_state_dict(
        {name: value for name, value in module.state_dict().items() if "context" not in name}
    )
    assert torch.equal(module(image), alone(image))


def seen_by(place, **changes):
    """Return which regions of 5 x 5 the logits in the middle of a region depend on."""
    module = xt_with_context(**changes)
    image = torch.rand(1, 1, 320, 320, requires_grad=True)
    row, column = (32 + 64 * index for index in place)
    module(image)[0, :, row, column].sum().backward()
    gradient = image.grad[0, 0].abs()
    middles = gradient.unfold(0, 64, 64).unfold(1, 64, 64)[..., 28:36, 28:36]
    return {tuple(found) for found in middles.amax((2, 3)).nonzero().tolist()}


def regions(rows, columns):
    return {(row, column) for row in rows for column in columns}


def test_each_region_knows_the_whole_image_and_gradients_flow_into_all_of_it():
    assert seen_by((0, 4)) == regions(range(5), range(5))
    assert seen_by((0, 4), budget=10) == regions(range(5), range(5))


def test_a_window_grows_with_the_blocks():
    reached = {"attention": "window", "halo": 0}
    assert seen_by((0, 1), blocks=1, **reached) == regions(range(2), range(3))
    assert seen_by((0, 1), blocks=2, **reached) == regions(range(3), range(4))


def test_a_memory_holds_the_regions_before():
    seen = seen_by((2, 1), attention="memory", memory=3, blocks=1, halo=0)
    assert seen == {(1, 3), (1, 4), (2, 0), (2, 1)}


def context_encoder(attention, **view):
    torch.manual_seed(0)
    encoder = ContextEncoder(
        12, 2, View(Attention(attention), **view), dim=16, blocks=2, heads=2
    ).eval()
    return encoder, torch.randn(2, 6, 8, 4, 16)


@torch.inference_mode()
def test_tokens_summed_up_count_as_often_as_there_are_of_them():
    encoder, _ = context_encoder("full")
    # alike inside of cells of 4 x 4 tokens, so that nothing is lost by their mean
    cells = torch.randn(1, 3, 1, 4, 1, 1, 16).expand(-1, -1, 2, -1, 2, 4, -1)
    alike = cells.reshape(1, 6, 8, 4, 16)
    summed = replace(encoder.view, budget=60)
    assert cell_side((6, 8), 2, summed.budget) == 4
    one_by_one, *_ = (torch.stack(list(encoder.layer(1, Stacked(alike))), 1),)
    encoder.view = summed
    torch.testing.assert_close(torch.stack(list(encoder.layer(1, Stacked(alike))), 1), one_by_one)


@pytest.mark.parametrize(
    ("shape", "side", "budget", "expected"),
    [((2, 2), 8, 256, 1), ((2, 2), 8, 255, 4), ((100, 117), 8, 16384, 16), ((9, 9), 6, 1000, 6)],
)
def test_cells_are_as_small_as_the_budget_allows(shape, side, budget, expected):
    assert cell_side(shape, side, budget) == expected


class Overwritten(Stacked):
    """Rows that are gone as soon as they are answered."""

    def put(self, row, tokens):
        self._tokens[:, row] = tokens


@pytest.mark.parametrize(
    ("attention", "view"),
    [("full", {}), ("full", {"budget": 20}), ("window", {"reach": 2}), ("memory", {"memory": 11})],
)
@torch.inference_mode()
def test_answers_may_be_written_over_what_they_were_made_of(attention, view):
    encoder, tokens = context_encoder(attention, **view)
    expected = encoder(tokens)
    kept = Overwritten(tokens.clone())
    for number in range(2):
        for row, answer in enumerate(encoder.layer(number, kept)):
            kept.put(row, answer)
    assert torch.equal(kept._tokens, expected)
    assert not torch.equal(expected[:, 0], expected[:, 1])


@torch.inference_mode()
def test_tokens_know_where_they_are():
    encoder, _ = context_encoder("full")
    context = encoder(torch.zeros(1, 3, 3, 4, 16)).flatten(1, 3)[0]
    assert (torch.cdist(context, context) + torch.eye(36)).min() > 1e-3


@pytest.mark.parametrize("changes", [{}, {"budget": 8}])
def test_tiles_in_any_order_equal_the_whole_image(changes):
    module = xt_with_context(**changes)
    network = described(module)
    image = np.random.default_rng(0).random((130, 150)).astype(np.float32)
    source = Source(image)

    def sure(focus=None, **options):
        plan = make_plan(source, network, RunSettings(probabilities=True, device="cpu", **options))
        result = np.zeros((3, *image.shape), np.float32)
        for patch in stream_plan(plan, source, network, focus=focus, provisional=False):
            result[(slice(None), *patch.region)] = patch.probabilities
        return plan, result

    plan, tiled = sure(tile=64)
    assert (plan.mode, plan.n_tiles) == (Mode.CONTEXT, 9)
    np.testing.assert_array_equal(sure(Focus((120, 140)), tile=64)[1], tiled)
    _, whole = sure(mode="whole")
    np.testing.assert_allclose(tiled, whole, atol=5e-3)  # half precision
    with torch.no_grad():
        module.context.leave[1].weight.zero_()
    assert np.abs(sure(tile=64)[1] - tiled).max() > 0.05  # so that the comparison says something


def test_it_is_saved_with_what_it_takes_to_build_it_again(tmp_path):
    network = described(xt_with_context())
    save_model(network, tmp_path / "xt.safetensors")
    again = load_model(tmp_path / "xt.safetensors")
    image = torch.rand(1, 1, 130, 70)
    with torch.inference_mode():
        assert torch.equal(again.module(image), network.module(image))
    assert again.spec.stride == 64


def test_it_is_trained_end_to_end():
    rng = np.random.default_rng(0)
    image = rng.random((160, 192)).astype(np.float32)
    network = described(xt())
    sample = Sample.of(image, (image > 0.5).astype(np.uint8), network.spec)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    settings = TrainSettings(epochs=2, patch=128, batch=2, device="cpu", precision="fp32")
    *_, last = train(network, [sample], settings=settings)
    trained = last.best.module.state_dict()
    for part in ("encoder.", "context.enter.", "context.blocks.", "context.leave.", "decoder."):
        names = [name for name in before if name.startswith(part)]
        assert any((trained[name] != before[name]).any() for name in names), part


def test_what_is_learnt_from_holds_several_regions_that_see_one_another():
    assert patch_size(described(xt()), TeachSettings()) == 3 * 64
    assert patch_size(described(xt()), TeachSettings(patch=64)) == 64
    assert piece_size(described(xt()), None, 512) == 3 * 64
    assert piece_size(described(xt()), 128, 512) == 128


@pytest.mark.parametrize(("region", "size"), [(256, 768), (512, 1024), (1024, 2048)])
def test_fewer_regions_are_learnt_from_at_once_where_they_are_large(region, size):
    large = described(xt())
    large.module.region = region
    large = replace(large, spec=replace(large.spec, stride=32))
    assert piece_size(large, None, 512) == size


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"region": 100}, "multiple of 32"),
        ({"halo": -32}, "multiple of 32"),
        ({"halo": 96}, "no larger than its region"),
        ({"region": 4096}, "2,048"),
        ({"heads": 3}, "multiple of 3"),
        ({"attention": "mamba"}, "memory"),
        ({"encoder_name": "tu-nothing"}, "no encoder"),
        ({"blocks": 0}, "blocks"),
        ({"regions": 64}, "Did you mean 'region'"),
    ],
)
def test_wrong_arguments_are_told(wrong, said):
    with pytest.raises(CheckpointError, match=said):
        xt(**wrong)
