"""Networks to be recognised by their weights: every decoder, five encoders, odd arguments."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

_FIVE = ("resnet34", "efficientnet-b0", "mobilenet_v2", "tu-convnext_atto", "vgg13_bn")
_DILATED = ("resnet34", "efficientnet-b0", "mobilenet_v2", "tu-convnext_atto", "tu-resnest14d")
_TRANSFORMERS = (
    "tu-vit_tiny_patch16_224",
    "tu-vit_small_patch16_224",
    "tu-vit_small_patch32_224",
    "tu-vit_base_patch16_224",
    "tu-vit_base_patch8_224",
)
_SMALL = [48, 32, 24, 16, 8]
_INSTANCE = {"type": "instancenorm", "affine": True}

_ODD: dict[str, tuple[tuple[str, ...], tuple[dict[str, Any], ...]]] = {
    "Unet": (
        ("mit_b0", *_FIVE[1:]),
        (
            {"decoder_channels": _SMALL, "decoder_interpolation": "bilinear", "in_channels": 5},
            {"decoder_attention_type": "scse", "classes": 7},
            {"encoder_depth": 3, "decoder_channels": [40, 20, 10], "in_channels": 1},
            {"decoder_use_norm": _INSTANCE, "decoder_channels": _SMALL},
            {"decoder_use_norm": False, "classes": 2},
        ),
    ),
    "UnetPlusPlus": (
        _FIVE,
        (
            {"decoder_channels": _SMALL, "in_channels": 2},
            {"decoder_attention_type": "scse", "decoder_channels": _SMALL, "classes": 4},
            {"encoder_depth": 4, "decoder_channels": [64, 32, 24, 8]},
            {"decoder_use_norm": "identity", "decoder_channels": _SMALL},
            {"decoder_use_norm": _INSTANCE, "in_channels": 1},
        ),
    ),
    "MAnet": (
        _FIVE,
        (
            {"decoder_pab_channels": 32, "classes": 9},
            {"decoder_channels": _SMALL, "in_channels": 4},
            {"encoder_depth": 4, "decoder_channels": [64, 32, 24, 8]},
            {"decoder_interpolation": "bicubic"},
            {"decoder_use_norm": "identity", "decoder_channels": _SMALL, "in_channels": 1},
        ),
    ),
    "Linknet": (
        _FIVE,
        (
            {"classes": 5},
            {"in_channels": 1, "encoder_depth": 4},
            {"decoder_use_norm": _INSTANCE},
            {"in_channels": 6, "classes": 3},
            {"decoder_use_norm": False, "encoder_depth": 3},
        ),
    ),
    "FPN": (
        ("mit_b0", *_FIVE[1:]),
        (
            {"decoder_pyramid_channels": 96, "decoder_segmentation_channels": 64},
            {"decoder_merge_policy": "cat", "classes": 4},
            {"encoder_depth": 4, "upsampling": 2, "in_channels": 1},
            {"decoder_segmentation_channels": 32, "decoder_merge_policy": "cat"},
            {"in_channels": 7, "classes": 12},
        ),
    ),
    "PSPNet": (
        _FIVE,
        (
            {"psp_out_channels": 128},
            {"encoder_depth": 4, "upsampling": 16, "classes": 3},
            {"in_channels": 1, "decoder_use_norm": False},
            {"encoder_depth": 5, "upsampling": 32},
            {"classes": 2, "in_channels": 4},
        ),
    ),
    "DeepLabV3": (
        _DILATED,
        (
            {"decoder_channels": 64, "decoder_atrous_rates": [6, 12, 18]},
            {"decoder_aspp_separable": True, "classes": 4},
            {"encoder_output_stride": 16, "in_channels": 1},
            {"decoder_channels": 48, "in_channels": 5},
            {"encoder_depth": 4, "decoder_channels": 96},
        ),
    ),
    "DeepLabV3Plus": (
        _DILATED,
        (
            {"decoder_channels": 64, "decoder_atrous_rates": [6, 12, 18]},
            {"decoder_aspp_separable": False, "classes": 4},
            {"encoder_output_stride": 8, "in_channels": 1},
            {"decoder_channels": 48, "in_channels": 5},
            {"encoder_depth": 4, "decoder_channels": 96},
        ),
    ),
    "PAN": (
        _DILATED,
        (
            {"decoder_channels": 64},
            {"encoder_output_stride": 32, "classes": 4},
            {"in_channels": 1, "encoder_depth": 4},
            {"decoder_interpolation": "nearest", "in_channels": 5},
            {"decoder_channels": 96, "classes": 3},
        ),
    ),
    "UPerNet": (
        ("mit_b0", *_FIVE[1:]),
        (
            {"decoder_channels": 64},
            {"decoder_use_norm": "identity", "classes": 4},
            {"in_channels": 1, "encoder_depth": 4, "decoder_channels": 96},
            {"decoder_channels": 48, "in_channels": 5},
            {"decoder_use_norm": _INSTANCE, "classes": 3},
        ),
    ),
    "Segformer": (
        ("mit_b0", *_FIVE[1:]),
        (
            {"decoder_segmentation_channels": 64},
            {"classes": 4, "in_channels": 2},
            {"in_channels": 1, "encoder_depth": 4},
            {"decoder_segmentation_channels": 96, "in_channels": 5},
            {"classes": 3},
        ),
    ),
    "DPT": (
        _TRANSFORMERS,
        (
            {"decoder_fusion_channels": 64, "decoder_intermediate_channels": [32, 64, 96, 128]},
            {"decoder_readout": "ignore", "classes": 4},
            {"decoder_readout": "add", "in_channels": 1},
            {"encoder_depth": 3, "decoder_intermediate_channels": [64, 64, 64]},
            {"classes": 3, "in_channels": 5},
        ),
    ),
}

CASES: list[tuple[str, dict[str, Any]]] = [
    (f"smp.{decoder}", {"encoder_name": encoder, **odd})
    for decoder, (encoders, oddities) in _ODD.items()
    for encoder, odd in zip(encoders, oddities, strict=True)
]
"""Names and arguments of 60 networks."""


def shapes_of_case(name: str, arguments: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes in the state dict of a network of the library."""
    import segmentation_models_pytorch as smp

    make = getattr(smp, name.removeprefix("smp."))
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        try:
            module: nn.Module = make(**arguments, encoder_weights=None)
        except (NotImplementedError, RuntimeError):
            with torch.device("cpu"):
                module = make(**arguments, encoder_weights=None)
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}


def verdict(found: list[Any], name: str, arguments: dict[str, Any]) -> str:
    """Say "right", "unknown", "ambiguous" or "wrong", as `recognise` answered."""
    if not found:
        return "unknown"
    if len(found) > 1:
        return "ambiguous"
    (one,) = found
    unseen = {each.argument for each in one.unseen}
    differing = {
        key: one.arguments.get(key)
        for key, value in arguments.items()
        if key not in unseen and _meant(key, one.arguments.get(key)) != _meant(key, value)
    }
    return "wrong" if differing or one.name != name else "right"


_USUAL = {
    "classes": 1,
    "in_channels": 3,
    "decoder_merge_policy": "add",
    "decoder_use_norm": "batchnorm",
    "decoder_readout": "cat",
    "encoder_depth": 5,
}


def _meant(key: str, value: Any) -> Any:
    if value is None:
        return _USUAL.get(key)
    return "identity" if value is False else value
