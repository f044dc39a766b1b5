"""What a network is shown: a tile, the margin around it, and a mirror beyond the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.tiles import Tile


def read_tile(
    source: Source,
    plane: tuple[int, ...],
    tile: Tile,
    channels: tuple[int, ...],
    margin: int = 0,
) -> NDArray[Any]:
    """Read the pixels that a network is shown to answer for a tile.

    Parameters
    ----------
    source, plane, channels
        As in `Source.read`.
    tile
        What the network answers for; may reach past the end of the image.
    margin
        How many pixels more it is shown on every side.

    Returns
    -------
    (channels, *tile), the margin included, in the dtype of the image.
    """
    inside, missing, wanted = [], [], [slice(None)]
    for part, size in zip(tile.outer, source.spatial_shape, strict=True):
        first, last = part.start - margin, part.stop + margin
        before, after = max(-first, 0), max(last - size, 0)
        # a mirror shows as much of the image as lies beyond the border, if there is as much
        begin = max(0, min(first, size - after))
        inside.append(slice(begin, min(size, max(last, before))))
        missing.append((before, after))
        from_here = first + before - begin
        wanted.append(slice(from_here, from_here + last - first))
    block = source.read(plane, tuple(inside), channels)
    if any(before or after for before, after in missing):
        block = np.pad(block, [(0, 0), *missing], mode="symmetric")[tuple(wanted)]
    return block
