"""The thirteen convolutions of VGG16, in their five stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "vgg16_bn"
"""What libraries call it with batch normalisation."""

WIDTH = 64
"""The base channels that the weights they offer are for."""

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""In each stage; from Simonyan and Zisserman (arXiv:1409.1556), table 1, column D."""


def widths(base_channels: int) -> list[int]:
    """Return how many channels each of the five stages has."""
    return [base_channels * more for more in (1, 2, 4, 8, 8)]


def encoder(in_channels: int, base_channels: int) -> nn.ModuleList:
    """Return the five stages without what pools between them.

    With `WIDTH` channels its weights are those of `NAME` in torchvision, in the same order.
    """
    before = [in_channels, *widths(base_channels)[:-1]]
    return nn.ModuleList(
        nn.Sequential(*_stage(first, width, count))
        for first, width, count in zip(before, widths(base_channels), CONVOLUTIONS, strict=True)
    )


def _stage(before: int, after: int, count: int) -> Iterator[nn.Module]:
    for number in range(count):
        yield convolution(after if number else before, after)


def convolution(before: int, after: int) -> nn.Sequential:
    """Return a 3 x 3 convolution with batch normalisation and ReLU."""
    convolve = nn.Conv2d(before, after, 3, padding=1)
    nn.init.kaiming_normal_(convolve.weight, nonlinearity="relu")
    return nn.Sequential(convolve, nn.BatchNorm2d(after), nn.ReLU(inplace=True))
