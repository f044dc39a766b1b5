"""Networks of MONAI, for images and for volumes; MONAI is an extra and imported when used."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.arguments import Argument, check
from napari_tileseg.models.building import built
from napari_tileseg.models.facts import Facts
from napari_tileseg.models.libraries import import_monai_nets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

_OUTPUTS, _OUTPUTS_ELSEWHERE = "out_channels", "classes"
_DIMS = "spatial_dims"

_ABOUT = {
    "channels": "How many channels each level has, from the first on.",
    "strides": "How much each level but the first downsamples.",
    "features": "How many channels each of the five levels has, and the last one.",
    "norm": "How features are normalised: 'batch', 'instance' (over all of a tile), 'group'.",
    "act": "The activation.",
    "dropout": "The share of features that training leaves out.",
    "bias": "Whether convolutions have an offset.",
    "upsample": "How features are brought to twice their size.",
    "upsample_mode": "How features are brought to twice their size.",
    "num_res_units": "How many convolutions a residual unit has; 0 for plain ones.",
    "kernel_size": "The size of convolutions, in pixels.",
    "up_kernel_size": "The size of transposed convolutions, in pixels.",
    "init_filters": "How many channels the first level has; each level below has twice as many.",
    "blocks_down": "How many residual blocks each level has.",
    "blocks_up": "How many residual blocks each level has on the way back.",
    "feature_size": "How many channels the first level has; a multiple of 12.",
    "window_size": "Within how many patches a side attention looks.",
    "deep_supervision": "Whether coarser levels have heads of their own, which are not asked.",
}
_LIKE = {"channels": [32, 64, 128, 256], "strides": [2, 2, 2]}
"""What to give where MONAI has no default, for example."""

_CHOICES = {
    "upsample": ("deconv", "pixelshuffle", "nontrainable"),
    "upsample_mode": ("deconv", "pixelshuffle", "nontrainable"),
}
_PLAIN = (type(None), bool, int, float, str, list, tuple)


@dataclass(frozen=True)
class MonaiNet:
    """One class of MONAI.

    Attributes
    ----------
    class_name
        Its name in the library.
    summary
        What it is, in one sentence.
    stride
        From its arguments to its total downsampling, in pixels.
    many
        Whether it answers with a list, of which the first is meant.
    """

    class_name: str
    summary: str
    stride: Callable[[Mapping[str, Any]], int]
    many: bool = False
    has_encoder: ClassVar[bool] = False

    def arguments(self) -> tuple[Argument, ...]:
        """Return what can be given.

        Raises
        ------
        TilesegError
            If MONAI is not installed.
        """
        maker = getattr(import_monai_nets(), self.class_name)
        found = inspect.signature(maker.__init__).parameters.values()
        plain = [one for one in found if one.name != "self" and _is_plain(one.default)]
        return tuple(_documented(one) for one in plain)

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with random weights; `CheckpointError` if an argument is wrong.

        Raises
        ------
        TilesegError
            If MONAI is not installed.
        """
        maker = getattr(import_monai_nets(), self.class_name)
        wanted = _in_its_words(arguments)
        self._check(wanted)
        return built(
            self.class_name,
            wanted,
            lambda: self._made(maker, wanted),
            lambda module: self._trial(module, wanted),
            "Its strides and kernel sizes",
        )

    def facts_of(self, module: nn.Module, arguments: Mapping[str, Any]) -> Facts:
        """Return what a description has to say about a module that `build` made."""
        said = _in_its_words(arguments)
        return Facts(
            stride=self.stride(said),
            size_dependent=(),
            in_channels=said["in_channels"],
            outputs=said[_OUTPUTS],
            spatial_dims=said[_DIMS],
        )

    def _made(self, maker: Callable[..., nn.Module], arguments: Mapping[str, Any]) -> nn.Module:
        module = maker(**arguments)
        if self.many:
            module.register_forward_hook(_first)
        return module

    def _check(self, arguments: Mapping[str, Any]) -> None:
        documented = self.arguments()
        check(self.class_name, arguments, documented)
        needed = [one.name for one in documented if one.required and one.name not in arguments]
        if needed:
            raise CheckpointError(
                f"{self.class_name} cannot be built without {', '.join(needed)}. "
                "Give the arguments that the network was trained with."
            )
        if arguments[_DIMS] not in (2, 3):
            raise CheckpointError(
                f"The argument {_DIMS} of {self.class_name} is {arguments[_DIMS]!r}; "
                "it can be 2, for images, or 3, for volumes."
            )

    def _trial(
        self, module: nn.Module, arguments: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Run a small tile through the module; return its size and the answer's."""
        import torch

        stride = self.stride(arguments)
        # two pixels on the coarsest level, or statistics of a tile would have nothing to measure
        tile = (*(stride,) * (arguments[_DIMS] - 1), 2 * stride)
        with torch.inference_mode():
            answer: torch.Tensor = module(torch.zeros(1, arguments["in_channels"], *tile))
        return tile, tuple(answer.shape[2:])


def _first(module: nn.Module, inputs: Any, answers: Any) -> Any:
    return answers[0]


def _is_plain(default: Any) -> bool:
    return default is inspect.Parameter.empty or isinstance(default, _PLAIN)


def _documented(parameter: inspect.Parameter) -> Argument:
    name = parameter.name
    if name in _COMMON:
        return _COMMON[name]
    required = parameter.default is parameter.empty
    default = _LIKE.get(name) if required else parameter.default
    about = _ABOUT.get(name, "See the documentation of MONAI.")
    return Argument(name, default, about, _CHOICES.get(name, ()), required)


def _in_its_words(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Rename what other libraries call otherwise, and say what MONAI leaves unsaid."""
    said = {_DIMS: 3, "in_channels": 1, _OUTPUTS: 2}
    for name, value in arguments.items():
        said[_OUTPUTS if name == _OUTPUTS_ELSEWHERE else name] = value
    return said


def _of_five_levels(arguments: Mapping[str, Any]) -> int:
    return 2**4


def _of_swin(arguments: Mapping[str, Any]) -> int:
    return int(arguments.get("patch_size", 2)) ** 5


def _of_its_blocks(arguments: Mapping[str, Any]) -> int:
    return int(2 ** (len(arguments.get("blocks_down", (1, 2, 2, 4))) - 1))


def _of_its_strides(arguments: Mapping[str, Any]) -> int:
    """Return the total stride; where axes differ, what is a multiple of all."""
    used = arguments["strides"][: len(arguments["channels"]) - 1]
    dims = arguments[_DIMS]
    steps = [(one,) * dims if isinstance(one, int) else tuple(one) for one in used]
    return math.lcm(*(math.prod(along) for along in zip(*steps, strict=True)))


_COMMON = {
    _DIMS: Argument(_DIMS, 3, "2 for images, 3 for volumes."),
    "in_channels": Argument("in_channels", 1, "How many channels of an image it reads."),
    _OUTPUTS: Argument(_OUTPUTS, 2, "How many logits it gives for each pixel; also 'classes'."),
}

MONAI_NETS = {
    f"monai.{one.class_name}": one
    for one in (
        MonaiNet("BasicUNet", "A U-Net of five levels.", _of_five_levels),
        MonaiNet("UNet", "A U-Net of any depth, with residual units.", _of_its_strides),
        MonaiNet(
            "AttentionUnet", "A U-Net whose skips are gated (Oktay et al., 2018).", _of_its_strides
        ),
        MonaiNet(
            "BasicUNetPlusPlus",
            "U-Net++: nested skips (Zhou et al., 2018).",
            _of_five_levels,
            many=True,
        ),
        MonaiNet(
            "SegResNet",
            "An encoder and decoder of residual blocks (Myronenko, 2018).",
            _of_its_blocks,
        ),
        MonaiNet(
            "SwinUNETR",
            "A U-Net with windowed attention in its encoder (Hatamizadeh et al., 2022); also "
            "needs the package einops.",
            _of_swin,
        ),
    )
}
