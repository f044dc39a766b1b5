"""From the features of a region to logits: like a U-Net, or like a feature pyramid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.models.upsampling import doubled

if TYPE_CHECKING:
    from collections.abc import Sequence

UNET, FPN = "unet", "fpn"
DECODERS = (UNET, FPN)

_PYRAMID_SHARE = 4
"""A feature pyramid has as many channels as the coarsest features, divided by this."""


class UnetDecoder(nn.Module):
    """Brings coarse features up step by step, and joins finer ones on the way.

    Ronneberger et al. (2015), arXiv:1505.04597, section 2.

    Parameters
    ----------
    channels
        Of the features from fine to coarse, each half the size of the one before; 0 where there
        are none of a size.
    width
        How many channels the finest level has; each coarser one has twice as many, at most.
    upsampling
        See `upsampling.doubled`.
    """

    def __init__(self, channels: Sequence[int], width: int, upsampling: str) -> None:
        super().__init__()
        up, join = [], []
        before = channels[-1]
        for level in reversed(range(len(channels) - 1)):
            after = min(before, width * 2**level)
            up.append(doubled(before, after, upsampling))
            join.append(_convolved(after + channels[level], after))
            before = after
        self.up, self.join = nn.ModuleList(up), nn.ModuleList(join)
        self.channels = before

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return (B, channels, H, W) in the size of the finest features."""
        *finer, values = features
        for up, join, skip in zip(self.up, self.join, reversed(finer), strict=True):
            values = join(torch.cat([up(values), skip], dim=1))
        return values


class FpnDecoder(nn.Module):
    """Adds up features of all sizes, and answers from their sum at a quarter of the size.

    Lin et al., "Feature pyramid networks for object detection" (2017), arXiv:1612.03144, section 3;
    as a head for segmentation that of Kirillov et al. (2019), arXiv:1901.02446, section 3.1.

    Parameters
    ----------
    channels, width, upsampling
        As for `UnetDecoder`; `width` is the least there can be.
    """

    def __init__(self, channels: Sequence[int], width: int, upsampling: str) -> None:
        super().__init__()
        self.finest = min(2, len(channels) - 1)
        self.channels = max(width, channels[-1] // _PYRAMID_SHARE)
        self.side = nn.ModuleList(nn.Conv2d(n, self.channels, 1) for n in channels[self.finest :])
        steps = len(channels) - 1 - self.finest
        self.up = nn.ModuleList(
            doubled(self.channels, self.channels, upsampling) for _ in range(steps)
        )
        self.smooth = nn.ModuleList(_convolved(self.channels, self.channels) for _ in range(steps))
        self.last = nn.ModuleList(
            doubled(self.channels, self.channels, upsampling) for _ in range(self.finest)
        )

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return (B, channels, H, W) in the size of the finest features."""
        levels = [mix(one) for mix, one in zip(self.side, features[self.finest :], strict=True)]
        values: torch.Tensor = levels.pop()
        for up, smooth, level in zip(self.up, self.smooth, reversed(levels), strict=True):
            values = smooth(up(values) + level)
        for up in self.last:
            values = functional.relu(up(values))
        return values


def decoder(
    kind: str, channels: Sequence[int], width: int, upsampling: str
) -> UnetDecoder | FpnDecoder:
    """Return one of `DECODERS`; it has an attribute `channels`, how many it gives."""
    made = UnetDecoder if kind == UNET else FpnDecoder
    return made(channels, width, upsampling)


def _convolved(before: int, after: int) -> nn.Module:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
