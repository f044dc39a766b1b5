"""A mode of the mouse: drag a rectangle, or hold Shift and draw freehand around a region."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_tileseg.annotation.sparse import Region, box_around
from napari_tileseg.viewer.scene import Outline
from napari_tileseg.viewer.viewport import to_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    from napari.components import ViewerModel

    from napari_tileseg.viewer.layers import SegmentationLabels

    Mask = npt.NDArray[np.bool_]
    Drawn = Callable[[Region, Mask, bool], object]

_CANCEL = "Escape"


class Marking:
    """While it is on, the mouse draws regions on one layer instead of moving the view.

    Parameters
    ----------
    viewer
        Whose mouse.
    on_drawn
        Called with a region, a mask of its shape, and whether Alt was held.

    Attributes
    ----------
    toggled
        Emits whether it is on.
    """

    toggled = Signal(bool)

    def __init__(self, viewer: ViewerModel, on_drawn: Drawn) -> None:
        self._viewer = viewer
        self._on_drawn = on_drawn
        self._layer: SegmentationLabels | None = None
        self._outline = Outline(viewer)
        self._held = ExitStack()

    @property
    def is_on(self) -> bool:
        """Whether the mouse draws regions."""
        return self._layer is not None

    def begin(self, layer: SegmentationLabels) -> None:
        """Let the mouse draw regions on a layer."""
        self.end()
        self._layer = layer
        self._viewer.layers.selection.active = layer
        layer.mode = "pan_zoom"
        layer.mouse_pan = False
        layer.cursor = "cross"
        callbacks = self._viewer.mouse_drag_callbacks
        callbacks.append(self._on_drag)
        self._held.callback(callbacks.remove, self._on_drag)
        before = self._viewer.keymap.get(_CANCEL)
        self._viewer.bind_key(_CANCEL, self._on_escape, overwrite=True)
        self._held.callback(self._viewer.bind_key, _CANCEL, before, overwrite=True)
        # whoever takes a brush, or another layer, is done with this
        for emitter in (layer.events.mode, self._viewer.layers.selection.events.active):
            emitter.connect(self._on_other_tool)
            self._held.callback(emitter.disconnect, self._on_other_tool)
        self.toggled.emit(True)

    def end(self) -> None:
        """Give the mouse back."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        self._held.close()
        self._outline.hide()
        if layer.mode == "pan_zoom":
            layer.mouse_pan = True
            layer.cursor = "standard"
        self.toggled.emit(False)

    def close(self) -> None:
        """Give the mouse back for good."""
        self.end()
        self._outline.close()

    def _on_escape(self, viewer: Any) -> None:
        self.end()

    def _on_other_tool(self, event: Any = None) -> None:
        self.end()

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        layer, shown = self._layer, list(event.dims_displayed)
        if layer is None or len(shown) != 2 or event.button != 1:
            return
        freehand, takes_back = "Shift" in event.modifiers, "Alt" in event.modifiers
        path = [tuple(event.position)]
        yield
        while event.type == "mouse_move":
            path.append(tuple(event.position))
            event.handled = True
            self._outline.show(_corners(path, freehand)[:, shown])
            yield
        self._outline.hide()
        drawn = _pixels_in(self._viewer, layer, _corners(path, freehand), len(path) == 1)
        if drawn is not None and self._layer is layer:
            self._on_drawn(*drawn, takes_back)


def _corners(path: list[tuple[float, ...]], freehand: bool) -> npt.NDArray[np.float64]:
    """Return (n, ndim) world coordinates of a drawn polygon."""
    points = np.array(path, float)
    if freehand:
        return points
    first, last = points[0], points[-1]
    (down, right) = _moved_axes(first, last)
    corners = np.repeat(first[None], 4, axis=0)
    corners[1, right] = corners[2, right] = last[right]
    corners[2, down] = corners[3, down] = last[down]
    return corners


def _moved_axes(first: npt.NDArray[np.float64], last: npt.NDArray[np.float64]) -> tuple[int, int]:
    moved = np.flatnonzero(first != last)
    if len(moved) < 2:
        return (len(first) - 2, len(first) - 1)
    return int(moved[0]), int(moved[-1])


def _pixels_in(
    viewer: ViewerModel, layer: SegmentationLabels, corners: npt.NDArray[np.float64], click: bool
) -> tuple[Region, Mask] | None:
    """Return which pixels of the displayed plane lie in a polygon; None if there are none."""
    from skimage.draw import polygon2mask

    if click:
        return None
    points = np.array([to_data(viewer, layer, corner) for corner in corners])
    first = viewer.dims.ndim - layer.ndim
    axes = [axis - first for axis in viewer.dims.displayed]
    if min(axes) < 0:
        return None
    shape = layer.data.shape
    region = [slice(p, p + 1) for p in np.round(points[0]).astype(int).tolist()]
    for axis in axes:
        low, high = points[:, axis].min(), points[:, axis].max()
        region[axis] = slice(
            int(np.clip(np.floor(low + 0.5), 0, shape[axis])),
            int(np.clip(np.ceil(high + 0.5), 0, shape[axis])),
        )
    if any(not 0 <= s.start < s.stop <= size for s, size in zip(region, shape, strict=True)):
        return None
    frame = [region[axis] for axis in axes]
    flat = polygon2mask(  # type: ignore[no-untyped-call]
        tuple(axis.stop - axis.start for axis in frame),
        points[:, axes] - [axis.start for axis in frame],
    )
    if not flat.any():
        return None
    mask = flat if axes[0] < axes[1] else flat.T
    whole = mask.reshape(tuple(axis.stop - axis.start for axis in region))
    box = box_around(whole)
    inside = tuple(
        slice(axis.start + cut.start, axis.start + cut.stop)
        for axis, cut in zip(region, box, strict=True)
    )
    return inside, whole[box]
