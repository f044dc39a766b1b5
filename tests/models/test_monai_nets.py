import subprocess
import sys
from pathlib import Path

import pytest
import torch

from napari_tileseg.engine.global_context import modules_with_global_context, with_facts
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec, default_classes
from napari_tileseg.errors import CheckpointError, TilesegError
from napari_tileseg.io.checkpoints import load_model, save_model
from napari_tileseg.models import registry

BASIC = {"features": [4, 4, 4, 4, 4, 4], "norm": "batch"}
UNET = {"channels": [4, 8, 8], "strides": [2, 2], "norm": "batch", "num_res_units": 1}
RESIDUAL = {"init_filters": 8, "norm": "batch", "blocks_down": [1, 1, 1], "blocks_up": [1, 1]}
ARGUMENTS = {
    "monai.BasicUNet": BASIC,
    "monai.UNet": UNET,
    "monai.AttentionUnet": {"channels": [4, 8, 8], "strides": [2, 2]},
    "monai.BasicUNetPlusPlus": BASIC,
    "monai.SegResNet": {**RESIDUAL, "upsample_mode": "deconv"},
}
STRIDES = {
    "monai.BasicUNet": 16,
    "monai.UNet": 4,
    "monai.AttentionUnet": 4,
    "monai.BasicUNetPlusPlus": 16,
    "monai.SegResNet": 4,
}


def test_without_monai_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monai", None)
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    with pytest.raises(TilesegError, match=r'pip install "napari-tileseg\[monai\]"'):
        registry.build(Architecture("monai.BasicUNet", BASIC))


def test_monai_is_not_loaded_by_looking_at_what_there_is() -> None:
    code = "import sys; from napari_tileseg.models import registry; print('monai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def recipe(name: str, dims: int, **changes: object) -> Architecture:
    pytest.importorskip("monai", reason="MONAI is an extra")
    own = ARGUMENTS.get(name, {})
    arguments = {"spatial_dims": dims, "in_channels": 2, "out_channels": 3, **own}
    return Architecture(name, {**arguments, **changes})


def described(one: Architecture) -> Network:
    torch.manual_seed(0)
    module = registry.build(one)
    spec = ModelSpec("m", default_classes(3), channels=("a", "b"))
    return Network(module, with_facts(spec, module, registry.facts(module, one)), one)


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("dims", [2, 3])
def test_its_facts_are_those_of_its_arguments(name: str, dims: int) -> None:
    network = described(recipe(name, dims))
    spec = network.spec
    stride = STRIDES[name]
    assert (spec.stride, spec.spatial_dims, spec.margin, spec.n_outputs) == (stride, dims, 0, 3)
    local = name != "monai.AttentionUnet"  # it has InstanceNorm, whatever is asked for
    assert (spec.global_context == ()) == local
    sizes = (stride, 2 * stride, 3 * stride)[:dims]
    with torch.inference_mode():
        assert network.logits(torch.zeros(1, 2, *sizes)).shape == (1, 3, *sizes)


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("dims", [2, 3])
def test_it_comes_back_from_a_file(name: str, dims: int, tmp_path: Path) -> None:
    network = described(recipe(name, dims))
    back = load_model(save_model(network, tmp_path / "m"))
    assert (back.spec, back.architecture) == (network.spec, network.architecture)
    tile = torch.rand(1, 2, *(32,) * dims)
    with torch.inference_mode():
        assert torch.equal(back.logits(tile), network.logits(tile))


def test_bare_weights_of_a_volume_get_a_tile_that_fits_into_memory(tmp_path: Path) -> None:
    one = recipe("monai.BasicUNet", 3)
    torch.save(registry.build(one).state_dict(), tmp_path / "weights.pt")
    spec = load_model(tmp_path / "weights.pt", architecture=one, classes=["a", "b", "c"]).spec
    assert (spec.spatial_dims, spec.tile, spec.stride) == (3, 96, 16)


