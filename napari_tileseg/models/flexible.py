"""U-Nets of segmentation-models-pytorch with a choice of upsampling, and gated skips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_tileseg.models.arguments import Argument
from napari_tileseg.models.documented import UPSAMPLING
from napari_tileseg.models.smp_decoders import SmpDecoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

_DECODERS = ("Unet", "UnetPlusPlus")
_DECODER = Argument(
    "decoder", "Unet", "Which decoder of segmentation-models-pytorch it is.", _DECODERS
)
_GATES = Argument(
    "gates",
    False,
    "Whether each skip passes a gate that the level below opens (Oktay et al., 2018).",
    (False, True),
)
_REPLACED = ("decoder_interpolation",)


@dataclass(frozen=True)
class FlexibleUnet(SmpDecoder):
    """A U-Net or U-Net++ of the library whose blocks upsample as it is asked for.

    Attributes
    ----------
    name
        How it is registered.
    gates
        Whether skips are gated unless it is said otherwise.
    """

    name: str = "flexible-unet"
    gates: bool = False

    def arguments(self) -> tuple[Argument, ...]:
        """Return what can be given."""
        theirs = (one for one in super().arguments() if one.name not in _REPLACED)
        return (_DECODER, UPSAMPLING, replace(_GATES, default=self.gates), *theirs)

    def _made(self, arguments: Mapping[str, Any]) -> nn.Module:
        from napari_tileseg.models.flexible_blocks import let_blocks_upsample

        theirs = dict(arguments)
        decoder = theirs.pop(_DECODER.name, _DECODER.default)
        upsampling = theirs.pop(UPSAMPLING.name, UPSAMPLING.default)
        gates = theirs.pop(_GATES.name, self.gates)
        module = replace(self, class_name=decoder)._library_made(theirs)
        let_blocks_upsample(module, upsampling, gates=gates)
        return module

    def _library_made(self, arguments: Mapping[str, Any]) -> nn.Module:
        return super()._made(arguments)


FLEXIBLE_UNETS = {
    one.name: one
    for one in (
        FlexibleUnet("Unet", "A U-Net or U-Net++ with any encoder and any way of upsampling."),
        FlexibleUnet(
            "Unet",
            "Attention U-Net with any encoder: gates on the skips (Oktay et al., 2018).",
            name="attention-unet",
            gates=True,
        ),
    )
}
