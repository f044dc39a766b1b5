import sys
from importlib import import_module

import pytest
import torch

from napari_tileseg.engine.global_context import modules_with_global_context
from napari_tileseg.engine.spec import Architecture
from napari_tileseg.errors import CheckpointError, SettingsError, TilesegError
from napari_tileseg.models import libraries, registry
from napari_tileseg.models.arguments import read_arguments
from napari_tileseg.models.smp_decoders import SMP_DECODERS

SMALL = {"encoder_name": "resnet18", "in_channels": 2, "classes": 3}
VIT = {"encoder_name": "tu-vit_tiny_patch16_224", "in_channels": 2, "classes": 3}
SIZE_DEPENDENT = {"FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet", "Segformer"}


def recipe(name: str, **changes: object) -> Architecture:
    return Architecture(name, {**(VIT if name.endswith("DPT") else SMALL), **changes})


@pytest.mark.parametrize("name", SMP_DECODERS)
def test_every_architecture_answers_in_the_size_of_a_tile_on_its_stride(name: str) -> None:
    one = recipe(name)
    module = registry.build(one)
    stride = registry.facts(module, one).stride
    for rows, columns in ((1, 1), (2, 1), (2, 3)):
        if name.endswith("DPT") and rows != columns:
            continue  # it takes square tiles only where its positions are stretched
        tile = torch.zeros(1, 2, stride * rows, stride * columns)
        with torch.inference_mode():
            assert module(tile).shape == (1, 3, stride * rows, stride * columns)
    assert not module.training


@pytest.mark.parametrize("name", ["smp.UnetPlusPlus", "smp.PSPNet", "smp.DeepLabV3Plus", "smp.PAN"])
def test_half_a_stride_more_is_refused_by_the_network_itself(name: str) -> None:
    one = recipe(name)
    module = registry.build(one)
    side = registry.facts(module, one).stride * 2 + 4
    with torch.inference_mode(), pytest.raises(RuntimeError):
        module(torch.zeros(1, 2, side, side))


def test_architectures_that_see_the_tiles_size_say_so() -> None:
    noted = {
        name.removeprefix("smp.") for name, family in SMP_DECODERS.items() if family.size_dependent
    }
    assert noted == SIZE_DEPENDENT | {"DPT"}


def test_facts_hold_what_a_description_needs() -> None:
    one = recipe("smp.Unet", encoder_depth=3, decoder_channels=[32, 16, 8])
    known = registry.facts(registry.build(one), one)
    assert (known.stride, known.in_channels, known.outputs) == (8, 2, 3)
    assert known.size_dependent == ()


def test_names_are_found_without_prefix_and_in_any_case() -> None:
    assert registry.full_name("unet") == registry.full_name("SMP.UNET") == "smp.Unet"


@pytest.mark.parametrize("encoder", ["timm-tf_efficientnet_lite0", "mobilenet_v2", "resnet18"])
def test_the_idle_pooling_of_a_classifier_is_no_global_context(encoder: str) -> None:
    module = registry.build(recipe("smp.Unet", encoder_name=encoder))
    assert modules_with_global_context(module) == ()


def test_pooling_that_runs_is_global_context() -> None:
    module = registry.build(recipe("smp.Unet", decoder_attention_type="scse"))
    assert any("AdaptiveAvgPool2d" in one for one in modules_with_global_context(module))


def test_weights_are_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = import_module("huggingface_hub")
    smp_encoders = import_module("segmentation_models_pytorch.encoders")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("tried to download")

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    monkeypatch.setattr(smp_encoders, "hf_hub_download", refuse)
    registry.build(recipe("smp.Unet", encoder_weights="imagenet"))


