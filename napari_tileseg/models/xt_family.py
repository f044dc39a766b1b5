"""xT as an architecture that files can name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.arguments import Argument, check, with_defaults
from napari_tileseg.models.building import built
from napari_tileseg.models.documented import CLASSES, ENCODER_NAME, IN_CHANNELS, UPSAMPLING
from napari_tileseg.models.encoders import check_encoder
from napari_tileseg.models.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

NAME = "xt"

_CELL = 32
_LARGEST_PX = 2048

_ARGUMENTS = (
    IN_CHANNELS,
    CLASSES,
    replace(
        ENCODER_NAME,
        default="tu-swinv2_tiny_window8_256",
        about="What sees a region: 'tu-' and a name of timm (convnext_tiny, hiera_tiny_224, ...), "
        "or any other encoder of segmentation-models-pytorch.",
    ),
    Argument(
        "region", 256, "The side of a region in pixels; a multiple of 32.", at_most=_LARGEST_PX
    ),
    Argument(
        "halo",
        32,
        "What is seen around a region, so that neighbours agree at their border, in pixels.",
    ),
    Argument(
        "attention",
        "full",
        "At what a region looks to know the whole: all others, those around it (window), those "
        "before it (memory, as in Transformer-XL), or nothing.",
        ("full", "window", "memory", "none"),
    ),
    Argument("reach", 1, "How many regions away those around it lie.", at_most=16),
    Argument("memory", 4, "How many regions before it are remembered.", at_most=256),
    Argument(
        "budget",
        16_384,
        "How many tokens are looked at one by one; in larger images far ones are summed up, so "
        "that the work grows with the image and not with its square.",
        at_most=16_384,
    ),
    Argument("dim", 256, "How many numbers a token has.", at_most=4096),
    Argument("blocks", 2, "How many blocks of attention there are.", at_most=48),
    Argument("heads", 4, "How many attentions run side by side in a block.", at_most=64),
    Argument("decoder", "unet", "What brings features back to pixels.", ("unet", "fpn")),
    Argument("width", 32, "How many channels the decoder has at its finest level.", at_most=1024),
    replace(UPSAMPLING, default="nearest"),
)


@dataclass(frozen=True)
class XtFamily:
    """See `xt.Xt` for what it is."""

    name: str = NAME
    summary: str = (
        "xT (2024): a network for regions, each of which knows the whole image through a context "
        "encoder; in mode 'context' images of any size."
    )
    has_encoder: bool = True

    def arguments(self) -> tuple[Argument, ...]:
        """Return what can be given, in the order of importance."""
        return _ARGUMENTS

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with random weights; `CheckpointError` if an argument is wrong."""
        given = {name: value for name, value in arguments.items() if name != "encoder_weights"}
        wanted = with_defaults(given, _ARGUMENTS)
        check(NAME, wanted, _ARGUMENTS)
        check_encoder(wanted["encoder_name"])
        _check_sizes(wanted)
        return built(
            NAME, given, lambda: _made(wanted), lambda module: _trial(module, wanted), "Its sizes"
        )

    def facts_of(self, module: nn.Module, arguments: Mapping[str, Any]) -> Facts:
        """Return what a description has to say about a module that `build` made."""
        said = with_defaults(arguments, _ARGUMENTS)
        looks = () if said["attention"] == "none" else ("every region looks at others",)
        return Facts(said["region"], looks, said["in_channels"], said["classes"])


def _made(wanted: dict[str, Any]) -> nn.Module:
    from napari_tileseg.models.xt import Xt

    return Xt(decoder_kind=wanted["decoder"], **{n: v for n, v in wanted.items() if n != "decoder"})


def _trial(module: nn.Module, wanted: dict[str, Any]) -> tuple[int, int]:
    """Run one region through the module; return its size and the answer's."""
    import torch

    side = wanted["region"]
    with torch.inference_mode():
        answer: torch.Tensor = module(torch.zeros(1, wanted["in_channels"], side, side))
    return side, int(answer.shape[-1])


def _check_sizes(wanted: Mapping[str, Any]) -> None:
    for name, least, multiple in (("region", _CELL, _CELL), ("halo", 0, _CELL), ("dim", 4, 4)):
        value = wanted[name]
        if type(value) is not int or value < least or value % multiple:
            raise CheckpointError(
                f"The argument {name} of {NAME} is {value!r}; it has to be a multiple of "
                f"{multiple}, from {least} on."
            )
    if wanted["halo"] > wanted["region"]:
        raise CheckpointError(
            f"{NAME} would show {wanted['halo']} px around regions of {wanted['region']} px; "
            "a halo is no larger than its region."
        )
    if wanted["dim"] % wanted["heads"]:
        raise CheckpointError(
            f"The argument dim of {NAME} is {wanted['dim']}, which cannot be shared out among "
            f"{wanted['heads']} heads. Choose a multiple of {wanted['heads']}."
        )


XT = XtFamily()
