"""Which tile next: the plane that is looked at, and in it the tiles nearest to the focus."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.tiles import TileGrid

_LOOKED_THROUGH = 8
"""A batch of equal shapes is picked from this many times its tiles."""


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


@dataclass(frozen=True)
class Batch:
    """Tiles of one shape to be computed at once.

    Attributes
    ----------
    plane
        An index on each leading axis.
    section
        Which of the grids that a plane is cut into.
    numbers
        The numbers of the tiles in that grid.
    """

    plane: tuple[int, ...]
    section: int
    numbers: tuple[int, ...]

    @property
    def unit(self) -> tuple[tuple[int, ...], int]:
        """The section of a plane that the tiles belong to."""
        return self.plane, self.section


Unit = tuple[tuple[int, ...], int]


class Schedule:
    """Hands out every tile of every plane once.

    Without a focus tiles come row by row, which needs the least memory. With one the
    tiles nearest to it come first, and the rest row by row: what waits at the border of
    a patch that is finished takes memory, so the patch is only as large as `near` says. What
    is left is put in order again whenever the focus moves.

    Parameters
    ----------
    sections
        The tiles of one plane: one grid, or several from left to right.
    leading_shape
        How many planes there are along each leading axis.
    focus
        Where to begin.
    wanted
        For each section (*leading_shape, tiles) bool: the tiles to hand out; all if None.
    near
        How many tiles come by their distance to the focus; all if None.
    crowded
        Says whether no further patch may be begun, since memory is short.
    band_px
        How far the rows reach along the last axis: a wider grid is swept band by band. As far
        as the grid if None.
    """

    def __init__(
        self,
        sections: Sequence[TileGrid],
        leading_shape: tuple[int, ...] = (),
        focus: Focus | None = None,
        wanted: Sequence[NDArray[np.bool_]] | None = None,
        near: int | None = None,
        crowded: Callable[[], bool] | None = None,
        band_px: int | None = None,
    ) -> None:
        self._sections = sections
        self._focus = focus or Focus()
        self._near = near
        self._crowded = crowded or (lambda: False)
        self._band_px = band_px or max(grid.axes[-1].size for grid in sections)
        self._pending: dict[Unit, NDArray[np.bool_]] = {}
        for plane in np.ndindex(*leading_shape):
            for number, grid in enumerate(sections):
                tiles = np.ones(len(grid), bool) if wanted is None else wanted[number][plane].copy()
                if tiles.any():
                    self._pending[plane, number] = tiles
        self.total = int(sum(tiles.sum() for tiles in self._pending.values()))
        self._seen_version = -1
        self._unit: Unit | None = None
        self._queue = array("q")  # a large image has many tiles, and an int takes 28 bytes

    @property
    def moved(self) -> bool:
        """Whether the focus has moved since tiles were last put in order."""
        return self._focus.state[0] != self._seen_version

    def take(self, count: int) -> Batch | None:
        """Return up to `count` tiles of one shape; None when all are taken."""
        if self.moved or not self._queue:
            self._put_in_order()
        if self._unit is None:
            return None
        numbers = self._equal_shapes(count)
        pending = self._pending[self._unit]
        pending[list(numbers)] = False
        if not self._queue:
            del self._pending[self._unit]
        return Batch(*self._unit, numbers)

    def give_back(self, batch: Batch) -> None:
        """Take tiles back that were handed out and will not be computed now."""
        pending = self._pending.get(batch.unit)
        if pending is None:
            pending = self._pending[batch.unit] = np.zeros(len(self._sections[batch.section]), bool)
        pending[list(batch.numbers)] = True
        self._queue = array("q")

    def _equal_shapes(self, count: int) -> tuple[int, ...]:
        first = self._queue.pop()
        if count == 1:
            return (first,)
        assert self._unit is not None
        grid = self._sections[self._unit[1]]
        shape = grid[first].shape
        nearest = self._queue[: -_LOOKED_THROUGH * count - 1 : -1]
        alike = [number for number in nearest if grid[number].shape == shape][: count - 1]
        for number in alike:
            self._queue.remove(number)
        return (first, *alike)

    def _put_in_order(self) -> None:
        self._seen_version, point, extent = self._focus.state
        self._queue = array("q")
        self._unit = self._nearest_unit(point)
        if self._unit is None:
            return
        numbers = np.flatnonzero(self._pending[self._unit])
        if point is not None:
            away = self._grid_centres()[numbers] - np.asarray(point[-self._n_spatial :])
            if extent is not None:
                away /= np.maximum(extent[-self._n_spatial :], 1.0)
            by_distance = numbers[np.argsort((away**2).sum(axis=1), kind="stable")]
            near = 0 if self._crowded() else self._near
            near = len(numbers) if near is None else near
            numbers = np.concatenate([by_distance[:near], self._swept(by_distance[near:])])
        else:
            numbers = self._swept(numbers)
        self._queue = array("q", numbers[::-1].astype(np.int64).tobytes())

    def _swept(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """Put tiles in raster order band by band, but the last two rows in turn, column by column.

        The last row is flush with the border and can share nearly all its pixels with the row
        before: row by row, all of that would wait.
        """
        assert self._unit is not None
        axes = self._sections[self._unit[1]].axes
        row, *columns = places = np.unravel_index(numbers, [len(axis) for axis in axes])
        begin = np.array([first for first, _ in axes[-1].cores])
        band = (begin - begin[0])[places[-1]] // self._band_px
        turn = np.minimum(row, len(axes[0]) - 2)
        return numbers[np.lexsort((row, *reversed(columns), turn, band))]

    @property
    def _n_spatial(self) -> int:
        return len(self._sections[0].axes)

    def _grid_centres(self) -> NDArray[np.float64]:
        assert self._unit is not None
        return self._sections[self._unit[1]].centres

    def _nearest_unit(self, point: tuple[float, ...] | None) -> Unit | None:
        if point is None:
            return next(iter(self._pending), None)
        plane, across = point[: -self._n_spatial], point[-1]

        def distance(unit: Unit) -> tuple[float, float]:
            first, *_, last = self._sections[unit[1]].axes[-1].edges
            beside = max(first - across, across - last, 0.0)
            return sum(abs(a - b) for a, b in zip(unit[0], plane, strict=True)), beside

        return min(self._pending, key=distance, default=None)
