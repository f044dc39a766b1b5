"""An image cut into regions that overlap by a halo, and put together again."""

from __future__ import annotations

import torch


def mirrored(tiles: torch.Tensor, region: int, halo: int) -> torch.Tensor:
    """Continue (B, C, H, W) beyond its borders as in a mirror: to whole regions, and by a halo."""
    for axis in (2, 3):
        size = tiles.shape[axis]
        whole = -(-size // region) * region
        places = torch.arange(-halo, whole + halo, device=tiles.device) % (2 * size)
        places = torch.where(places < size, places, 2 * size - 1 - places)
        tiles = tiles.index_select(axis, places)
    return tiles


def cut(tiles: torch.Tensor, region: int, halo: int) -> torch.Tensor:
    """Cut (B, C, rows * region + 2 halo, columns * region + 2 halo) into regions with a halo.

    Returns
    -------
    (B, rows, columns, C, region + 2 halo, region + 2 halo).
    """
    side = region + 2 * halo
    return tiles.unfold(2, side, region).unfold(3, side, region).permute(0, 2, 3, 1, 4, 5)


def joined(regions: torch.Tensor) -> torch.Tensor:
    """Put (B, rows, columns, C, h, w) together to (B, C, rows * h, columns * w)."""
    return regions.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def without_halo(regions: torch.Tensor, halo: int) -> torch.Tensor:
    """Cut a halo off every side of (..., h, w)."""
    return regions[..., halo : regions.shape[-2] - halo, halo : regions.shape[-1] - halo]
