"""The original U-Net as an architecture that files can name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.arguments import Argument, check
from napari_tileseg.models.documented import CLASSES, UPSAMPLING
from napari_tileseg.models.facts import Facts
from napari_tileseg.models.unet_sizes import TRIM_PX, margin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

NAME = "original-unet"

_ARGUMENTS = (
    Argument("in_channels", 1, "How many channels of an image it reads."),
    CLASSES,
    Argument("depth", 4, "How often it halves its input.", tuple(range(1, 7))),
    Argument(
        "base_channels",
        64,
        "How many channels its first level has; each level below has twice as many.",
    ),
    Argument(
        "padding",
        "valid",
        "'valid' as in the paper: it answers for less than it is shown, and can be used, but not "
        "trained here. 'same': it answers for all of a tile.",
        ("valid", "same"),
    ),
    Argument(
        "batch_norm", False, "Whether convolutions are followed by normalisation.", (False, True)
    ),
    Argument("upsampling", "transposed", UPSAMPLING.about, tuple(TRIM_PX)),
)
_DEFAULTS = {one.name: one.default for one in _ARGUMENTS}
_WIDEST = 4096


class OriginalUnetFamily:
    """See `original_unet.OriginalUnet` for the arguments."""

    has_encoder = False
    summary = "The U-Net as it was published in 2015, with or without padding."

    def arguments(self) -> tuple[Argument, ...]:
        """Return what can be given."""
        return _ARGUMENTS

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with random weights; `CheckpointError` if an argument is wrong."""
        from napari_tileseg.models.original_unet import OriginalUnet

        _check({**_DEFAULTS, **arguments})
        return OriginalUnet(**arguments)

    def facts_of(self, module: nn.Module, arguments: Mapping[str, Any]) -> Facts:
        """Return what a description has to say about a module that `build` made."""
        said = {**_DEFAULTS, **arguments}
        valid = said["padding"] == "valid"
        return Facts(
            stride=2 ** said["depth"],
            size_dependent=(),
            in_channels=said["in_channels"],
            outputs=said["classes"],
            margin=margin_of(said["depth"], TRIM_PX[said["upsampling"]]) if valid else 0,
        )


def _check(arguments: Mapping[str, Any]) -> None:
    check(NAME, arguments, _ARGUMENTS)
    widest = arguments["base_channels"] * 2 ** arguments["depth"]
    if widest > _WIDEST:
        raise CheckpointError(
            f"With base_channels={arguments['base_channels']} and depth={arguments['depth']}, the "
            f"lowest level of {NAME} would have {widest:,} channels; {_WIDEST:,} is the most. "
            "Give the arguments that the network was trained with."
        )
