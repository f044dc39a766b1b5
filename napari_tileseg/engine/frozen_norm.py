"""Norms frozen layer by layer to the statistics of the whole image, measured tile by tile.

InstanceNorm takes its statistics from what it sees, so that tiles disagree with each other
and with the whole image (Buglakova et al., ICCV 2025). Here the statistics of each norm are
pooled over the cores of all tiles while the norms before it are frozen already. Then every
pixel depends on its surroundings alone, and tiles with enough context equal the whole image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.engine.local_norm import with_local_norms
from napari_tileseg.engine.norm_passes import measuring_passes
from napari_tileseg.engine.norm_statistics import apply, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.norm_statistics import SeenTile, Statistics
    from napari_tileseg.engine.tiles import Tile


class FrozenNorms:
    """A network whose InstanceNorms are frozen, to other statistics for each plane of a stack.

    Parameters
    ----------
    network
        A network for which `local_norm.freezable` holds. It is copied, not changed.

    Attributes
    ----------
    network
        The copy: what computes the tiles. Its receptive field is bounded.
    passes
        How the network is measured.

    Raises
    ------
    ModelFitError
        If a norm cannot be measured.

    Examples
    --------
    >>> frozen = FrozenNorms(network)
    >>> frozen.freeze(plane, seen_tiles)  # before tiles of this plane are computed
    >>> logits = frozen.network.logits(tile)
    """

    def __init__(self, network: Network) -> None:
        self.network = with_local_norms(network)
        self.passes = measuring_passes(self.network)
        self._known: dict[tuple[int, ...], Statistics] = {}
        self._plane: tuple[int, ...] | None = None

    @property
    def cost(self) -> float:
        """What measuring takes for each plane, in runs of the network over all its tiles."""
        return sum(step.share for step in self.passes)

    def freeze(
        self,
        plane: tuple[int, ...],
        tiles: Callable[[], Iterable[SeenTile]],
        check: Callable[[], None] | None = None,
        progress: Callable[[float], None] | None = None,
        n_tiles: int = 0,
    ) -> bool:
        """Make the network one for a plane; measure it if that was not done before.

        Parameters
        ----------
        plane
            Any index that tells planes apart.
        tiles, check, progress, n_tiles
            See `measure`.

        Returns
        -------
        Whether the statistics are others than before the call. Then copies of the network, and
        answers that were kept to be used again, belong to another plane.
        """
        if plane == self._plane:
            return False
        self._plane = None
        if plane not in self._known:
            self._known[plane] = measure(self.network, self.passes, tiles, check, progress, n_tiles)
        apply(self.network, self._known[plane])
        self._plane = plane
        return True

    def forget(self, plane: tuple[int, ...]) -> None:
        """Give up what is known about a plane that is finished."""
        self._known.pop(plane, None)
        if plane == self._plane:
            self._plane = None


def measured_core(
    tile: Tile, shape: Sequence[int], *, stride: int, margin: int = 0
) -> tuple[slice, ...]:
    """Return the part of a tile that counts, in pixels of what the network is shown.

    The parts of all tiles of a grid that crops share the image out among them along multiples
    of the stride. At the borders of the image they are open, and hold whatever is shown
    there beyond the image, as in the whole image.

    Parameters
    ----------
    tile
        One tile of a grid that crops.
    shape
        The size of the image in pixels.
    stride, margin
        Of the network, in pixels.
    """

    def within(edge: int, first: int) -> int:
        return edge // stride * stride - first + margin

    return tuple(
        slice(
            None if core.start == 0 else within(core.start, outer.start),
            None if core.stop == size else within(core.stop, outer.start),
        )
        for core, outer, size in zip(tile.core, tile.outer, shape, strict=True)
    )
