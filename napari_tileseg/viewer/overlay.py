"""The overlay that shows who said what: corrected, reviewed, not computed yet, the model."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log2
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tileseg.annotation.survey import survey
from napari_tileseg.viewer.hatching import hatched
from napari_tileseg.viewer.scene import Picture
from napari_tileseg.viewer.viewport import ViewportWatcher, to_world, visible_region

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.components import ViewerModel

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.viewer.layers import SegmentationLabels

_SOON_MS = 150
_MARGIN = 0.25
"""So much more than is on screen is drawn to each side, for when the view moves."""

_MOST_STEP = 256
_MOST_ZOOM = 64


@dataclass(frozen=True)
class Frame:
    """What of a plane is drawn, and how finely.

    Attributes
    ----------
    region
        In the layer's data; one plane.
    axes
        The two axes that are displayed, the one that goes down first.
    step
        A cell of the picture covers so many pixels of the data a side ...
    zoom
        ... and is so many pixels of the picture wide; one of the two is 1.
    """

    region: Region
    axes: tuple[int, int]
    step: int
    zoom: int


class Overlay:
    """Draws it, for what is on screen only.

    Attributes
    ----------
    toggled
        Emits whether it is shown.
    """

    toggled = Signal(bool)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: SegmentationLabels | None = None
        self._picture = Picture(viewer)
        self._watcher: ViewportWatcher | None = None
        self.is_shown = False
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self.draw)

    def follow(self, layer: SegmentationLabels | None) -> None:
        """Say about this layer from now on who said what."""
        self._let_go()
        self._layer = layer
        if layer is None:
            self._picture.hide()
        elif self.is_shown:
            self._begin(layer)

    def toggle(self) -> None:
        """Show or hide it."""
        self.is_shown = not self.is_shown
        self._let_go()
        if self.is_shown and self._layer is not None:
            self._begin(self._layer)
        else:
            self._picture.hide()
        self.toggled.emit(self.is_shown)

    def _begin(self, layer: SegmentationLabels) -> None:
        layer.events.vouched_changed.connect(self.again_soon)
        layer.events.visible.connect(self.again_soon)
        # tells once at the beginning, so that it is drawn
        self._watcher = ViewportWatcher(self._viewer, layer, lambda point, extent: self.draw())

    def _let_go(self) -> None:
        self._soon.stop()
        if self._watcher is not None and self._layer is not None:
            self._watcher.close()
            self._watcher = None
            self._layer.events.vouched_changed.disconnect(self.again_soon)
            self._layer.events.visible.disconnect(self.again_soon)

    def close(self) -> None:
        """Take it off the canvas."""
        self._let_go()
        self._layer = None
        self._picture.close()

    def again_soon(self, event: object = None) -> None:
        """Draw it again in a moment, once for all that happens until then."""
        if self.is_shown and self._layer is not None and not self._soon.isActive():
            self._soon.start()

    def draw(self) -> None:
        """Draw it now."""
        layer = self._layer
        frame = None if layer is None else frame_of(self._viewer, layer)
        if layer is None or frame is None or not layer.visible:
            self._picture.hide()
            return
        pixels = picture_of(layer, frame)
        corner = [float(axis.start) for axis in frame.region]
        down, right = list(corner), list(corner)
        for axis in frame.axes:
            for point in (corner, down, right):
                point[axis] -= 0.5
        size = frame.step / frame.zoom
        down[frame.axes[0]] += size
        right[frame.axes[1]] += size
        shown = list(self._viewer.dims.displayed)
        places = [np.array(to_world(self._viewer, layer, p))[shown] for p in (corner, down, right)]
        self._picture.show(pixels, places[0], places[1] - places[0], places[2] - places[0])


def frame_of(viewer: ViewerModel, layer: SegmentationLabels) -> Frame | None:
    """Say what is on screen of a layer, and around it; None in 3-D or if it is elsewhere."""
    seen = visible_region(viewer, layer)
    if seen.extent is None:
        return None
    first = viewer.dims.ndim - layer.ndim
    down, right = (axis - first for axis in viewer.dims.displayed)
    if min(down, right) < 0:
        return None
    wide = list(seen.extent)
    for axis in (down, right):
        wide[axis] *= 1 + 2 * _MARGIN
    region = type(seen)(seen.point, tuple(wide)).region(layer.data.shape)
    if region is None:
        return None
    height, width = viewer.canvas.size
    px = max(2 * seen.extent[down] / height, 2 * seen.extent[right] / width)
    step = min(_MOST_STEP, 2 ** max(0, floor(log2(px))))
    zoom = min(_MOST_ZOOM, max(1, round(1 / px)))
    aligned = list(region)
    for axis in (down, right):
        aligned[axis] = slice(region[axis].start // step * step, region[axis].stop)
    return Frame(tuple(aligned), (down, right), step, zoom if step == 1 else 1)


def picture_of(layer: SegmentationLabels, frame: Frame) -> npt.NDArray[np.uint8]:
    """Return (H, W, 4) the picture of a frame."""
    steps = tuple(frame.step if axis in frame.axes else 1 for axis in range(layer.ndim))
    cells = survey(layer.sheet, frame.region, steps)
    down, right = frame.axes
    others = tuple(axis for axis in range(layer.ndim) if axis not in frame.axes)
    plane = cells.transpose((*others, down, right))[(0,) * len(others)]
    enlarged = plane.repeat(frame.zoom, 0).repeat(frame.zoom, 1)
    first = [frame.region[axis].start // frame.step * frame.zoom for axis in (down, right)]
    return hatched(enlarged, (first[0], first[1]))
