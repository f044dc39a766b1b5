"""Which part of a layer is on screen, and a word whenever that changes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_tileseg.annotation.sparse import Region

    OnChange = Callable[[tuple[float, ...], tuple[float, ...] | None], object]

DEBOUNCE_MS = 120

_ONE_PLANE = 0.5
_EPSILON = 1e-6
_FILLED = 0.8
"""Of the canvas, what is come near to takes so much, so that its surroundings are seen too."""


@dataclass(frozen=True)
class Viewport:
    """What is on screen of a layer, in the layer's data coordinates.

    Attributes
    ----------
    point
        The middle of the view, one number an axis; pixel centres are whole numbers.
    extent
        Half the size of the view in pixels, one number an axis (0.5 across the displayed
        plane: half of one plane); None in 3-D, where everything is on screen.
    """

    point: tuple[float, ...]
    extent: tuple[float, ...] | None

    def region(self, shape: tuple[int, ...]) -> Region | None:
        """Return the pixels of an array of `shape` on screen; None in 3-D or if there are none."""
        if self.extent is None:
            return None
        point, extent = np.asarray(self.point), np.asarray(self.extent)
        # of the axes that are not displayed napari shows the nearest plane
        point = np.where(extent <= _ONE_PLANE, np.round(point), point)
        # a pixel reaches half its size to both sides of its centre
        low = np.clip(np.floor(point - extent + 0.5 + _EPSILON), 0, shape).astype(int)
        high = np.clip(np.ceil(point + extent + 0.5 - _EPSILON), 0, shape).astype(int)
        if (low >= high).any():
            return None
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def visible_region(viewer: ViewerModel, layer: Layer) -> Viewport:
    """Say what is on screen of `layer`, whatever its scale, rotation, units or order of axes.

    Parameters
    ----------
    viewer
        Its camera, canvas size and sliders say what is shown.
    layer
        May have fewer axes than the viewer, like any layer.
    """
    dims, camera = viewer.dims, viewer.scene.camera
    displayed = list(dims.displayed)
    middle = np.array(dims.point, float)
    middle[displayed] = camera.center[-len(displayed) :]
    to_layer = _units_factor(viewer, layer, dims.ndim)
    point = _to_data(layer, middle * to_layer)
    if dims.ndisplay != 2:
        return Viewport(tuple(point.tolist()), None)
    half = np.array(viewer.canvas.size, float) / camera.zoom / 2  # (height, width)
    corners = []
    for sign in product((-1, 1), repeat=2):
        corner = middle.copy()
        corner[displayed] += half * sign
        corners.append(_to_data(layer, corner * to_layer))
    extent = np.abs(np.array(corners) - point).max(axis=0)
    return Viewport(tuple(point.tolist()), tuple(np.maximum(extent, _ONE_PLANE).tolist()))


def pixels_in_view(viewer: ViewerModel, layer: Layer) -> Region | None:
    """Return which pixels of a layer are on screen; None in 3-D or if there are none."""
    shape = tuple(layer.data.shape[: layer.ndim])  # the colours of a pixel are no axis
    return visible_region(viewer, layer).region(shape)


def why_none(viewer: ViewerModel, what: str) -> str:
    """Say why no pixels of something are on screen, and what to do."""
    flat = viewer.dims.ndisplay == 2
    return f"{what} not in view." if flat else "Look at a plane (2D view) first."


def look_at(viewer: ViewerModel, layer: Layer, region: Region, *, near: bool = False) -> None:
    """Move the view to a region of a layer.

    Parameters
    ----------
    viewer, layer
        What is looked at where.
    region
        In the layer's data coordinates.
    near
        Whether to come so near that the region nearly fills the canvas.
    """
    middle = [(axis.start + axis.stop - 1) / 2 for axis in region]
    world = np.asarray(to_world(viewer, layer, middle))
    displayed, camera = list(viewer.dims.displayed), viewer.scene.camera
    viewer.dims.point = tuple(world)
    camera.center = tuple(world[displayed])
    if near and len(displayed) == 2:
        ends = product(*((axis.start - 0.5, axis.stop - 0.5) for axis in region))
        corners = [np.asarray(to_world(viewer, layer, end))[displayed] for end in ends]
        size = np.maximum(np.ptp(corners, axis=0), _EPSILON)
        camera.zoom = float(_FILLED * (np.array(viewer.canvas.size) / size).min())


def to_data(viewer: ViewerModel, layer: Layer, world: Sequence[float]) -> tuple[float, ...]:
    """Return where a point of the world lies in the data of a layer; pixel centres are whole."""
    factor = _units_factor(viewer, layer, len(world))
    return tuple(_to_data(layer, np.asarray(world, float) * factor).tolist())


def to_world(viewer: ViewerModel, layer: Layer, point: Sequence[float]) -> tuple[float, ...]:
    """Return (viewer.dims.ndim,) where a point in the data of a layer lies in the world."""
    ndim = viewer.dims.ndim
    world = np.array(viewer.dims.point, float)
    world[ndim - layer.ndim :] = np.asarray(layer.data_to_world(point), float)
    world[ndim - layer.ndim :] /= _units_factor(viewer, layer, ndim)[ndim - layer.ndim :]
    return tuple(world.tolist())


def _to_data(layer: Layer, world: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(layer.world_to_data(world), float)


def _units_factor(viewer: ViewerModel, layer: Layer, ndim: int) -> npt.NDArray[np.float64]:
    """Return (ndim,) what to multiply world coordinates with to have them in the layer's units.

    The world has the units of all layers together; `Layer.world_to_data` expects the layer's.
    """
    factor = np.ones(ndim)
    world: Sequence[Any] | None = viewer.layers.extent.units
    if world is None:  # the layers contradict each other, and napari leaves units out
        return factor
    count = min(layer.ndim, ndim, len(world))
    for axis in range(-count, 0):
        factor[axis] = layer.units[axis].m_from(1 * world[axis])
    return factor


class ViewportWatcher:
    """Tells where a person looks, once the view has come to rest and once at the beginning.

    Parameters
    ----------
    viewer, layer
        See `visible_region`.
    on_change
        Called in the GUI thread with the point and the extent of the `Viewport`.
    debounce_ms
        How long the view has to rest.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        layer: Layer,
        on_change: OnChange,
        *,
        debounce_ms: int = DEBOUNCE_MS,
    ) -> None:
        self._viewer = viewer
        self._layer = layer
        self._on_change = on_change
        self._told: Viewport | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(debounce_ms)
        self._timer.timeout.connect(self._tell)
        self._bound = ExitStack()
        self._bound.callback(self._timer.stop)
        for emitter in _emitters(viewer, layer):
            emitter.connect(self._on_view_moved)
            self._bound.callback(emitter.disconnect, self._on_view_moved)
        self._tell()

    @property
    def region(self) -> Region | None:
        """The pixels of the layer on screen now; None in 3-D or if there are none."""
        return pixels_in_view(self._viewer, self._layer)

    def close(self) -> None:
        """Let go of viewer and layer; nothing is told any more."""
        self._bound.close()

    def _on_view_moved(self, event: object = None) -> None:
        self._timer.start()

    def _tell(self) -> None:
        now = visible_region(self._viewer, self._layer)
        if now != self._told:
            self._told = now
            self._on_change(now.point, now.extent)


def _emitters(viewer: ViewerModel, layer: Layer) -> list[Any]:
    """Return the events after which another part of the layer may be on screen."""
    camera, dims = viewer.scene.camera.events, viewer.dims.events
    return [
        camera.center,
        camera.zoom,
        dims.point,
        dims.order,
        dims.ndisplay,
        viewer.canvas.events.size,
        layer.events.scale,
        layer.events.translate,
        layer.events.rotate,
        layer.events.shear,
        layer.events.affine,
        layer.events.units,
    ]
