"""Blocks of a U-Net's decoder that upsample as it is asked for, and gate their skips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.models.upsampling import doubled, fitted

if TYPE_CHECKING:
    from collections.abc import Iterator


def let_blocks_upsample(module: nn.Module, upsampling: str, *, gates: bool) -> None:
    """Replace the blocks of a Unet or UnetPlusPlus of segmentation-models-pytorch, in place.

    What they learnt keeps its names.

    Parameters
    ----------
    module
        The network.
    upsampling
        See `upsampling.doubled`.
    gates
        Whether skips are gated.
    """
    network: Any = module
    decoder = network.decoder
    below = _below_channels(network)
    for place, block in list(_blocks(decoder.blocks)):
        if block.conv1 is not None:  # a level that an encoder does not have
            decoder.blocks[place] = UpBlock(block, below[place], upsampling, gates=gates)


def _blocks(blocks: nn.ModuleList | nn.ModuleDict) -> Iterator[tuple[Any, Any]]:
    return iter(blocks.items() if isinstance(blocks, nn.ModuleDict) else enumerate(blocks))


def _below_channels(network: Any) -> dict[Any, int]:
    """Return how many channels come up into each block."""
    decoder = network.decoder
    if isinstance(decoder.blocks, nn.ModuleList):
        given = [block.get_submodule("conv2.0").out_channels for block in decoder.blocks]
        return dict(enumerate([network.encoder.out_channels[-1], *given[:-1]]))
    found = {}
    for name in decoder.blocks:
        column, level = map(int, name.removeprefix("x_").split("_"))
        found[name] = decoder.skip_channels[level - 1] if column else decoder.in_channels[level]
    return found


class UpBlock(nn.Module):
    """Upsamples, takes in the skip, and convolves twice, with the convolutions of a block.

    Parameters
    ----------
    block
        A block of the decoder of a Unet or UnetPlusPlus.
    below
        How many channels come up into it.
    upsampling, gates
        See `let_blocks_upsample`.
    """

    def __init__(self, block: Any, below: int, upsampling: str, *, gates: bool) -> None:
        super().__init__()
        skip = block.conv1[0].in_channels - below
        self.up = doubled(below, below, upsampling)
        self.gate = Gate(skip, below) if gates and skip else None
        self.conv1, self.conv2 = block.conv1, block.conv2
        self.attention1 = block.attention1 if skip else None
        self.attention2 = block.attention2

    def forward(
        self,
        below: torch.Tensor,
        *sizes_or_skip: Any,
        skip_connection: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return (B, channels, 2h, 2w), or what size the decoder asks for.

        Parameters
        ----------
        below
            (B, channels, h, w) of the coarser level.
        *sizes_or_skip, skip_connection
            A Unet gives the height and the width, and the skip by name; a UnetPlusPlus gives
            the skip alone.
        """
        skip = skip_connection if len(sizes_or_skip) == 2 else next(iter(sizes_or_skip), None)
        features = self.up(below)
        if len(sizes_or_skip) == 2:
            features = fitted(features, torch.Size(sizes_or_skip))
        if skip is not None and self.attention1 is not None:
            if self.gate is not None:
                skip = self.gate(skip, below)
            features = self.attention1(torch.cat([features, skip], dim=1))
        answer: torch.Tensor = self.attention2(self.conv2(self.conv1(features)))
        return answer


class Gate(nn.Module):
    """An additive gate: the coarser level says which places of a skip matter.

    Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas" (MIDL 2018,
    arXiv:1804.03999), section 2 and figure 2. It looks at the places of the coarser level, and
    is interpolated from there.
    """

    def __init__(self, skip: int, below: int) -> None:
        super().__init__()
        between = max(skip // 2, 1)
        self.of_skip = nn.Conv2d(skip, between, 2, stride=2, bias=False)
        self.of_below = nn.Conv2d(below, between, 1)
        self.psi = nn.Conv2d(between, 1, 1)
        self.mix = nn.Sequential(nn.Conv2d(skip, skip, 1, bias=False), nn.BatchNorm2d(skip))

    def forward(self, skip: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        """Return (B, skip, 2h, 2w) for a skip of that size and what is below, (B, below, h, w)."""
        seen = fitted(self.of_skip(skip), below.shape[2:]) + self.of_below(below)
        weights = self.psi(functional.relu(seen)).sigmoid()
        weights = functional.interpolate(
            weights, size=skip.shape[2:], mode="bilinear", align_corners=False
        )
        answer: torch.Tensor = self.mix(skip * weights)
        return answer
