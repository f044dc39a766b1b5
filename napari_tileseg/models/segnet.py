"""SegNet: it remembers where each maximum was, instead of learning how to upsample."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.models import vgg16
from napari_tileseg.models.upsampling import fitted


class Segnet(nn.Module):
    """SegNet: the 13 convolutions of VGG16, and as many back.

    The network of Badrinarayanan, Kendall and Cipolla, "SegNet: A Deep Convolutional
    Encoder-Decoder Architecture for Image Segmentation" (IEEE TPAMI 2017, arXiv:1511.00561),
    section 3.

    Parameters
    ----------
    in_channels, classes
        How many channels it reads, and how many logits it gives for each pixel.
    pooling
        "max" as in the paper, with unpooling to the indices of the maxima; or "average", with
        unpooling that spreads the mean.
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
        pooling: str = "max",
        base_channels: int = 64,
    ) -> None:
        super().__init__()
        self.by_indices = pooling == "max"
        self.encoder = vgg16.encoder(in_channels, base_channels)
        widths = vgg16.widths(base_channels)
        self.decoder = nn.ModuleList(
            _back(widths[level], widths[max(level - 1, 0)], vgg16.CONVOLUTIONS[level], level == 0)
            for level in range(4, -1, -1)
        )
        self.head = nn.Conv2d(widths[0], classes, 3, padding=1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes, H, W) for tiles (B, in_channels, H, W) of 32 px or more."""
        places: list[tuple[torch.Size, torch.Tensor | None]] = []
        values = tiles
        for stage in self.encoder:
            values = stage(values)
            size = values.shape[2:]
            values, where = self._halved(values)
            places.append((size, where))
        for stage in self.decoder:
            values = stage(_back_to(values, *places.pop()))
        answer: torch.Tensor = self.head(values)
        return answer

    def _halved(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        if not self.by_indices:
            return functional.avg_pool2d(values, 2), None
        return functional.max_pool2d(values, 2, return_indices=True)


def _back_to(values: torch.Tensor, size: torch.Size, where: torch.Tensor | None) -> torch.Tensor:
    if where is None:
        return fitted(functional.interpolate(values, scale_factor=2, mode="nearest"), size)
    return functional.max_unpool2d(values, where, [2, 2], output_size=list(size))


def _back(before: int, after: int, count: int, last: bool) -> nn.Sequential:
    """Return a stage of the decoder; the 13th convolution is the head."""
    inner = [vgg16.convolution(before, before) for _ in range(count - 1)]
    return nn.Sequential(*inner, *([] if last else [vgg16.convolution(before, after)]))
