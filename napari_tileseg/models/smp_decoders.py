"""The decoders of segmentation-models-pytorch, each with any of its encoders."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.arguments import check_names, check_values
from napari_tileseg.models.building import built
from napari_tileseg.models.encoders import ENCODER_OPTIONS, check_encoder
from napari_tileseg.models.facts import Facts
from napari_tileseg.models.libraries import import_smp

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

_ALIGNED = "depends on the tile's size (resizes with aligned corners)"
_POOLED = "depends on the tile's size (pools over the whole tile)"
_ATTENDS = "depends on the tile's size (attends to the whole tile)"

_IGNORED = ("encoder_weights",)
"""Where the weights once came from: said in many files, never acted upon."""

_FORMER = {
    "decoder_use_batchnorm": "decoder_use_norm",
    "psp_use_batchnorm": "decoder_use_norm",
}


@dataclass(frozen=True)
class SmpDecoder:
    """One class of segmentation-models-pytorch.

    Attributes
    ----------
    class_name
        Its name in the library.
    coarsest
        How much further than its encoder the decoder downsamples.
    size_dependent
        See `facts.Facts`.
    defaults
        Arguments that we set where a file does not.
    """

    class_name: str
    coarsest: int = 1
    size_dependent: tuple[str, ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()
    has_encoder: ClassVar[bool] = True

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with random weights; `CheckpointError` if an argument is wrong."""
        maker = getattr(import_smp(), self.class_name)
        wanted = dict(self.defaults) | _modern(arguments)
        self._check(wanted, inspect.signature(maker.__init__))
        return built(
            self.class_name,
            wanted,
            lambda: maker(**wanted, encoder_weights=None),
            lambda module: self._trial(module, wanted),
            "Its arguments upsampling, encoder_depth and encoder_output_stride",
        )

    def facts_of(self, module: nn.Module, arguments: Mapping[str, Any]) -> Facts:
        """Return what a description has to say about a module that `build` made."""
        encoder: Any = module.encoder
        return Facts(
            stride=int(encoder.output_stride) * self.coarsest,
            size_dependent=self.size_dependent,
            in_channels=arguments.get("in_channels", 3),
            outputs=arguments.get("classes", 1),
        )

    def _trial(self, module: nn.Module, arguments: Mapping[str, Any]) -> tuple[int, int]:
        """Run a small tile through the module; return its size and the answer's."""
        import torch

        side = int(arguments.get("img_size") or max(self.facts_of(module, arguments).stride, 32))
        ran: set[nn.Module] = set()
        hooks = [
            one.register_forward_pre_hook(lambda one, _: ran.add(one)) for one in module.modules()
        ]
        try:
            with torch.inference_mode():
                answer: torch.Tensor = module(
                    torch.zeros(1, arguments.get("in_channels", 3), side, side)
                )
        finally:
            for hook in hooks:
                hook.remove()
        _drop_idle_pools(module, ran)
        return side, int(answer.shape[-1])

    def _check(self, arguments: Mapping[str, Any], signature: inspect.Signature) -> None:
        if arguments.get("activation") not in (None, "identity"):
            raise CheckpointError(
                f"This {self.class_name} ends with activation={arguments['activation']!r}. "
                "Tiles are blended as raw logits, before any softmax or sigmoid: save the "
                "network with activation=None (the weights stay the same)."
            )
        if arguments.get("aux_params") is not None:
            raise CheckpointError(
                f"This {self.class_name} has a second, classifying head (aux_params), which a "
                "segmentation has no use for. Save the network with aux_params=None and without "
                "the weights that begin with 'classification_head'."
            )
        allowed = set(signature.parameters) - {"self", "kwargs"} | ENCODER_OPTIONS
        check_names(self.class_name, arguments, allowed)
        check_values(self.class_name, arguments)
        check_encoder(arguments.get("encoder_name", "resnet34"))


def _drop_idle_pools(module: nn.Module, ran: set[nn.Module]) -> None:
    """Replace the pools of a classifier that is not there.

    They never run, but look as if the network pooled over its whole input.
    """
    from torch import nn

    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if child not in ran and "Pool" in type(child).__name__ and not child.state_dict():
                setattr(part, name, nn.Identity())


def _modern(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Rename what older versions of the library called otherwise, and drop what is ignored."""
    renamed = {_FORMER.get(name, name): value for name, value in arguments.items()}
    return {name: value for name, value in renamed.items() if name not in _IGNORED}


SMP_DECODERS = {
    f"smp.{one.class_name}": one
    for one in (
        SmpDecoder("Unet"),
        SmpDecoder("UnetPlusPlus"),
        SmpDecoder("MAnet"),
        SmpDecoder("Linknet"),
        SmpDecoder("FPN", size_dependent=(_ALIGNED,)),
        SmpDecoder("PSPNet", size_dependent=(_ALIGNED, _POOLED)),
        SmpDecoder("DeepLabV3", size_dependent=(_ALIGNED, _POOLED)),
        SmpDecoder("DeepLabV3Plus", size_dependent=(_ALIGNED, _POOLED)),
        # three more poolings inside its attention pyramid
        SmpDecoder("PAN", coarsest=8, size_dependent=(_ALIGNED, _POOLED)),
        SmpDecoder("UPerNet", size_dependent=(_ALIGNED, _POOLED)),
        SmpDecoder("Segformer", size_dependent=(_ALIGNED,)),
        # its coarsest level has half the resolution of the patches
        SmpDecoder(
            "DPT",
            coarsest=2,
            size_dependent=(_ALIGNED, _ATTENDS),
            defaults=(
                ("encoder_name", "tu-vit_base_patch16_224.augreg_in21k"),
                ("dynamic_img_size", True),
            ),
        ),
    )
}
