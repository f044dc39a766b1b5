"""xT for dense prediction: regions of a large image, each segmented with the whole in mind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.models.libraries import import_smp
from napari_tileseg.models.xt_context import ContextEncoder, Regions
from napari_tileseg.models.xt_decoders import decoder
from napari_tileseg.models.xt_tiling import cut, joined, mirrored, without_halo
from napari_tileseg.models.xt_views import Attention, View

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH = 5
_OF_FIXED_SIZE = ("hiera", "swin", "vit", "maxvit", "coatnet")
"""Encoders of timm that are told beforehand how large their input will be."""


class Xt(nn.Module):
    """Nested tokenization, with a decoder for each region.

    The network of Gupta et al., "xT: Nested Tokenization for Larger Context in Large Images"
    (ICML 2024, arXiv:2403.01915), section 4.

    The image is cut into regions, and an encoder cuts these into patches
    of its own. Its coarsest features become tokens, which look at the tokens of other regions.
    What they find out is added to the coarsest features, and every region is decoded by itself.

    Other than in the paper, regions are seen with a halo, so that neighbours agree at their
    border; the features of the halo are no tokens, but take part in decoding. What context adds
    begins at nothing, so that the network begins as its encoder and decoder alone.

    Parameters
    ----------
    in_channels, classes
        How many channels it reads, and how many logits it gives for each pixel.
    encoder_name
        Any encoder that segmentation-models-pytorch has, such as "tu-" and a name of timm.
    region, halo
        In pixels; multiples of 32.
    attention, reach, memory, budget
        At what tokens look: see `xt_views.View`.
    dim, blocks, heads
        Of the context encoder.
    decoder_kind, width, upsampling
        See `xt_decoders`.

    Attributes
    ----------
    cell
        How many pixels a token stands for, along each axis.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        encoder_name: str,
        *,
        region: int,
        halo: int,
        attention: str,
        reach: int,
        memory: int,
        budget: int,
        dim: int,
        blocks: int,
        heads: int,
        decoder_kind: str,
        width: int,
        upsampling: str,
    ) -> None:
        super().__init__()
        self.region, self.halo, self.dim = region, halo, dim
        encoder = _encoder(encoder_name, in_channels, region + 2 * halo)
        self.encoder: nn.Module = encoder
        self.cell = int(encoder.output_stride)
        channels: list[int] = encoder.out_channels[1:]
        view = View(Attention(attention), reach, memory, budget)
        self.context = None
        if view.attention is not Attention.NONE:
            self.context = ContextEncoder(
                channels[-1], region // self.cell, view, dim=dim, blocks=blocks, heads=heads
            )
        # one level finer than the finest features: the pixels themselves, of which it takes none
        self.decoder = decoder(decoder_kind, [0, *channels], width, upsampling)
        self.head = nn.Conv2d(self.decoder.channels, classes, 3, padding=1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes, H, W) for images or crops (B, in_channels, H, W).

        Of any size: it is continued to whole regions as in a mirror. All regions are computed
        at once, so gradients flow from each region into all others.
        """
        shown = mirrored(tiles, self.region, self.halo)
        shape, features = self._features(shown)
        if self.context is not None:
            tokens = self._tokens(features[-1], shape)
            grid = _as_grid(self.context(tokens), self.region // self.cell)
            border = self.halo // self.cell
            window = functional.pad(grid, (border,) * 4, mode="replicate") if border else grid
            features = self._with_context(features, window)
        return self._decoded(features, shape)[..., : tiles.shape[2], : tiles.shape[3]]

    @property
    def passes(self) -> int:
        """How often the context encoder goes over all regions; 0 if there is none."""
        return 0 if self.context is None else len(self.context.blocks)

    def region_tokens(self, shown: torch.Tensor) -> torch.Tensor:
        """Return the tokens of regions.

        Parameters
        ----------
        shown
            (B, in_channels, rows * region + 2 halo, columns * region + 2 halo).

        Returns
        -------
        (B, rows, columns, tokens, dim); a region's tokens depend on nothing but the region and
        its halo.
        """
        shape, features = self._features(shown)
        return self._tokens(features[-1], shape)

    def context_pass(self, number: int, regions: Regions) -> Iterator[torch.Tensor]:
        """Run one pass of the context encoder; see `ContextEncoder.layer`."""
        assert self.context is not None
        return self.context.layer(number, regions)

    def answer(self, shown: torch.Tensor, window: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits (B, classes, rows * region, columns * region).

        Parameters
        ----------
        shown
            As for `region_tokens`.
        window
            (B, dim, h, w), the context of the cells that are shown, those of the halo included;
            None if there is none to add.
        """
        shape, features = self._features(shown)
        if window is not None:
            features = self._with_context(features, window)
        return self._decoded(features, shape)

    def _features(self, shown: torch.Tensor) -> tuple[tuple[int, ...], list[torch.Tensor]]:
        regions = cut(shown, self.region, self.halo)
        features: list[torch.Tensor] = self.encoder(regions.flatten(0, 2))
        return tuple(regions.shape[:3]), features

    def _tokens(self, coarsest: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        assert self.context is not None
        inner = without_halo(coarsest, self.halo // self.cell)
        return torch.unflatten(self.context.tokens(inner), 0, shape)

    def _with_context(
        self, features: list[torch.Tensor], window: torch.Tensor
    ) -> list[torch.Tensor]:
        assert self.context is not None
        pieces = cut(window, self.region // self.cell, self.halo // self.cell).flatten(0, 2)
        return [*features[:-1], features[-1] + self.context.added(pieces)]

    def _decoded(self, features: list[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
        pixels, *levels = features
        logits = self.head(self.decoder([pixels[:, :0], *levels]))
        return joined(torch.unflatten(without_halo(logits, self.halo), 0, shape))


def _as_grid(tokens: torch.Tensor, side: int) -> torch.Tensor:
    """Bring (B, rows, columns, side², dim) to (B, dim, rows * side, columns * side)."""
    return joined(torch.unflatten(tokens, 3, (side, side)).movedim(-1, 3))


def _encoder(name: str, in_channels: int, side: int) -> Any:
    sizes = {"img_size": side} if name.removeprefix("tu-").startswith(_OF_FIXED_SIZE) else {}
    get_encoder = import_smp().encoders.get_encoder
    return get_encoder(name, in_channels=in_channels, depth=_DEPTH, weights=None, **sizes)
