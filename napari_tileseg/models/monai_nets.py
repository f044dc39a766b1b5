"""Networks of MONAI, for images and for volumes; MONAI is an extra and imported when used."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.arguments import check_names, check_values
from napari_tileseg.models.building import built
from napari_tileseg.models.facts import Facts
from napari_tileseg.models.libraries import import_monai_nets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

_OUTPUTS, _OUTPUTS_ELSEWHERE = "out_channels", "classes"
_DIMS = "spatial_dims"


@dataclass(frozen=True)
class MonaiNet:
    """One class of MONAI.

    Attributes
    ----------
    class_name
        Its name in the library.
    stride
        From its arguments to its total downsampling, in pixels.
    """

    class_name: str
    stride: Callable[[Mapping[str, Any]], int]
    has_encoder: ClassVar[bool] = False

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with random weights; `CheckpointError` if an argument is wrong.

        Raises
        ------
        TilesegError
            If MONAI is not installed.
        """
        maker = getattr(import_monai_nets(), self.class_name)
        wanted = _in_its_words(arguments)
        signature = inspect.signature(maker.__init__)
        self._check(wanted, signature)
        return built(
            self.class_name,
            wanted,
            lambda: maker(**wanted),
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

    def _check(self, arguments: Mapping[str, Any], signature: inspect.Signature) -> None:
        check_names(self.class_name, arguments, set(signature.parameters) - {"self"})
        check_values(self.class_name, arguments)
        needed = [
            name
            for name, one in signature.parameters.items()
            if one.default is one.empty and name != "self" and name not in arguments
        ]
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


def _in_its_words(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Rename what other libraries call otherwise, and say what MONAI leaves unsaid."""
    said = {_DIMS: 3, "in_channels": 1, _OUTPUTS: 2}
    for name, value in arguments.items():
        said[_OUTPUTS if name == _OUTPUTS_ELSEWHERE else name] = value
    return said


def _of_five_levels(arguments: Mapping[str, Any]) -> int:
    return 2**4


def _of_its_strides(arguments: Mapping[str, Any]) -> int:
    """Return the total stride; where axes differ, what is a multiple of all."""
    used = arguments["strides"][: len(arguments["channels"]) - 1]
    dims = arguments[_DIMS]
    steps = [(one,) * dims if isinstance(one, int) else tuple(one) for one in used]
    return math.lcm(*(math.prod(along) for along in zip(*steps, strict=True)))


MONAI_NETS = {
    f"monai.{one.class_name}": one
    for one in (MonaiNet("BasicUNet", _of_five_levels), MonaiNet("UNet", _of_its_strides))
}
