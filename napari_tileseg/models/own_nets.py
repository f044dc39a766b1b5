"""Architectures that no library has, each in a module of its own, with its paper."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_tileseg.models.arguments import check, with_defaults
from napari_tileseg.models.building import built
from napari_tileseg.models.documented import CLASSES, IN_CHANNELS
from napari_tileseg.models.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from napari_tileseg.models.arguments import Argument


@dataclass(frozen=True)
class OwnNet:
    """One architecture of ours.

    Its class takes the documented arguments by name, and has an attribute `stride`: what sizes
    are multiples of, in pixels.

    Attributes
    ----------
    name
        How it is registered.
    where
        Module and class inside this package, "segnet:Segnet"; imported when it is built.
    summary
        What it is, in one sentence.
    options
        Its arguments besides the channels and the classes.
    size_dependent
        See `facts.Facts`.
    """

    name: str
    where: str
    summary: str
    options: tuple[Argument, ...] = ()
    size_dependent: tuple[str, ...] = ()

    @property
    def has_encoder(self) -> bool:
        """Whether it takes an encoder by name."""
        return any(one.name == "encoder_name" for one in self.options)

    def arguments(self) -> tuple[Argument, ...]:
        """Return what can be given, in the order of importance."""
        return (IN_CHANNELS, CLASSES, *self.options)

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with random weights; `CheckpointError` if an argument is wrong."""
        check(self.name, arguments, self.arguments())
        wanted = with_defaults(arguments, self.arguments())
        if self.has_encoder:
            from napari_tileseg.models.encoders import check_encoder

            check_encoder(wanted["encoder_name"])
        file, _, maker = self.where.partition(":")
        make = getattr(import_module(f"napari_tileseg.models.{file}"), maker)
        return built(
            self.name,
            arguments,
            lambda: make(**wanted),
            lambda module: _trial(module, wanted["in_channels"]),
            "Its arguments",
        )

    def facts_of(self, module: nn.Module, arguments: Mapping[str, Any]) -> Facts:
        """Return what a description has to say about a module that `build` made."""
        said = with_defaults(arguments, self.arguments())
        stride: Any = module.stride
        return Facts(int(stride), self.size_dependent, said["in_channels"], said["classes"])


def _trial(module: Any, in_channels: int) -> tuple[int, int]:
    """Run a small tile through the module; return its size and the answer's."""
    import torch

    side = max(int(module.stride), 32)
    with torch.inference_mode():
        answer: torch.Tensor = module(torch.zeros(1, in_channels, side, side))
    return side, int(answer.shape[-1])
