"""A run for a part of an image: which tiles it takes, and what of their labels is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.annotation.sparse import overlap, relative
from napari_tileseg.engine.doubt import told_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.engine.predict import Patch
    from napari_tileseg.engine.tiles import TileGrid


@dataclass(frozen=True)
class Portion:
    """A box of the labels; its labels are those that a run for the whole image would give.

    Attributes
    ----------
    region
        One slice an axis of the labels, with explicit bounds.
    """

    region: Region

    def tiles(self, grid: TileGrid, leading_shape: Sequence[int]) -> NDArray[np.bool_]:
        """Return which tiles of every plane it takes, (*leading_shape, tiles), as `stream_plan`."""
        leading = len(leading_shape)
        touched = [
            np.array([first < part.stop and part.start < last for first, last in axis.cores])
            for axis, part in zip(grid.axes, self.region[leading:], strict=True)
        ]
        tiles = np.zeros((*leading_shape, len(grid)), bool)
        tiles[self.region[:leading]] = reduce(np.logical_and.outer, touched).ravel()
        return tiles

    def cut(self, patch: Patch) -> Patch | None:
        """Return what of a patch lies inside; None if nothing does."""
        inner = overlap(patch.region, self.region)
        if inner is None:
            return None
        here: tuple[Any, ...] = (..., *relative(inner, patch.region))
        more = None if patch.probabilities is None else patch.probabilities[here]
        unsure = patch.doubt
        if unsure is not None:
            unsure = unsure[told_within(inner, patch.region)]
        return replace(
            patch, region=inner, labels=patch.labels[here], probabilities=more, doubt=unsure
        )
