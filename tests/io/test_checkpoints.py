import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import (
    Architecture,
    ClassInfo,
    ModelSpec,
    Normalisation,
    NormalisationKind,
    Task,
    default_classes,
)
from napari_tileseg.errors import CheckpointError, DeviceError, OutputError
from napari_tileseg.io.checkpoints import bundled_models, load_model, save_model
from napari_tileseg.models import registry

RECIPE = Architecture(
    "smp.Unet",
    {
        "encoder_name": "resnet18",
        "encoder_depth": 3,
        "decoder_channels": [16, 8, 8],
        "in_channels": 1,
        "classes": 3,
    },
)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    spec = ModelSpec(
        name="cells",
        classes=(
            ClassInfo("background", "#000000"),
            ClassInfo('<"nucleus"> ä', "#0072b2"),
            ClassInfo("border", "#e69f00"),
        ),
        channels=("DAPI",),
        normalisation=Normalisation(NormalisationKind.PERCENTILE, (0.5,), (0.25,), 1.0, 99.0),
        stride=8,
        tile=256,
        pixel_size_um=0.1 + 0.2,
    )
    return Network(registry.build(RECIPE), spec, RECIPE, {"trained on": "nothing", "steps": 0})


def answer(network: Network) -> torch.Tensor:
    tile = torch.linspace(-2, 2, 64 * 64).reshape(1, 1, 64, 64)
    with torch.inference_mode():
        return network.logits(tile)


