"""Res-UNet: a U-Net of residual units."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from napari_tileseg.models.upsampling import doubled, fitted


class ResUnet(nn.Module):
    """Residual units with activation before convolution, halving by strides.

    The network of Zhang, Liu and Wang, "Road Extraction by Deep Residual U-Net" (IEEE
    Geoscience and Remote Sensing Letters 2018, arXiv:1711.10684), section II.

    Parameters
    ----------
    in_channels, classes
        How many channels it reads, and how many logits it gives for each pixel.
    depth
        How often it halves its input.
    base_channels
        How many channels its first level has; each level below has twice as many.
    upsampling
        See `upsampling.doubled`; the number of channels stays.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 2,
        *,
        depth: int = 3,
        base_channels: int = 64,
        upsampling: str = "transposed",
    ) -> None:
        super().__init__()
        self.stride = 2**depth
        widths = [base_channels * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList([Residual(in_channels, widths[0], plain=True)])
        for before, after in pairwise(widths):
            self.encoder.append(Residual(before, after, step=2))
        self.up = nn.ModuleList(doubled(width, width, upsampling) for width in widths[:0:-1])
        self.join = nn.ModuleList(Residual(3 * width, width) for width in widths[-2::-1])
        self.head = nn.Conv2d(base_channels, classes, 1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes, H, W) for tiles (B, in_channels, H, W)."""
        skips = []
        values = tiles
        for unit in self.encoder:
            values = unit(values)
            skips.append(values)
        skips.pop()
        for up, join in zip(self.up, self.join, strict=True):
            skip = skips.pop()
            values = join(torch.cat([fitted(up(values), skip.shape[2:]), skip], dim=1))
        answer: torch.Tensor = self.head(values)
        return answer


class Residual(nn.Module):
    """Two convolutions, added to what came in."""

    def __init__(self, before: int, after: int, *, step: int = 1, plain: bool = False) -> None:
        super().__init__()
        # the image itself is neither normalised nor cut off at 0
        ahead = [] if plain else [nn.BatchNorm2d(before), nn.ReLU()]
        self.body = nn.Sequential(
            *ahead,
            nn.Conv2d(before, after, 3, step, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.step = step
        self.past = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return (B, after, H / step, W / step)."""
        # left to the convolution, the step corrupts memory on the CPU (torch 2.14, few channels)
        kept = values[..., :: self.step, :: self.step]
        answer: torch.Tensor = self.body(values) + self.past(kept)
        return answer
