"""FCN and DeepLabV3 of torchvision, with its residual encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from napari_tileseg.models.arguments import Argument, check, with_defaults
from napari_tileseg.models.building import built
from napari_tileseg.models.documented import CLASSES, IN_CHANNELS
from napari_tileseg.models.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

_ARGUMENTS = (
    IN_CHANNELS,
    CLASSES,
    Argument("backbone", "resnet50", "Its encoder.", ("resnet50", "resnet101")),
    Argument(
        "aux_loss",
        False,
        "Whether there is a second head, as in the weights that torchvision publishes. It is kept "
        "and not asked.",
        (False, True),
    ),
)

_STRIDE = 8


@dataclass(frozen=True)
class TorchvisionNet:
    """One network of torchvision; its weights have the names they have there.

    Attributes
    ----------
    name
        How it is registered.
    maker
        The prefix of the functions that make it, such as "fcn".
    summary
        What it is, in one sentence.
    """

    name: str
    maker: str
    summary: str
    has_encoder: ClassVar[bool] = False

    def arguments(self) -> tuple[Argument, ...]:
        """Return what can be given."""
        return _ARGUMENTS

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with random weights; `CheckpointError` if an argument is wrong."""
        check(self.name, arguments, _ARGUMENTS)
        wanted = with_defaults(arguments, _ARGUMENTS)
        return built(
            self.name,
            arguments,
            lambda: _make(self.maker, **wanted),
            lambda module: _trial(module, wanted["in_channels"]),
            "Its arguments",
        )

    def facts_of(self, module: nn.Module, arguments: Mapping[str, Any]) -> Facts:
        """Return what a description has to say about a module that `build` made."""
        said = with_defaults(arguments, _ARGUMENTS)
        return Facts(_STRIDE, (), said["in_channels"], said["classes"])


def _make(maker: str, in_channels: int, classes: int, backbone: str, aux_loss: bool) -> nn.Module:
    from napari_tileseg.models.torchvision_answers import made

    return made(f"{maker}_{backbone}", in_channels, classes, aux_loss)


def _trial(module: nn.Module, in_channels: int) -> tuple[int, int]:
    """Run a small tile through the module; return its size and the answer's."""
    import torch

    side = 4 * _STRIDE
    with torch.inference_mode():
        answer: torch.Tensor = module(torch.zeros(1, in_channels, side, side))
    return side, int(answer.shape[-1])


TORCHVISION_NETS = {
    one.name: one
    for one in (
        TorchvisionNet("torchvision.FCN", "fcn", "FCN on a dilated ResNet, of torchvision."),
        TorchvisionNet(
            "torchvision.DeepLabV3",
            "deeplabv3",
            "DeepLabV3 on a dilated ResNet (Chen et al., 2017), of torchvision.",
        ),
    )
}
