"""Fully convolutional networks: scores of several levels, brought up and summed."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.models import vgg16
from napari_tileseg.models.upsampling import fitted

_SKIPS = {"32s": (), "16s": (3,), "8s": (3, 2)}
"""By variant, the stages of the encoder whose scores are added, from the coarsest on."""


class Fcn(nn.Module):
    """FCN-32s, FCN-16s and FCN-8s on VGG16.

    The networks of Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic
    Segmentation" (CVPR 2015, arXiv:1411.4038), section 4.2.

    Each transposed convolution begins as bilinear interpolation and learns from there. Unlike
    the paper's, convolutions pad their own borders and are followed by batch normalisation, so
    that it can be trained from scratch; dropout is left out.

    Parameters
    ----------
    in_channels, classes
        How many channels it reads, and how many logits it gives for each pixel.
    variant
        "32s", "16s" or "8s": down to which stride the scores of skips are summed.
    head_channels
        How many channels the former fully connected layers have; 4096 in the paper.
    base_channels
        How many channels its first level has; 64 in the paper.
    """

    stride = 32
    encoder_name = vgg16.NAME

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 2,
        *,
        variant: str = "8s",
        head_channels: int = 4096,
        base_channels: int = 64,
    ) -> None:
        super().__init__()
        self.skips = _SKIPS[variant]
        widths = vgg16.widths(base_channels)
        self.encoder = vgg16.encoder(in_channels, base_channels)
        self.wide = nn.Sequential(
            *_wide(widths[-1], head_channels, 7), *_wide(head_channels, head_channels, 1)
        )
        self.scores = nn.ModuleList(
            nn.Conv2d(width, classes, 1)
            for width in (head_channels, *(widths[level] for level in self.skips))
        )
        for score in self.scores[1:]:  # so that training begins with the coarse scores alone
            for weight in score.parameters():
                nn.init.zeros_(weight)
        steps = [2] * len(self.skips) + [32 // 2 ** len(self.skips)]
        self.up = nn.ModuleList(bilinear_start(classes, step) for step in steps)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes, H, W) for tiles (B, in_channels, H, W)."""
        levels = []
        values = tiles
        for stage in self.encoder:
            values = functional.max_pool2d(stage(values), 2, ceil_mode=True)
            levels.append(values)
        answer: torch.Tensor = self.scores[0](self.wide(values))
        for level, score, up in zip(self.skips, self.scores[1:], self.up[:-1], strict=True):
            skip = score(levels[level])
            answer = fitted(up(answer), skip.shape[2:]) + skip
        return fitted(self.up[-1](answer), tiles.shape[2:])


def _wide(before: int, after: int, kernel: int) -> tuple[nn.Module, ...]:
    convolve = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolve.weight, nonlinearity="relu")
    return convolve, nn.BatchNorm2d(after), nn.ReLU(inplace=True)


def bilinear_start(classes: int, step: int) -> nn.ConvTranspose2d:
    """Return a transposed convolution that begins as bilinear interpolation by `step`."""
    up = nn.ConvTranspose2d(classes, classes, 2 * step, step, step // 2, bias=False)
    along = 1 - (torch.arange(2 * step) - (step - 0.5)).abs() / step
    with torch.no_grad():
        up.weight.zero_()
        for one in range(classes):
            up.weight[one, one] = along[:, None] * along
    return up