def test_classes_mean_the_same_as_for_every_other_architecture() -> None:
    one = recipe("monai.UNet", 2)
    arguments = {name: value for name, value in one.arguments.items() if name != "out_channels"}
    other = Architecture("monai.unet", {**arguments, "classes": 5})
    assert registry.facts(registry.build(other), other).outputs == 5


def test_the_name_of_two_networks_means_the_one_that_is_always_there() -> None:
    assert registry.full_name("unet") == "smp.Unet"
    assert registry.full_name("monai.unet") == "monai.UNet"
    assert registry.full_name("BasicUNet") == "monai.BasicUNet"


def test_strides_may_differ_between_axes() -> None:
    one = recipe("monai.UNet", 3, strides=[[1, 2, 2], 2])
    assert registry.facts(registry.build(one), one).stride == 4


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, None),
        ({"norm": "instance"}, "InstanceNorm2d"),
        ({"norm": ["group", {"num_groups": 2}]}, "GroupNorm"),
        ({"upsample": "nontrainable"}, "Upsample"),
    ],
)
def test_layers_that_look_at_everything_are_named(changes: dict, named: str | None) -> None:
    found = modules_with_global_context(registry.build(recipe("monai.BasicUNet", 2, **changes)))
    assert all(str(named) in one for one in found)
    assert bool(found) == (named is not None)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("monai.BasicUNet", {"spatial_dims": 1}, "spatial_dims of BasicUNet is 1; it can be 2"),
        ("monai.BasicUNet", {"feature": 3}, "no argument 'feature'.*mean 'features'"),
        ("monai.BasicUNet", {"norm": "nothing"}, "cannot be built with.*trained with"),
        ("monai.BasicUNet", {"out_channels": 0}, "out_channels of BasicUNet is 0"),
        ("monai.UNet", {"strides": "ab"}, "cannot be built with"),
        ("monai.UNet", {"up_kernel_size": 4}, "cannot be built with"),
    ],
)
def test_a_wrong_recipe_is_explained(name: str, changes: dict[str, object], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        registry.build(recipe(name, 2, **changes))


def test_what_monai_cannot_guess_has_to_be_given() -> None:
    pytest.importorskip("monai", reason="MONAI is an extra")
    with pytest.raises(CheckpointError, match="without channels, strides"):
        registry.build(Architecture("monai.UNet", {"spatial_dims": 2}))


def test_normalising_over_all_of_a_tile_is_found_in_a_residual_network_as_it_is_by_default() -> (
    None
):
    arguments = {"spatial_dims": 2, "in_channels": 1, "classes": 2}
    found = modules_with_global_context(registry.build(Architecture("monai.SegResNet", arguments)))
    assert any("GroupNorm" in one for one in found)


def swin(**arguments: object) -> Architecture:
    return recipe("monai.SwinUNETR", 2, feature_size=12, **arguments)


def test_windowed_attention_is_named() -> None:
    pytest.importorskip("einops", reason="SwinUNETR also needs einops")
    module = registry.build(swin())
    assert registry.facts(module, swin()).stride == 32
    assert any("WindowAttention" in found for found in modules_with_global_context(module))


def test_what_windowed_attention_needs_besides_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("monai", reason="MONAI is an extra")
    from monai.networks.nets import swin_unetr
    from monai.utils import optional_import

    # as MONAI has it where there is no einops
    missing, _ = optional_import("einops_that_nobody_has", name="rearrange")
    monkeypatch.setattr(swin_unetr, "rearrange", missing)
    with pytest.raises(CheckpointError, match="einops"):
        registry.build(swin())


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_argument_is_documented(name: str) -> None:
    pytest.importorskip("monai", reason="MONAI is an extra")
    documented = {one.name: one for one in registry.ARCHITECTURES[name].arguments()}
    assert {"spatial_dims", "in_channels", "out_channels"} <= documented.keys()
    assert all(one.about for one in documented.values())
    needed = {one.name: one.default for one in documented.values() if one.required}
    changes = {one: needed[one] for one in ("channels", "strides") if one in needed}
    registry.build(
        Architecture(name, {"spatial_dims": 2, "in_channels": 1, "classes": 2, **changes})
    )
