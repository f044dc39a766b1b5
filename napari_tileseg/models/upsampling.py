"""Ways for a network to double the size of its features."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_ELSEWHERE = ("Subpixel", "UpSample", "TransposeX2")
"""What modules of libraries are called that upsample with weights."""


class Doubled(nn.Sequential):
    """Upsamples by two; a part of its own, so that its weights can be counted."""


def doubled(before: int, after: int, kind: str) -> nn.Module:
    """Return what brings (B, before, H, W) to (B, after, 2H, 2W).

    Parameters
    ----------
    before, after
        How many channels it reads and gives.
    kind
        "transposed": a 2 x 2 transposed convolution with a stride of 2 (Ronneberger et al.,
        2015). "bilinear" or "nearest": interpolation, after a 1 x 1 convolution if the numbers
        of channels differ. "pixelshuffle": a 1 x 1 convolution to four times the channels,
        which become the four pixels (Shi et al., "Real-Time Single Image and Video
        Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016,
        arXiv:1609.05158); it begins as nearest (`start_as_nearest`).
    """
    if kind == "transposed":
        return nn.ConvTranspose2d(before, after, 2, stride=2)
    if kind == "pixelshuffle":
        made = Doubled(nn.Conv2d(before, 4 * after, 1), nn.PixelShuffle(2))
        start_as_nearest(made)
        return made
    mixed = [] if before == after else [nn.Conv2d(before, after, 1)]
    return Doubled(*mixed, nn.Upsample(scale_factor=2, mode=kind))


@torch.no_grad()
def start_as_nearest(module: nn.Module) -> None:
    """Let convolutions before a pixel shuffle begin with the same weights for all four pixels.

    So that there is no checkerboard before there is anything learnt: Aitken et al., "Checkerboard
    artifact free sub-pixel convolution" (arXiv:1707.02937), section 3 ("ICNR").
    """
    for part in module.modules():
        if isinstance(part, Doubled) and isinstance(part[-1], nn.PixelShuffle):
            for values in part[0].parameters():
                values.copy_(values[::4].repeat_interleave(4, 0))


def fitted(features: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Bring (B, C, H, W) to (h, w), a pixel more or less: what halving an odd size made up."""
    missing = [
        max(0, wanted - found) for wanted, found in zip(size, features.shape[2:], strict=True)
    ]
    if any(missing):
        features = functional.pad(features, (0, missing[1], 0, missing[0]), mode="replicate")
    return features[..., : size[0], : size[1]]


def upsampling_weights(module: nn.Module) -> int:
    """Count the weights of a network that are there for upsampling alone."""
    found = {
        id(weight): weight.numel()
        for part in module.modules()
        if isinstance(part, (Doubled, nn.modules.conv._ConvTransposeNd))
        or type(part).__name__.startswith(_ELSEWHERE)
        for weight in part.parameters()
    }
    return sum(found.values())
