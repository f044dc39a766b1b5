"""The original U-Net as an architecture that files can name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.arguments import check_names, check_values
from napari_tileseg.models.facts import Facts
from napari_tileseg.models.unet_sizes import TRIM_PX, margin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

NAME = "original-unet"

_DEFAULTS = {
    "in_channels": 1,
    "classes": 2,
    "depth": 4,
    "base_channels": 64,
    "padding": "valid",
    "batch_norm": False,
    "upsampling": "transposed",
}
_CHOICES = {
    "depth": tuple(range(1, 7)),
    "padding": ("valid", "same"),
    "batch_norm": (False, True),
    "upsampling": tuple(TRIM_PX),
}
_WIDEST = 4096


class OriginalUnetFamily:
    """See `original_unet.OriginalUnet` for the arguments."""

    has_encoder = False

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
    check_names(NAME, arguments, _DEFAULTS)
    check_values(NAME, arguments)
    for name, choices in _CHOICES.items():
        if arguments[name] not in choices:
            raise CheckpointError(
                f"The argument {name} of {NAME} is {arguments[name]!r}; "
                f"it can be {', '.join(map(repr, choices))}."
            )
    widest = arguments["base_channels"] * 2 ** arguments["depth"]
    if widest > _WIDEST:
        raise CheckpointError(
            f"With base_channels={arguments['base_channels']} and depth={arguments['depth']}, the "
            f"lowest level of {NAME} would have {widest:,} channels; {_WIDEST:,} is the most. "
            "Give the arguments that the network was trained with."
        )
