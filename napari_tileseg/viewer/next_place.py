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

_HERE = "Here the model is least sure. Correct what is wrong, then mark it as reviewed."
_AGAIN = "All places were shown; these are the first ones again."
_NOTHING = "Run first: where the model is unsure is found out while it segments."


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
        if known is None:
            known = self._doubts[front] = DoubtMap(front.data.shape, STEP_PX)
        known.restart()
        self._shown = []
        return known

    def go(self) -> None:
        """Look at the place where the model is least sure, of those not reviewed or shown yet."""
        results = self._results
        known = None if results is None else self._doubts.get(results.front)
        if results is None or known is None:
            self._session.tell(_NOTHING, Severity.WARNING)
            return
        reviewed = results.front.freeze().reviewed_boxes()
        place, said = known.worst(_closed(known, [*reviewed, *self._shown])), _HERE
        if place is None and self._shown:
            self._shown = []
            place, said = known.worst(_closed(known, reviewed)), _AGAIN
        if place is None:
            self._session.tell(_NOTHING, Severity.WARNING)
            return
        self._shown.append(place)
        look_at(self._viewer, results.front, place, near=True)
        self._session.tell(said)


def _closed(known: DoubtMap, boxes: list[Region]) -> NDArray[np.bool_]:
    """Return the cells that some boxes touch."""
    closed = np.zeros(known.shape, bool)
    for box in boxes:
        cells = (slice(at.start // CELL_PX, -(-at.stop // CELL_PX)) for at in box[-2:])
        closed[(*box[:-2], *cells)] = True
    return closed
