"""Decoders of segmentation-models-pytorch: which one weights belong to, and its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_tileseg.models.recognised import Unseen

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_tileseg.models.recognised import Shapes


@dataclass(frozen=True)
class Reading:
    """What the decoder's tensors say.

    Attributes
    ----------
    name
        The class in the library.
    arguments
        All that can be read off the decoder and the head.
    depths
        Depths of the encoder that are possible, the usual one first.
    unseen
        What cannot be read off.
    """

    name: str
    arguments: dict[str, Any]
    depths: tuple[int, ...]
    unseen: tuple[Unseen, ...] = ()


def read_decoder(shapes: Shapes) -> Reading | None:
    """Return what the tensors of a whole network say about its decoder; None if no decoder fits.

    Parameters
    ----------
    shapes
        Names as the library has them: "encoder...", "decoder...", "segmentation_head...".
    """
    reader = next((one for mark, one in _MARKS.items() if mark in shapes), None)
    if reader is None:
        return None
    try:
        return reader(shapes)
    except (KeyError, IndexError):
        return None  # it begins like one, but goes on differently


_UPSAMPLING_WAYS = ("nearest", "bilinear", "bicubic", "area", "nearest-exact")


def _interpolation(assumed: str = "nearest") -> Unseen:
    return Unseen("decoder_interpolation", "how its decoder upsamples", assumed, _UPSAMPLING_WAYS)


def _atrous(stride: int) -> tuple[Unseen, ...]:
    return (
        Unseen("decoder_atrous_rates", "its atrous rates", [12, 24, 36]),
        Unseen("encoder_output_stride", "its output stride", stride, (8, 16)),
    )


def _count(shapes: Shapes, pattern: str) -> int:
    number = 0
    while pattern.format(number) in shapes:
        number += 1
    return number


def _norm(shapes: Shapes, block: str) -> dict[str, Any]:
    """Tell how a block of convolution, normalisation and ReLU normalises."""
    if f"{block}.0.bias" in shapes:
        return {"decoder_use_norm": "identity"}
    if f"{block}.1.running_mean" in shapes:
        return {}
    return {"decoder_use_norm": {"type": "instancenorm", "affine": True}}


def _outputs(shapes: Shapes, layer: str = "0") -> dict[str, Any]:
    return {"classes": shapes[f"segmentation_head.{layer}.weight"][0]}


def _attention(shapes: Shapes, block: str) -> dict[str, Any]:
    has_scse = f"{block}.attention1.attention.cSE.1.weight" in shapes
    return {"decoder_attention_type": "scse"} if has_scse else {}


def _unet(shapes: Shapes) -> Reading:
    depth = _count(shapes, "decoder.blocks.{}.conv1.0.weight")
    channels = [shapes[f"decoder.blocks.{n}.conv1.0.weight"][0] for n in range(depth)]
    arguments = {
        **_outputs(shapes),
        "decoder_channels": channels,
        **_norm(shapes, "decoder.blocks.0.conv1"),
        **_attention(shapes, "decoder.blocks.0"),
    }
    return Reading("Unet", arguments, (depth,), (_interpolation(),))


def _unet_plus_plus(shapes: Shapes) -> Reading:
    depth = _count(shapes, "decoder.blocks.x_0_{}.conv1.0.weight")
    channels = [shapes[f"decoder.blocks.x_0_{n}.conv1.0.weight"][0] for n in range(depth)]
    arguments = {
        **_outputs(shapes),
        "decoder_channels": channels,
        **_norm(shapes, "decoder.blocks.x_0_0.conv1"),
        **_attention(shapes, "decoder.blocks.x_0_0"),
    }
    return Reading("UnetPlusPlus", arguments, (depth,), (_interpolation(),))


def _manet(shapes: Shapes) -> Reading:
    depth = _count(shapes, "decoder.blocks.{}.conv1.0.weight")
    channels = [shapes[f"decoder.blocks.{n}.conv1.0.weight"][0] for n in range(depth)]
    arguments = {
        **_outputs(shapes),
        "decoder_channels": channels,
        "decoder_pab_channels": shapes["decoder.center.top_conv.weight"][0],
        **_norm(shapes, "decoder.blocks.0.conv1"),
    }
    return Reading("MAnet", arguments, (depth,), (_interpolation(),))


def _linknet(shapes: Shapes) -> Reading:
    depth = _count(shapes, "decoder.blocks.{}.block.0.0.weight")
    norm = _norm(shapes, "decoder.blocks.0.block.0")
    return Reading("Linknet", {**_outputs(shapes), **norm}, (depth,))


def _fpn(shapes: Shapes) -> Reading:
    each = shapes["decoder.seg_blocks.0.block.0.block.0.weight"][0]
    arguments = {
        **_outputs(shapes),
        "decoder_pyramid_channels": shapes["decoder.p5.weight"][0],
        "decoder_segmentation_channels": each,
        "decoder_merge_policy": (
            "add" if shapes["segmentation_head.0.weight"][1] == each else "cat"
        ),
    }
    return Reading("FPN", arguments, (5, 4, 3), (_interpolation(),))


def _pspnet(shapes: Shapes) -> Reading:
    arguments = {
        **_outputs(shapes),
        "psp_out_channels": shapes["decoder.conv.0.weight"][0],
        **_norm(shapes, "decoder.conv"),
    }
    return Reading("PSPNet", arguments, (3, 4, 5, 2, 1))


def _deeplab(shapes: Shapes) -> Reading:
    arguments = {
        **_outputs(shapes),
        "decoder_channels": shapes["decoder.aspp.convs.0.0.weight"][0],
        "decoder_aspp_separable": "decoder.aspp.convs.1.0.1.weight" in shapes,
    }
    return Reading("DeepLabV3", arguments, (5, 4, 3, 2, 1), _atrous(8))


def _deeplab_plus(shapes: Shapes) -> Reading:
    arguments = {
        **_outputs(shapes),
        "decoder_channels": shapes["decoder.aspp.0.convs.0.0.weight"][0],
        "decoder_aspp_separable": "decoder.aspp.0.convs.1.0.1.weight" in shapes,
    }
    return Reading("DeepLabV3Plus", arguments, (5, 4, 3), _atrous(16))


def _pan(shapes: Shapes) -> Reading:
    depth = 3 + sum(f"decoder.gau{n}.conv2.conv.weight" in shapes for n in (2, 3))
    arguments = {
        **_outputs(shapes),
        "decoder_channels": shapes["decoder.fpa.branch1.1.conv.weight"][0],
    }
    stride = Unseen("encoder_output_stride", "its output stride", 16, (16, 32))
    return Reading("PAN", arguments, (depth,), (_interpolation("bilinear"), stride))


def _upernet(shapes: Shapes) -> Reading:
    arguments = {
        **_outputs(shapes),
        "decoder_channels": shapes["decoder.fusion_block.0.weight"][0],
        **_norm(shapes, "decoder.fusion_block"),
    }
    return Reading("UPerNet", arguments, (_count(shapes, "decoder.feature_norms.{}.weight") + 1,))


def _segformer(shapes: Shapes) -> Reading:
    levels = _count(shapes, "decoder.mlp_stage.{}.linear.weight")
    arguments = {
        **_outputs(shapes),
        "decoder_segmentation_channels": shapes["decoder.fuse_stage.0.weight"][0],
    }
    # encoders that begin with patches of 4 px have no features at half the resolution
    return Reading("Segformer", arguments, (levels, levels + 1))


def _dpt(shapes: Shapes) -> Reading:
    block = "decoder.reassemble_blocks.{}"
    depth = _count(shapes, f"{block}.project_to_out_channel.weight")
    middle = [shapes[f"{block.format(n)}.project_to_out_channel.weight"][0] for n in range(depth)]
    arguments = {
        **_outputs(shapes, "head.4"),
        "decoder_intermediate_channels": middle,
        "decoder_fusion_channels": shapes[f"{block.format(0)}.project_to_feature_dim.weight"][0],
    }
    layers = Unseen("encoder_output_indices", "which layers of its encoder are used", None)
    if "decoder.projection_blocks.0.project.0.weight" in shapes:
        return Reading("DPT", arguments, (depth,), (layers,))
    arguments["decoder_readout"] = "ignore"
    readout = Unseen("decoder_readout", "how it reads its class token", "ignore", ("ignore", "add"))
    return Reading("DPT", arguments, (depth,), (readout, layers))


_MARKS: dict[str, Callable[[Shapes], Reading]] = {
    "decoder.reassemble_blocks.0.project_to_out_channel.weight": _dpt,
    "decoder.blocks.x_0_0.conv1.0.weight": _unet_plus_plus,
    "decoder.center.top_conv.weight": _manet,
    "decoder.blocks.0.block.0.0.weight": _linknet,
    "decoder.blocks.0.conv1.0.weight": _unet,
    "decoder.p5.weight": _fpn,
    "decoder.psp.blocks.0.pool.1.0.weight": _pspnet,
    "decoder.aspp.convs.0.0.weight": _deeplab,
    "decoder.aspp.0.convs.0.0.weight": _deeplab_plus,
    "decoder.fpa.mid.0.conv.weight": _pan,
    "decoder.feature_norms.0.weight": _upernet,
    "decoder.mlp_stage.0.linear.weight": _segformer,
}
"""A tensor that only one decoder has, and what reads it; the more particular ones first."""
