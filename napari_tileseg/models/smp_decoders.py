"""The decoders of segmentation-models-pytorch, each with any of its encoders."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.arguments import Argument, check_choice, check_names, check_values
from napari_tileseg.models.building import built
from napari_tileseg.models.documented import CLASSES, ENCODER_NAME, IN_CHANNELS
from napari_tileseg.models.encoders import ENCODER_OPTIONS, check_encoder, sizes_freely
from napari_tileseg.models.facts import Facts
from napari_tileseg.models.libraries import import_smp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch
    from torch import nn

_ALIGNED = "depends on the tile's size (resizes with aligned corners)"
_POOLED = "depends on the tile's size (pools over the whole tile)"
_ATTENDS = "depends on the tile's size (attends to the whole tile)"
_BOTH = (_ALIGNED, _POOLED)

_IGNORED = ("encoder_weights",)
"""Where the weights once came from: said in many files, never acted upon."""

_REFUSED = ("activation", "aux_params")
"""Arguments of the library that have a single value that fits a segmentation."""

_ABOUT = {
    "encoder_depth": "How often the encoder halves its input.",
    "encoder_output_stride": "How far the encoder downsamples; less is finer and dearer.",
    "decoder_channels": "How many channels the decoder has, on each level from the coarsest on.",
    "decoder_use_norm": "How the decoder normalises: 'batchnorm', 'groupnorm', 'layernorm', ...",
    "decoder_attention_type": "'scse' weighs channels and places after each level.",
    "decoder_interpolation": "How the decoder brings features to twice their size.",
    "decoder_interpolation_mode": "How the decoder brings features to twice their size.",
    "decoder_aspp_separable": "Whether its convolutions go through each channel by itself first.",
    "decoder_readout": "What becomes of the tokens that stand for no place.",
    "decoder_intermediate_channels": "How many channels each level is brought to.",
    "decoder_fusion_channels": "How many channels the levels are joined in.",
    "encoder_output_indices": "After which blocks the transformer is asked, a list of numbers.",
    "decoder_aspp_dropout": "The share of features that training leaves out.",
    "decoder_atrous_rates": "How far apart the pixels are that its convolutions look at.",
    "decoder_dropout": "The share of features that training leaves out.",
    "decoder_pab_channels": "How many channels its attention has.",
    "decoder_pyramid_channels": "How many channels each level of the pyramid has.",
    "decoder_segmentation_channels": "How many channels each level is brought to at last.",
    "decoder_merge_policy": "Whether levels are added or put side by side.",
    "decoder_segmentation_blocks": "How its levels are joined.",
    "psp_out_channels": "How many channels the pooled pyramid has.",
    "psp_dropout": "The share of features that training leaves out.",
    "upsampling": "How far the answer is brought up at last.",
}

_CHOICES: dict[str, tuple[Any, ...]] = {
    "decoder_attention_type": (None, "scse"),
    "decoder_merge_policy": ("add", "cat"),
    "decoder_readout": ("ignore", "add", "cat"),
}

_COMMON = {one.name: one for one in (IN_CHANNELS, ENCODER_NAME)} | {
    CLASSES.name: Argument(CLASSES.name, 1, CLASSES.about)
}

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
    summary
        What it is, in one sentence.
    coarsest
        How much further than its encoder the decoder downsamples.
    size_dependent
        See `facts.Facts`.
    defaults
        Arguments that we set where a file does not.
    """

    class_name: str
    summary: str
    coarsest: int = 1
    size_dependent: tuple[str, ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()
    has_encoder: ClassVar[bool] = True

    def arguments(self) -> tuple[Argument, ...]:
        """Return what can be given; options of the encoder as well."""
        return tuple(documented(self._maker(), dict(self.defaults)))

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with random weights; `CheckpointError` if an argument is wrong."""
        wanted = dict(self.defaults) | _modern(arguments)
        self._check(wanted)
        return built(
            self.class_name,
            wanted,
            lambda: self._made(self.completed(wanted)),
            lambda module: self._trial(module, wanted),
            "Its arguments upsampling, encoder_depth and encoder_output_stride",
        )

    def completed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments of which the library itself makes what `build` makes."""
        wanted = dict(self.defaults) | _modern(arguments)
        return {**sizes_freely(wanted.get("encoder_name", ENCODER_NAME.default)), **wanted}

    def facts_of(self, module: nn.Module, arguments: Mapping[str, Any]) -> Facts:
        """Return what a description has to say about a module that `build` made."""
        encoder: Any = module.encoder
        return Facts(
            stride=int(encoder.output_stride) * self.coarsest,
            size_dependent=self.size_dependent,
            in_channels=arguments.get("in_channels", 3),
            outputs=arguments.get("classes", 1),
        )

    def _maker(self) -> Callable[..., nn.Module]:
        maker: Callable[..., nn.Module] = getattr(import_smp(), self.class_name)
        return maker

    def _made(self, arguments: Mapping[str, Any]) -> nn.Module:
        module = self._maker()(**arguments, encoder_weights=None)
        if "hiera" in str(arguments.get("encoder_name")):
            from napari_tileseg.models.any_size import let_any_size

            let_any_size(module)
        return module

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

    def _check(self, arguments: Mapping[str, Any]) -> None:
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
        known = {one.name: one for one in self.arguments()}
        check_names(self.class_name, arguments, {*known, *_REFUSED, *ENCODER_OPTIONS})
        check_values(self.class_name, arguments)
        for name, value in arguments.items():
            if name in known:
                check_choice(self.class_name, value, known[name])
        check_encoder(arguments.get("encoder_name", "resnet34"))


def documented(maker: Callable[..., nn.Module], defaults: Mapping[str, Any]) -> Iterator[Argument]:
    """Yield what a class of the library can be given, in the order it has there."""
    for name, one in inspect.signature(maker).parameters.items():
        if name in (*_REFUSED, *_IGNORED) or one.kind is one.VAR_KEYWORD:
            continue
        default = defaults.get(name, one.default)
        common = _COMMON.get(name)
        if common is not None and common.default == default:
            yield common
        else:
            about = common.about if common else _ABOUT.get(name, "See the library.")
            yield Argument(name, default, about, _CHOICES.get(name, ()))


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
        SmpDecoder("Unet", "A U-Net with any encoder; a good first choice."),
        SmpDecoder("UnetPlusPlus", "U-Net++: nested skips (Zhou et al., 2018)."),
        SmpDecoder("MAnet", "A U-Net with attention over places and levels (Fan et al., 2020)."),
        SmpDecoder("Linknet", "A fast decoder that adds its skips (Chaurasia et al., 2017)."),
        SmpDecoder("FPN", "A pyramid of features (Kirillov et al., 2019).", 1, (_ALIGNED,)),
        SmpDecoder("PSPNet", "Pooled pyramid context (Zhao et al., 2017).", 1, _BOTH),
        SmpDecoder("DeepLabV3", "Convolutions of many widths (Chen et al., 2017).", 1, _BOTH),
        SmpDecoder("DeepLabV3Plus", "DeepLabV3 with a skip (Chen et al., 2018).", 1, _BOTH),
        # three more poolings inside its attention pyramid
        SmpDecoder("PAN", "A pyramid of attention (Li et al., 2018).", 8, _BOTH),
        SmpDecoder("UPerNet", "Pooled pyramid and features (Xiao et al., 2018).", 1, _BOTH),
        SmpDecoder("Segformer", "A light decoder (Xie et al., 2021).", 1, (_ALIGNED,)),
        # its coarsest level has half the resolution of the patches
        SmpDecoder(
            "DPT",
            "A decoder for plain vision transformers (Ranftl et al., 2021).",
            coarsest=2,
            size_dependent=(_ALIGNED, _ATTENDS),
            defaults=(
                ("encoder_name", "tu-vit_base_patch16_224.augreg_in21k"),
                ("dynamic_img_size", True),
            ),
        ),
    )
}
