"""U-Nets as people write them themselves, with whatever widths and upsampling they chose."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.upsampling import fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

_ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
_WIDEST = 4096


class ScratchUnet(nn.Module):
    """A U-Net (Ronneberger et al., MICCAI 2015, arXiv:1505.04597) of padded double convolutions.

    Parameters
    ----------
    in_channels, classes
        How many channels it reads, and how many logits it gives for each pixel.
    widths
        Channels after the first and the second convolution of each level, from the finest on.
    join_widths
        The same on the way back, from the coarsest on.
    up_widths
        Channels after each transposed convolution; empty for upsampling without weights.
    upsampling
        "transposed", or without weights "nearest", "bilinear", "bilinear-aligned" (corners).
    batch_norm, bias
        Whether each convolution is followed by a normalisation, and whether it has an offset.
    activation
        What follows: "relu", "leaky-relu", "elu", "gelu" or "silu".
    skip_first
        Whether skips come before what is upsampled when the two are put side by side.

    Raises
    ------
    CheckpointError
        If the lengths or sizes of the lists do not fit each other.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        widths: Sequence[Sequence[int]],
        join_widths: Sequence[Sequence[int]],
        up_widths: Sequence[int] = (),
        upsampling: str = "transposed",
        batch_norm: bool = False,
        bias: bool = True,
        activation: str = "relu",
        skip_first: bool = True,
    ) -> None:
        super().__init__()
        _check(widths, join_widths, up_widths, upsampling)
        self.stride = 2 ** len(join_widths)
        self.skip_first = skip_first
        double = partial(_Double, batch_norm=batch_norm, bias=bias, activation=activation)
        before = [in_channels, *(second for _, second in widths[:-1])]
        self.down = nn.ModuleList(
            double(channels, *pair) for channels, pair in zip(before, widths, strict=True)
        )
        self.up, self.join = nn.ModuleList(), nn.ModuleList()
        channels = widths[-1][1]
        for level, pair in enumerate(join_widths):
            if upsampling == "transposed":
                self.up.append(nn.ConvTranspose2d(channels, up_widths[level], 2, stride=2))
                channels = up_widths[level]
            else:
                self.up.append(_interpolating(upsampling))
            self.join.append(double(channels + widths[-2 - level][1], *pair))
            channels = pair[1]
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes, H, W) for tiles (B, in_channels, H, W)."""
        skipped: list[torch.Tensor] = []
        values = self.down[0](tiles)
        for level in self.down[1:]:
            skipped.append(values)
            values = level(functional.max_pool2d(values, 2))
        for upsample, join in zip(self.up, self.join, strict=True):
            skip = skipped.pop()
            values = fitted(upsample(values), skip.shape[2:])
            both = [skip, values] if self.skip_first else [values, skip]
            values = join(torch.cat(both, dim=1))
        answer: torch.Tensor = self.head(values)
        return answer


class _Double(nn.Sequential):
    """Two padded 3 x 3 convolutions, each with what follows it."""

    def __init__(
        self, before: int, first: int, second: int, *, batch_norm: bool, bias: bool, activation: str
    ) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in ((before, first), (first, second)):
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
            layers.append(nn.BatchNorm2d(outputs) if batch_norm else nn.Identity())
            layers.append(_ACTIVATIONS[activation]())
        super().__init__(*layers)


def _interpolating(kind: str) -> nn.Module:
    if kind == "bilinear-aligned":
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    return nn.Upsample(scale_factor=2, mode=kind)


def _check(
    widths: Sequence[Sequence[int]],
    join_widths: Sequence[Sequence[int]],
    up_widths: Sequence[int],
    upsampling: str,
) -> None:
    pairs = [*widths, *join_widths]
    fits = (
        2 <= len(widths) <= 8
        and len(join_widths) == len(widths) - 1
        and len(up_widths) == (len(join_widths) if upsampling == "transposed" else 0)
        and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs)
    )
    numbers = [*up_widths, *(width for pair in pairs for width in pair)] if fits else []
    if not fits or not all(type(one) is int and 1 <= one <= _WIDEST for one in numbers):
        raise CheckpointError(
            "The widths of this U-Net do not fit each other: widths has one pair more than "
            "join_widths, up_widths one number for each pair of join_widths (none unless "
            f"upsampling is 'transposed'), and no number is above {_WIDEST:,}."
        )
