"""Which tile next: the plane that is looked at, and in it the tiles nearest to the focus."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.tiles import TileGrid


class Focus:
    """Where somebody looks; may be moved from any thread while a run goes on.

    A point is in coordinates of the labels: an index on each leading axis, then pixels.
    """

    def __init__(
        self, point: Sequence[float] | None = None, extent: Sequence[float] | None = None
    ) -> None:
        self._lock = Lock()
        self._state: tuple[int, tuple[float, ...] | None, tuple[float, ...] | None]
        self._state = (0, None, None)
        if point is not None:
            self.move(point, extent)

    def move(self, point: Sequence[float], extent: Sequence[float] | None = None) -> None:
        """Look at another point.

        Parameters
        ----------
        point
            The middle of the view, in coordinates of the labels.
        extent
            Half the size of the view in pixels, in coordinates of the labels or for the
            spatial axes alone; a view that is wide finds tiles beside it nearer than tiles
            above it.
        """
        with self._lock:
            version = self._state[0] + 1
            self._state = (version, tuple(point), None if extent is None else tuple(extent))

    @property
    def state(self) -> tuple[int, tuple[float, ...] | None, tuple[float, ...] | None]:
        """A number that changes with each move, the point, and the extent."""
        with self._lock:
            return self._state


class Schedule:
    """Hands out every tile of every plane once.

    Without a focus tiles come in raster order, which needs the least memory; with one they
    come by their distance to it, and what is left is put in order again whenever it moves.

    Parameters
    ----------
    grid
        The tiles of one plane.
    leading_shape
        How many planes there are along each leading axis.
    focus
        Where to begin.
    wanted
        (*leading_shape, tiles) bool: the tiles to hand out; all of them if None.
    """

    def __init__(
        self,
        grid: TileGrid,
        leading_shape: tuple[int, ...] = (),
        focus: Focus | None = None,
        wanted: NDArray[np.bool_] | None = None,
    ) -> None:
        self._grid = grid
        self._wanted = wanted
        self._planes = [
            plane for plane in np.ndindex(*leading_shape) if wanted is None or wanted[plane].any()
        ]
        self._focus = focus or Focus()
        self._pending: dict[tuple[int, ...], NDArray[np.bool_]] = {}
        self._seen_version = -1
        self._plane: tuple[int, ...] = ()
        self._queue: list[int] = []

    def take(self, count: int) -> tuple[tuple[int, ...], list[int]]:
        """Return the next plane and up to `count` of its tiles; no tile when all are taken."""
        version, point, extent = self._focus.state
        if version != self._seen_version or not self._queue:
            self._seen_version = version
            self._put_in_order(point, extent)
        numbers = [self._queue.pop() for _ in range(min(count, len(self._queue)))]
        if numbers:
            self._pending[self._plane][numbers] = False
            if not self._queue:
                self._planes.remove(self._plane)
                del self._pending[self._plane]
        return self._plane, numbers

    def _put_in_order(
        self, point: tuple[float, ...] | None, extent: tuple[float, ...] | None
    ) -> None:
        if not self._planes:
            self._queue = []
            return
        n_spatial = len(self._grid.axes)
        self._plane = self._nearest_plane(None if point is None else point[:-n_spatial])
        if self._plane not in self._pending:
            everything = np.ones(len(self._grid), bool)
            wanted = everything if self._wanted is None else self._wanted[self._plane].copy()
            self._pending[self._plane] = wanted
        numbers = np.flatnonzero(self._pending[self._plane])
        if point is not None:
            away = self._grid.centres[numbers] - np.asarray(point[-n_spatial:])
            if extent is not None:
                away /= np.maximum(extent[-n_spatial:], 1.0)
            numbers = numbers[np.argsort((away**2).sum(axis=1), kind="stable")]
        self._queue = numbers[::-1].tolist()

    def _nearest_plane(self, looked_at: tuple[float, ...] | None) -> tuple[int, ...]:
        if looked_at is None:
            return self._planes[0]
        return min(
            self._planes,
            key=lambda plane: sum(abs(a - b) for a, b in zip(plane, looked_at, strict=True)),
        )
