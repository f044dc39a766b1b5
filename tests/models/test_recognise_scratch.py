"""U-Nets that people wrote themselves are found by their shapes and their order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.models import recognise_scratch
from napari_tileseg.models.recognise import recognise
from written_unets import STYLES, Written


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(one.shape) for name, one in module.state_dict().items()}


@pytest.mark.parametrize("style", STYLES)
def test_a_network_somebody_wrote_answers_as_it_did(style, tmp_path):
    torch.manual_seed(0)
    written = Written(STYLES[style]).eval()
    weights = {f"module.{name}": one for name, one in written.state_dict().items()}
    torch.save({"model_state_dict": weights, "epoch": 3}, tmp_path / "mine.pt")
    back = load_model(tmp_path / "mine.pt")
    tile = torch.rand(1, 2, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(back.logits(tile), written(tile), rtol=1e-5, atol=1e-6)
    assert "skips" in back.provenance["assumed"]


@pytest.mark.parametrize("style", STYLES)
def test_the_order_in_the_file_does_not_matter(style):
    shapes = shapes_of(Written(STYLES[style]))
    (found,) = recognise(dict(sorted(shapes.items())))
    (in_order,) = recognise(shapes)
    assert found == in_order


def test_levels_of_equal_width_whose_order_no_name_tells_are_ambiguous():
    style = {**STYLES["encoder, decoder with falling numbers"], "widths": (8, 8, 8, 8)}
    assert len(recognise(shapes_of(Written(style)))) > 1


@pytest.mark.parametrize(
    "change",
    [
        lambda shapes: shapes.pop("out.bias"),
        lambda shapes: shapes.update({"gate.weight": (4, 4, 1, 1)}),
        lambda shapes: shapes.update({"fc.weight": (4, 4)}),
        lambda shapes: shapes.update({"down_convolution_2.0.weight": (9, 4, 3, 3)}),
        lambda shapes: shapes.update({"up_transpose_1.weight": (24, 16, 3, 3)}),
        lambda shapes: shapes.pop("up_transpose_1.bias"),
    ],
)
def test_what_is_no_plain_unet_is_not_taken_for_one(change):
    shapes = shapes_of(Written(STYLES["down_convolution, up_transpose"]))
    assert len(recognise(shapes)) == 1
    change(shapes)
    assert recognise(shapes) == []


def test_a_chain_that_no_network_could_be_is_given_up_on_at_once(monkeypatch):
    compared = []
    rank = recognise_scratch._distance
    monkeypatch.setattr(
        recognise_scratch, "_distance", lambda *names: (compared.append(1), rank(*names))[1]
    )
    shapes = {}
    for side, count in (("down", 101), ("up", 100)):
        for number in range(2 * count):
            inputs = 2 if side == "up" and number % 2 == 0 else 1
            shapes[f"{side}.{number}.conv.weight"] = (1, inputs, 3, 3)
            shapes[f"{side}.{number}.conv.bias"] = (1,)
            for kind in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{side}.{number}.norm.{kind}"] = (1,)
    shapes["head.weight"], shapes["head.bias"] = (2, 1, 1, 1), (2,)
    assert recognise(shapes) == []
    assert len(compared) < 10_000