def test_what_older_versions_called_otherwise_is_understood() -> None:
    module = registry.build(recipe("smp.Unet", decoder_use_batchnorm=False))
    assert not any("decoder" in name and "running_mean" in name for name in module.state_dict())


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("smp.Unett", {}, r"no architecture 'smp.Unett'.*mean 'smp.Unet'.*There are: .*smp\.DPT"),
        ("smp.Unet", {"encoder": "x"}, "no argument 'encoder'.*mean 'encoder_name'"),
        ("smp.Unet", {"checkpoint_path": "/etc/x"}, "no argument 'checkpoint_path'"),
        ("smp.Unet", {"encoder_name": "resnet17"}, "no encoder 'resnet17'.*Similar: resnet"),
        ("smp.Unet", {"encoder_name": "tu-hf-hub:a/b"}, "no encoder.*never fetched"),
        ("smp.Unet", {"encoder_name": 3}, "no encoder 3"),
        ("smp.Unet", {"activation": "softmax"}, "activation='softmax'.*activation=None"),
        ("smp.Unet", {"aux_params": {"classes": 2}}, "second, classifying head.*aux_params=None"),
        ("smp.Unet", {"classes": 0}, "classes of Unet is 0.*from 1 on"),
        ("smp.Unet", {"classes": 10**9}, "numbers up to 16,384"),
        ("smp.Unet", {"decoder_channels": object()}, "only text, numbers"),
        ("smp.Unet", {"encoder_depth": 3}, "cannot be built with.*trained with"),
        ("smp.FPN", {"upsampling": 2}, "16 px for a tile of 32 px.*upsampling"),
    ],
)
def test_a_wrong_recipe_is_explained(name: str, changes: dict[str, object], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        registry.build(recipe(name, **changes))


def test_a_torchvision_that_does_not_fit_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(libraries, "import_module", broken)
    with pytest.raises(TilesegError, match=r"torchvision \(\d.*torch \(\d.*pip install"):
        registry.build(recipe("smp.Unet"))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(TilesegError, match=r"segmentation-models-pytorch cannot be .* pip install"):
        registry.build(recipe("smp.Unet"))


@pytest.mark.parametrize(
    "encoder", ["tu-swinv2_cr_tiny_ns_224", "tu-swin_tiny_patch4_window7_224", "tu-hiera_tiny_224"]
)
def test_transformers_made_for_one_size_take_tiles_of_any(encoder: str) -> None:
    one = recipe("smp.Unet", encoder_name=encoder)
    module = registry.build(one)
    assert registry.facts(module, one).stride == 32
    assert any("Attention" in found for found in modules_with_global_context(module))
    with torch.inference_mode():
        for size in ((64, 96), (224, 224), (96, 64)):
            assert module(torch.zeros(1, 2, *size)).shape == (1, 3, *size)


def test_hiera_is_what_its_library_made_at_the_size_it_was_made_for() -> None:
    import timm

    module = registry.build(recipe("smp.Unet", encoder_name="tu-hiera_tiny_224", in_channels=3))
    theirs = timm.create_model("hiera_tiny_224", features_only=True).eval()
    theirs.load_state_dict(module.encoder.model.state_dict())
    tile = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        module(torch.rand(1, 3, 64, 96))  # another size before leaves nothing behind
        for ours, expected in zip(module.encoder(tile)[2:], theirs(tile), strict=True):
            assert torch.equal(ours, expected)


@pytest.mark.parametrize("name", SMP_DECODERS)
def test_every_argument_of_a_decoder_is_documented_and_every_default_fits(name: str) -> None:
    documented = registry.ARCHITECTURES[name].arguments()
    assert {"encoder_name", "in_channels", "classes"} <= {one.name for one in documented}
    assert not {"activation", "aux_params", "encoder_weights"} & {one.name for one in documented}
    for one in documented:
        assert one.about
        assert one.about != "See the library."
        assert not one.choices or one.default in one.choices


def test_arguments_are_read_as_a_person_writes_them() -> None:
    words = ["classes=3", "upsampling=bilinear", "decoder_channels=[64,32]", "gates=True", "x=None"]
    assert read_arguments(words) == {
        "classes": 3,
        "upsampling": "bilinear",
        "decoder_channels": [64, 32],
        "gates": True,
        "x": None,
    }
    for wrong in ("depth", "=3", "depth="):
        with pytest.raises(SettingsError, match="KEY=VALUE"):
            read_arguments([wrong])
