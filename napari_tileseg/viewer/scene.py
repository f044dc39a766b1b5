"""Drawing on the canvas what is no layer: napari offers no way, so this goes to vispy.

Everything here does nothing where there is no canvas, as in a viewer without a window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.components import ViewerModel

_IN_FRONT = 10_000
"""Layers are drawn in the order of their number."""


def _scene(viewer: ViewerModel) -> Any:
    """Return the node whose coordinates are the world's (x, y, z); None without a canvas."""
    bare = getattr(viewer, "__wrapped__", viewer)  # plugins are given a viewer that hides this
    try:
        return bare.window._qt_viewer.canvas.view.scene
    except (AttributeError, RuntimeError):
        return None


class Picture:
    """A picture in the world, in front of all layers."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._node: Any = None

    def show(self, pixels: npt.NDArray[np.uint8], corner: Any, down: Any, right: Any) -> None:
        """Show (H, W, 4) pixels.

        Parameters
        ----------
        pixels
            Red, green, blue, opacity.
        corner, down, right
            (2,) world coordinates (row, column) of the outer corner of the first pixel, and how
            far it is from one pixel to the one below, and to the right.
        """
        from vispy.visuals.transforms import MatrixTransform

        if self._node is None:
            self._node = self._made()
        if self._node is None:
            return
        matrix = np.eye(4)
        matrix[0, :2], matrix[1, :2], matrix[3, :2] = right[::-1], down[::-1], corner[::-1]
        self._node.set_data(pixels)
        self._node.transform = MatrixTransform(matrix)
        self._node.visible = True
        self._node.update()

    def _made(self) -> Any:
        from vispy.scene.visuals import Image

        scene = _scene(self._viewer)
        if scene is None:
            return None
        node = Image(
            np.zeros((1, 1, 4), np.uint8), parent=scene, interpolation="nearest", method="auto"
        )
        node.order = _IN_FRONT
        node.set_gl_state("translucent", depth_test=False)
        return node

    def hide(self) -> None:
        """Show nothing."""
        if self._node is not None:
            self._node.visible = False

    def close(self) -> None:
        """Take it off the canvas."""
        if self._node is not None:
            self._node.parent = None
            self._node = None


class Outline:
    """A closed line in the world, in front of all layers."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._nodes: list[Any] = []

    def show(self, corners: npt.NDArray[np.float64]) -> None:
        """Draw a line through (n, 2) world coordinates (row, column) and back to the first."""
        if not self._nodes:
            self._nodes = self._made()
        closed = np.vstack([corners, corners[:1]])[:, ::-1]
        for node in self._nodes:
            node.set_data(pos=closed)
            node.visible = True

    def _made(self) -> list[Any]:
        from vispy.scene.visuals import Line

        scene = _scene(self._viewer)
        if scene is None:
            return []
        nodes = []
        # light within dark is seen on any image
        for place, (colour, width) in enumerate((("black", 5), ("white", 2))):
            node = Line(np.zeros((2, 2)), color=colour, width=width, parent=scene, method="agg")
            node.order = _IN_FRONT + 1 + place
            node.set_gl_state("translucent", depth_test=False)
            nodes.append(node)
        return nodes

    def hide(self) -> None:
        """Draw nothing."""
        for node in self._nodes:
            node.visible = False

    def close(self) -> None:
        """Take it off the canvas."""
        for node in self._nodes:
            node.parent = None
        self._nodes = []
