"""The U-Net as it was published, with or without padding."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.errors import NetworkError
from napari_tileseg.models.unet_sizes import TRIM_PX, answer_size
from napari_tileseg.models.upsampling import doubled, start_as_nearest


class OriginalUnet(nn.Module):
    """The U-Net of the paper, or with padding.

    The network of Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for
    Biomedical Image Segmentation" (MICCAI 2015, arXiv:1505.04597), section 2 and figure 1.

    With the defaults it is the one of the paper: 572 px in, 388 px out. Its dropout is left
    out, since it does nothing after training.

    Parameters
    ----------
    in_channels, classes
        How many channels it reads, and how many logits it gives for each pixel.
    depth
        How often it halves its input.
    base_channels
        How many channels its first level has; each level below has twice as many.
    padding
        "valid": no convolution sees anything made up, so the answer is smaller than the tile.
        "same": the answer has the size of the tile.
    batch_norm
        Whether each convolution is followed by batch normalisation, as in most versions since.
    upsampling
        "transposed" as in the paper, or "nearest" or "bilinear" after a 1 x 1 convolution, or
        "pixelshuffle"; see `upsampling.doubled`.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 2,
        *,
        depth: int = 4,
        base_channels: int = 64,
        padding: str = "valid",
        batch_norm: bool = False,
        upsampling: str = "transposed",
    ) -> None:
        super().__init__()
        self.depth = depth
        self.valid = padding == "valid"
        self.trim = TRIM_PX[upsampling] if self.valid else 0
        widths = [base_channels * 2**level for level in range(depth + 1)]
        inputs = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList(
            _two_convolutions(before, after, padding, batch_norm)
            for before, after in zip(inputs, widths, strict=True)
        )
        self.up = nn.ModuleList(doubled(width, width // 2, upsampling) for width in widths[:0:-1])
        self.join = nn.ModuleList(
            _two_convolutions(2 * width, width, padding, batch_norm) for width in widths[-2::-1]
        )
        self.head = nn.Conv2d(base_channels, classes, 1)
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
                _as_in_section_3(part)
        start_as_nearest(self)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes, h, w) for tiles (B, in_channels, H, W).

        Raises
        ------
        NetworkError
            If tiles do not fit a network without padding.
        """
        if self.valid:
            self._check(tiles)
        skipped: list[torch.Tensor] = []
        values = self.down[0](tiles)
        for level in self.down[1:]:
            skipped.append(values)
            values = level(functional.max_pool2d(values, 2))
        for upsample, join in zip(self.up, self.join, strict=True):
            values = _centre(upsample(values), self.trim)
            skip = skipped.pop()
            skip = _centre(skip, (skip.shape[-1] - values.shape[-1]) // 2)
            values = join(torch.cat([skip, values], dim=1))
        answer: torch.Tensor = self.head(values)
        return answer

    def _check(self, tiles: torch.Tensor) -> None:
        for size in tiles.shape[2:]:
            if answer_size(size, self.depth, self.trim) is None:
                raise NetworkError(
                    f"A tile of {size} px does not fit this U-Net without padding: one of its "
                    f"{self.depth} halvings leaves half a pixel, or nothing is left to answer. "
                    f"Tiles fit if they are a multiple of {2**self.depth} px, plus the margin of "
                    "the network at either end."
                )


def _two_convolutions(before: int, after: int, padding: str, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        # a bias does nothing before a normalisation
        layers.append(nn.Conv2d(channels, after, 3, padding=padding, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(after))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _as_in_section_3(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Draw weights with a standard deviation of sqrt(2 / N), N being the inputs of one output."""
    inputs = layer.in_channels
    if isinstance(layer, nn.Conv2d):  # an output of the upsampling has one pixel below it
        inputs *= layer.weight[0, 0].numel()
    nn.init.normal_(layer.weight, std=math.sqrt(2 / inputs))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _centre(values: torch.Tensor, lost: int) -> torch.Tensor:
    """Cut so many pixels off every side of (B, C, H, W)."""
    return values[..., lost : values.shape[-2] - lost, lost : values.shape[-1] - lost]
