"""Architectures are found from names and shapes alone: exactly, or not at all."""

from __future__ import annotations

import pytest
import torch

from bare_networks import CASES, shapes_of_case, verdict
from napari_tileseg.engine.spec import Architecture
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.models import recognise_smp, registry
from napari_tileseg.models.encoder_table import feature_encoders
from napari_tileseg.models.recognise import recognise, recognise_as
from napari_tileseg.models.recognise_encoders import candidates, channels_read

RECIPE = Architecture(
    "smp.Unet",
    {
        "encoder_name": "resnet18",
        "encoder_depth": 3,
        "decoder_channels": [16, 8, 8],
        "in_channels": 1,
        "classes": 4,
    },
)
AMBIGUOUS = ("smp.PSPNet", "vgg13_bn")
"""Its features have 512 channels at three depths, and nothing else depends on the depth."""


@pytest.mark.parametrize(
    ("name", "arguments"), CASES, ids=[f"{n}-{a['encoder_name']}" for n, a in CASES]
)
def test_an_architecture_is_found_from_names_and_shapes(name, arguments):
    found = recognise(shapes_of_case(name, arguments))
    expected = "ambiguous" if (name, arguments["encoder_name"]) == AMBIGUOUS else "right"
    assert verdict(found, name, arguments) == expected


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return registry.build(RECIPE).state_dict()


def test_bare_weights_load_without_being_told_anything(weights, tmp_path):
    wrapped = {f"segmenter.net.{name}": one for name, one in weights.items()}
    second = {"segmenter.net.classification_head.3.weight": torch.zeros(3, 64)}
    torch.save({"state_dict": wrapped | second, "lr": 0.1}, tmp_path / "cells.pt")
    back = load_model(tmp_path / "cells.pt")
    assert back.architecture == RECIPE
    assert back.spec.channels == ("grey",)
    assert all(torch.equal(one, weights[name]) for name, one in back.module.state_dict().items())


def test_what_the_weights_do_not_say_is_said_in_one_sentence(weights, tmp_path):
    torch.save(weights, tmp_path / "cells.pt")
    said = load_model(tmp_path / "cells.pt").provenance["assumed"]
    assert said.startswith("The weights do not say how its decoder upsamples (nearest is assumed)")
    assert said.count(".") == 1
    assert "which intensities" in said
    assert said.endswith("what its classes are called.")
    named = load_model(tmp_path / "cells.pt", classes=["a", "b", "c", "d"])
    assert "called" not in named.provenance["assumed"]


def test_what_a_person_says_has_precedence_over_what_is_assumed(weights, tmp_path):
    torch.save(weights, tmp_path / "cells.pt")
    given = Architecture("unet", {"decoder_interpolation": "bilinear"})
    back = load_model(tmp_path / "cells.pt", architecture=given)
    assert back.architecture is not None
    assert back.architecture.arguments == {
        **RECIPE.arguments,
        "decoder_interpolation": "bilinear",
    }
    assert "upsamples" not in back.provenance["assumed"]


def test_an_encoder_that_is_not_in_the_table_can_be_named(weights, monkeypatch):
    shapes = {name: tuple(one.shape) for name, one in weights.items()}
    monkeypatch.setattr(recognise_smp, "candidates", lambda *_, **__: [])
    assert recognise(shapes) == []
    found = recognise_as(shapes, "smp.Unet", {"encoder_name": "resnet18"})
    assert found is not None
    assert found.arguments == RECIPE.arguments
    assert recognise_as(shapes, "smp.Unet", {"encoder_name": "resnet34"}) is None
    assert recognise_as(shapes, "smp.Linknet", {"encoder_name": "resnet18"}) is None
    assert recognise_as(shapes, "smp.Unet", {"classes": 5, "encoder_name": "resnet18"}) is None


def test_weights_that_fit_several_networks_name_them(tmp_path):
    name, arguments = next(one for one in CASES if one[0] == "smp.PSPNet" and "vgg" in str(one))
    shapes = shapes_of_case(name, arguments)
    torch.save({key: torch.zeros(shape) for key, shape in shapes.items()}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"more than one.*encoder_depth=4.*--arch smp\."):
        load_model(tmp_path / "w.pt")


@pytest.mark.parametrize(
    "change",
    [
        lambda shapes: shapes.pop("encoder.layer2.1.conv2.weight"),
        lambda shapes: shapes.update({"encoder.layer5.weight": (3,)}),
        lambda shapes: shapes.update({"decoder.gate.weight": (3, 3, 1, 1)}),
        lambda shapes: shapes.update({"decoder.blocks.1.conv1.0.weight": (8, 81, 3, 3)}),
        lambda shapes: shapes.update({"encoder.layer1.0.conv1.weight": (64, 32, 3, 3)}),
        lambda shapes: shapes.pop("segmentation_head.0.weight"),
        lambda shapes: shapes.update({"segmentation_head.0.weight": (4, 9, 3, 3)}),
    ],
)
def test_weights_that_differ_in_a_single_tensor_are_not_recognised(weights, change):
    shapes = {name: tuple(one.shape) for name, one in weights.items()}
    change(shapes)
    assert recognise(shapes) == []


def test_the_table_of_encoders_is_that_of_the_libraries_here():
    for name in ("resnet34", "mit_b0", "tu-convnext_atto"):
        for mark, _, known_as, depth in feature_encoders([name], (5,)):
            assert known_as == name
            assert mark
            assert depth in (0, 5)
    shapes = {
        key.removeprefix("encoder."): shape
        for key, shape in shapes_of_case("smp.Unet", {"encoder_name": "resnet50"}).items()
        if key.startswith("encoder.")
    }
    assert candidates(shapes) == [("resnet50", None)]


def test_the_channels_are_read_off_whatever_the_stem_does_with_them():
    built = {"a": (8, 3, 3, 3), "b": (4, 48, 3, 3), "c": (8,)}
    assert channels_read(dict(built), built) == 3
    assert channels_read({"a": (8, 5, 3, 3), "b": (4, 80, 3, 3), "c": (8,)}, built) == 5
    assert channels_read({"a": (8, 5, 3, 3), "b": (4, 64, 3, 3), "c": (8,)}, built) is None
    assert channels_read({"a": (8, 3, 3, 3), "b": (4, 47, 3, 3), "c": (8,)}, built) is None
    assert channels_read({"a": (8, 3, 3, 3), "b": (4, 48, 3, 3)}, built) is None
