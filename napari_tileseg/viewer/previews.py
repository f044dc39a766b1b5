"""What a model that learns thinks of the view, and what it would change: layers of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap

from napari_tileseg.annotation.values import NOT_COMPUTED
from napari_tileseg.viewer.links import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.engine.spec import ClassInfo
    from napari_tileseg.viewer.results import Results

_CHANGED_COLOUR = "#ff3ea5"
_CHANGED = 1


class Previews:
    """Two layers over the labels of an image; nothing of them is ever written to the labels.

    Parameters
    ----------
    viewer
        Where they are shown.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._thought: Labels | None = None
        self._changes: Labels | None = None
        self._shown = {"preview": True, "changes": True}

    def show_thought(self, results: Results, region: Region, labels: NDArray[np.uint8]) -> None:
        """Show what the model that learns says about a part of the image, as outlines."""
        colours = _colours(results.classes)
        if self._thought is None:
            name = f"{results.front.name} · while it learns"
            self._thought = self._add(name, labels, colours, self._shown["preview"])
            self._thought.contour = 1
        self._thought.colormap = colours
        _place(self._thought, results, region, labels)

    def show_changes(
        self, results: Results, region: Region, labels: NDArray[np.uint8]
    ) -> float | None:
        """Show where a model says something else than what is shown.

        Returns
        -------
        The share of the pixels that would change; None if nothing is computed there yet.
        """
        layer = results.front
        computed = layer.data[region] != NOT_COMPUTED
        open_to_change = computed & ~layer.vouched.read(region)
        changed = open_to_change & (layer.data[region] != labels)
        if self._changes is None:
            colours = DirectLabelColormap(
                color_dict={None: "transparent", 0: "transparent", _CHANGED: _CHANGED_COLOUR}
            )
            name = f"{layer.name} · would change"
            self._changes = self._add(name, changed, colours, self._shown["changes"])
        _place(self._changes, results, region, changed.astype(np.uint8) * _CHANGED)
        return float(changed.sum() / computed.sum()) if computed.any() else None

    def set_shown(self, *, preview: bool, changes: bool) -> None:
        """Show the layers, or hide them."""
        self._shown = {"preview": preview, "changes": changes}
        for layer, shown in ((self._thought, preview), (self._changes, changes)):
            if layer is not None:
                layer.visible = shown

    def forget(self, removed: object) -> None:
        """Let go of a layer that a person removed; it comes again with the next look."""
        if removed is self._thought:
            self._thought = None
        if removed is self._changes:
            self._changes = None

    def drop_thought(self) -> None:
        """Remove the preview."""
        thought, self._thought = self._thought, None
        self._remove(thought)

    def close(self) -> None:
        """Remove both layers."""
        self.drop_thought()
        changes, self._changes = self._changes, None
        self._remove(changes)

    def _remove(self, layer: Labels | None) -> None:
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _add(self, name: str, labels: Any, colours: DirectLabelColormap, shown: bool) -> Labels:
        layer = Labels(
            np.zeros(labels.shape, np.uint8),
            name=name,
            colormap=colours,
            opacity=0.9,
            visible=shown,
            metadata={OURS: {"image": ""}},
        )
        active = self._viewer.layers.selection.active
        self._viewer.add_layer(layer)
        layer.editable = False
        # whoever paints goes on painting where she was
        self._viewer.layers.selection.active = active
        return layer


def _colours(classes: Sequence[ClassInfo]) -> DirectLabelColormap:
    known: dict[int | None, str] = {i: one.colour for i, one in enumerate(classes)}
    return DirectLabelColormap(color_dict=known | {None: "transparent", 0: "transparent"})


def _place(layer: Labels, results: Results, region: Region, labels: NDArray[np.uint8]) -> None:
    """Put labels of a region exactly over the layer that they are about."""
    of = results.front
    linear = np.asarray(of.rotate) @ _shear(of) @ np.diag(of.scale)
    origin = linear @ np.array([axis.start for axis in region], float) + np.asarray(of.translate)
    layer.data = labels
    for name in ("scale", "rotate", "shear", "affine", "units", "axis_labels"):
        setattr(layer, name, getattr(of, name))
    layer.translate = origin


def _shear(layer: Labels) -> NDArray[np.float64]:
    matrix = np.eye(layer.ndim)
    matrix[np.triu_indices(layer.ndim, 1)] = layer.shear
    return matrix