def test_a_saved_network_comes_back_with_all_that_is_known(
    network: Network, tmp_path: Path
) -> None:
    path = save_model(network, tmp_path / "cells")
    back = load_model(path)
    assert path == tmp_path / "cells.safetensors"
    assert (back.spec, back.architecture) == (network.spec, network.architecture)
    assert torch.equal(answer(back), answer(network))
    assert not back.module.training
    assert back.provenance == {
        "trained on": "nothing",
        "steps": 0,
        "file": "cells.safetensors",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def test_half_precision_takes_half_the_room_and_computes_in_full(
    network: Network, tmp_path: Path
) -> None:
    whole = save_model(network, tmp_path / "whole.safetensors")
    half = save_model(network, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    back = load_model(half)
    assert {one.dtype for one in back.module.parameters()} == {torch.float32}
    torch.testing.assert_close(answer(back), answer(network), rtol=0.05, atol=0.05)


def test_numbers_beyond_sixteen_bits_survive_half_precision(tmp_path: Path) -> None:
    module = registry.build(RECIPE)
    variance = next(v for k, v in module.state_dict().items() if k.endswith("running_var"))
    variance.fill_(1e6)
    network = Network(module, ModelSpec("m", default_classes(3)), RECIPE)
    back = load_model(save_model(network, tmp_path / "m", half=True))
    found = next(v for k, v in back.module.state_dict().items() if k.endswith("running_var"))
    assert bool((found == 1e6).all())


def test_the_task_and_its_threshold_come_back(tmp_path: Path) -> None:
    recipe = Architecture("smp.Unet", {**RECIPE.arguments, "classes": 2})
    spec = ModelSpec(
        "both",
        (ClassInfo("a", "#000000"), ClassInfo("b", "#ffffff")),
        task=Task.MULTILABEL,
        threshold=0.3,
        stride=8,
    )
    back = load_model(save_model(Network(registry.build(recipe), spec, recipe), tmp_path / "m"))
    assert (back.spec.task, back.spec.threshold) == (Task.MULTILABEL, 0.3)


def test_class_names_can_be_given_for_any_checkpoint(network: Network, tmp_path: Path) -> None:
    path = save_model(network, tmp_path / "cells")
    assert [one.name for one in load_model(path, classes=["x", "y", "z"]).classes] == [
        "x",
        "y",
        "z",
    ]
    with pytest.raises(CheckpointError, match=r"tells 3 classes apart.*2 names were given: x, y"):
        load_model(path, classes=["x", "y"])


def test_bundled_models_load_by_name() -> None:
    names = bundled_models()
    if not names:
        pytest.skip("no checkpoint is bundled yet")
    for name in names:
        assert answer_shape(load_model(name))


def answer_shape(network: Network) -> bool:
    side = max(64, network.spec.stride)
    tile = torch.zeros(1, len(network.spec.channels), side, side)
    with torch.inference_mode():
        return network.logits(tile).shape == (1, network.spec.n_outputs, side, side)


def test_an_smp_folder_is_read_without_its_network_weights(tmp_path: Path) -> None:
    module = registry.build(Architecture("smp.Unet", {**RECIPE.arguments, "classes": 1}))
    module.config["encoder_weights"] = "imagenet"
    module.save_pretrained(tmp_path / "nuclei")
    for source in (tmp_path / "nuclei", tmp_path / "nuclei" / "model.safetensors"):
        back = load_model(source)
        assert back.spec.name == "nuclei"
        assert back.spec.task is Task.BINARY
        assert [one.name for one in back.classes] == ["background", "foreground"]
        assert back.spec.normalisation.kind is NormalisationKind.FIXED
        assert back.spec.normalisation.mean == pytest.approx((0.449,))
        assert (back.spec.channels, back.spec.stride) == (("grey",), 8)
        tile = torch.rand(1, 1, 64, 64)
        with torch.inference_mode():
            assert torch.equal(back.module(tile), module(tile))
    assert [one.name for one in load_model(tmp_path / "nuclei", classes=["cell"]).classes] == [
        "background",
        "cell",
    ]


def test_a_network_that_depends_on_the_tiles_size_says_so(tmp_path: Path) -> None:
    recipe = Architecture("smp.FPN", {"encoder_name": "resnet18", "classes": 2})
    registry.build(recipe).save_pretrained(tmp_path / "fpn")
    spec = load_model(tmp_path / "fpn").spec
    assert any("depends on the tile's size" in note for note in spec.global_context)
    assert spec.channels == ("red", "green", "blue")


def test_a_plain_unet_has_no_global_context(tmp_path: Path) -> None:
    registry.build(RECIPE).save_pretrained(tmp_path / "unet")
    assert load_model(tmp_path / "unet").spec.global_context == ()


WRAPPERS = {
    "bare": lambda weights: weights,
    "nested": lambda weights: {"epoch": 3, "state_dict": weights},
    "deeply nested": lambda weights: {"model": {"model_state_dict": weights}},
    "data parallel": lambda weights: {f"module.{k}": v for k, v in weights.items()},
    "compiled and wrapped twice": lambda weights: {
        "state_dict": {f"model._orig_mod.module.{k}": v for k, v in weights.items()}
        | {"mean": torch.zeros(3), "loss.weight": torch.zeros(3)}
    },
    "with numbers of numpy": lambda weights: {
        "model_state_dict": weights,
        "best": np.float64(0.5),
        "curve": np.arange(3.0),
    },
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_found_however_it_is_wrapped(
    network: Network, tmp_path: Path, wrapper: str, zipped: bool
) -> None:
    path = tmp_path / "weights.pt"
    content = WRAPPERS[wrapper](network.module.state_dict())
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    back = load_model(path, architecture=RECIPE)
    assert torch.equal(answer(back), answer(network))
    assert back.spec.name == "weights"


def test_the_number_of_classes_is_read_off_bare_weights(network: Network, tmp_path: Path) -> None:
    save_file(network.module.state_dict(), tmp_path / "bare.safetensors")
    unsaid = {name: value for name, value in RECIPE.arguments.items() if name != "classes"}
    back = load_model(
        tmp_path / "bare.safetensors",
        architecture=Architecture("unet", unsaid),
        classes=["a", "b", "c"],
    )
    assert back.architecture == RECIPE
    assert [one.name for one in back.classes] == ["a", "b", "c"]


def test_formats_are_told_by_content_not_by_suffix(network: Network, tmp_path: Path) -> None:
    saved = save_model(network, tmp_path / "m.safetensors")
    renamed = saved.rename(tmp_path / "m.pth")
    assert load_model(renamed).spec == network.spec


def test_a_network_of_unknown_making_is_not_saved(network: Network, tmp_path: Path) -> None:
    unknown = Network(network.module, network.spec)
    with pytest.raises(CheckpointError, match=r"how to build it is not known.*architecture"):
        save_model(unknown, tmp_path / "m")
    with pytest.raises(OutputError, match=r"not as \.pt\. Name the file m\.safetensors"):
        save_model(network, tmp_path / "m.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_does_not_exist_is_refused(network: Network, tmp_path: Path) -> None:
    path = save_model(network, tmp_path / "m")
    with pytest.raises(DeviceError, match="no device 'cuda:77'"):
        load_model(path, device="cuda:77")


def test_the_description_is_readable_by_others(network: Network, tmp_path: Path) -> None:
    path = save_model(network, tmp_path / "m")
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    description = json.loads(header["__metadata__"]["napari-tileseg"])
    assert description["format"] == "napari-tileseg"
    assert description["version"] == 1
    assert description["architecture"]["name"] == "smp.Unet"
    assert description["spec"]["classes"][2] == {"name": "border", "colour": "#e69f00"}
