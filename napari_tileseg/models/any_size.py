"""Encoders of timm that were made for one size of image, run on tiles of other sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from timm.models.hiera import Hiera, Reroll, Unroll
from torch.nn import functional

if TYPE_CHECKING:
    import torch
    from torch import nn


def let_any_size(encoder: nn.Module) -> None:
    """Let a Hiera inside an encoder take tiles of any size that is a multiple of its stride."""
    for part in encoder.modules():
        if type(part) is Hiera:
            part.__class__ = AnySizeHiera


class AnySizeHiera(Hiera):
    """Hiera with positions that are stretched to the size of the tile.

    Ryali et al., "Hiera: A Hierarchical Vision Transformer without the Bells-and-Whistles"
    (ICML 2023, arXiv:2306.00989).

    A class for an instance that was built before: its weights keep their names and shapes.
    """

    def forward_intermediates(self, x: torch.Tensor, *more: Any, **options: Any) -> Any:
        """Return what the encoder finds at each level of tiles (B, channels, H, W)."""
        self._fit(x.shape[2:])
        return super().forward_intermediates(x, *more, **options)

    def _fit(self, size: torch.Size) -> None:
        """Order tokens for tiles of another size."""
        tokens = [one // step for one, step in zip(size, self.patch_stride, strict=True)]
        if tokens == self.tokens_spatial_shape:
            return
        if not hasattr(self, "_built_for"):
            self._built_for = self.tokens_spatial_shape
        self.tokens_spatial_shape = tokens
        self.mask_spatial_shape = [
            one // unit for one, unit in zip(tokens, self.mask_unit_size, strict=True)
        ]
        order = tuple(size), self.patch_stride, [self.q_stride] * (len(self.stage_ends) - 1)
        self.unroll = Unroll(*order)
        self.reroll = Reroll(*order, self.stage_ends, self.q_pool)

    def _pos_embed(self, x: torch.Tensor) -> torch.Tensor:
        if self.pos_embed is None or self.pos_embed_win is not None:
            moved: torch.Tensor = super()._pos_embed(x)
            return moved
        first = getattr(self, "_built_for", self.tokens_spatial_shape)
        places = self.pos_embed.transpose(1, 2).reshape(1, -1, *first)
        size = self.tokens_spatial_shape
        if size == first:
            return x + self.pos_embed
        places = functional.interpolate(places, size=size, mode="bicubic", antialias=True)
        return x + places.flatten(2).transpose(1, 2)
