"""Going from place to place, to where the model is least sure and nobody has reviewed yet."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from napari_tileseg.annotation.doubts import CELL_PX, DoubtMap
from napari_tileseg.session import Severity
from napari_tileseg.viewer.viewport import look_at

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.layers import SegmentationLabels
    from napari_tileseg.viewer.results import Results

    Cells = NDArray[np.bool_]

_HERE = "Here the model is least sure. Correct what is wrong, then mark it as reviewed."
_AGAIN = "All places were shown; these are the first ones again."
_NOWHERE = "The model is sure of everything that nobody has reviewed yet."
_RUN_FIRST = "Run first: where the model is unsure is found out while it segments."


class NextPlace:
    """Knows where the model was unsure in the newest runs, and goes there.

    Parameters
    ----------
    viewer, session
        Whose view moves, and who is told.
    """

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self._results: Results | None = None
        self._doubts: WeakKeyDictionary[SegmentationLabels, DoubtMap] = WeakKeyDictionary()
        self._shown: list[Region] = []

    def bind(self, results: Results | None) -> None:
        """Go about these labels from now on."""
        self._results = results
        self._shown = []

    def begin(self, results: Results) -> DoubtMap:
        """Return where the run that begins now writes down how sure the model is."""
        from napari_tileseg.engine.doubt import STEP_PX

        front = results.front
        known = self._doubts.get(front)
        if known is None or known.labels_shape != front.data.shape:
            known = self._doubts[front] = DoubtMap(front.data.shape, STEP_PX)
        known.restart()
        self._shown = []
        return known

    def go(self) -> None:
        """Look at the place where the model is least sure, of those not reviewed or shown yet."""
        results = self._results
        known = None if results is None else self._doubts.get(results.front)
        if results is None or known is None or known.labels_shape != results.front.data.shape:
            self._session.tell(_RUN_FIRST, Severity.WARNING)
            return
        place, said = self._find(known, _reviewed(known, results.front))
        if place is not None:
            self._shown.append(place)
            look_at(self._viewer, results.front, place, near=True)
        self._session.tell(said)

    def _find(self, known: DoubtMap, reviewed: Cells) -> tuple[Region | None, str]:
        # what lies beside a place, on its plane or the next, is much like it: worth less at first
        for apart, elsewhere in ((True, True), (True, False), (False, False)):
            closed = _closed(known, self._shown, on_all_planes=elsewhere)
            if apart:
                closed = _with_neighbours(closed | reviewed)
            place = known.worst(reviewed, closed)
            if place is not None:
                return place, _HERE
        if not self._shown:
            return None, _NOWHERE
        self._shown = []
        place = known.worst(reviewed, np.zeros(known.shape, bool))
        return place, _NOWHERE if place is None else _AGAIN


def _reviewed(known: DoubtMap, layer: SegmentationLabels) -> Cells:
    everything = tuple(slice(0, size) for size in known.labels_shape)
    steps = (1,) * (len(everything) - 2) + (CELL_PX, CELL_PX)
    return layer.reviewed.cells(everything, steps)


def _closed(known: DoubtMap, places: list[Region], *, on_all_planes: bool) -> Cells:
    """Return the cells of some places, on the planes where those are or on all."""
    closed = np.zeros(known.shape, bool)
    for place in places:
        planes = (...,) if on_all_planes else place[:-2]
        cells = (slice(at.start // CELL_PX, -(-at.stop // CELL_PX)) for at in place[-2:])
        closed[(*planes, *cells)] = True
    return closed


def _with_neighbours(cells: Cells) -> Cells:
    """Return cells and those that touch them on the same plane, corners included."""
    for axis in (-2, -1):
        one_on = np.swapaxes(cells, axis, -1)
        padded = np.pad(one_on, [(0, 0)] * (cells.ndim - 1) + [(1, 1)])
        wider = padded[..., :-2] | padded[..., 1:-1] | padded[..., 2:]
        cells = np.swapaxes(wider, axis, -1)
    return cells
