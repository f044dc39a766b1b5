"""APCNet: each place chooses how it is described by the means of regions, at several scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.models.libraries import import_smp

if TYPE_CHECKING:
    from collections.abc import Sequence


class Apcnet(nn.Module):
    """Adaptive context modules of several scales, on an encoder with dilated convolutions.

    The network of He, Deng, Zhou, Wang and Qiao, "Adaptive Pyramid Context Network for
    Semantic Segmentation" (CVPR 2019), section 3.

    Parameters
    ----------
    in_channels, classes
        How many channels it reads, and how many logits it gives for each pixel.
    encoder_name, encoder_output_stride
        An encoder of segmentation-models-pytorch that can be dilated, and its stride.
    scales
        For each adaptive context module, the number of regions along a side.
    channels
        How many channels each of these has.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 2,
        *,
        encoder_name: str = "resnet34",
        encoder_output_stride: int = 8,
        scales: Sequence[int] = (1, 2, 3, 6),
        channels: int = 256,
    ) -> None:
        super().__init__()
        self.stride = encoder_output_stride
        self.encoder = import_smp().encoders.get_encoder(
            encoder_name,
            in_channels=in_channels,
            weights=None,
            output_stride=encoder_output_stride,
        )
        depth = int(self.encoder.out_channels[-1])
        self.contexts = nn.ModuleList(AdaptiveContext(depth, channels, one) for one in scales)
        self.mix = _normalised(depth + channels * len(scales), channels, 3)
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes, H, W) for tiles (B, in_channels, H, W)."""
        features = self.encoder(tiles)[-1]
        seen = torch.cat([features, *(context(features) for context in self.contexts)], dim=1)
        coarse = self.head(self.mix(seen))
        return functional.interpolate(
            coarse, size=tiles.shape[2:], mode="bilinear", align_corners=False
        )


class AdaptiveContext(nn.Module):
    """The adaptive context module at one scale (section 3.2, figure 3).

    Each place is described by the means of scale x scale regions, weighed by affinities that
    are guided by the mean of the whole tile.
    """

    def __init__(self, before: int, channels: int, scale: int) -> None:
        super().__init__()
        self.narrow = _normalised(before, channels, 1)
        self.whole = nn.AdaptiveAvgPool2d(1)
        self.affinity = nn.Conv2d(channels, scale**2, 1)
        self.regions = nn.AdaptiveAvgPool2d(scale)
        # a single value a tile has no statistics, hence no normalisation
        self.describe = nn.Conv2d(before, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (B, channels, h, w) for features (B, before, h, w)."""
        narrow = self.narrow(features)
        guided = narrow + self.whole(narrow)
        weights = self.affinity(guided).sigmoid().flatten(2)  # (B, regions, places)
        described = self.describe(self.regions(features)).flatten(2)  # (B, channels, regions)
        context = (described @ weights).unflatten(2, narrow.shape[2:])
        return functional.relu(narrow + context)


def _normalised(before: int, after: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
