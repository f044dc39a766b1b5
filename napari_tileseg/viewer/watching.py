"""Noticing that an image is not any more what was read of it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

_READ = ("data", "scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def watch(layer: Image, on_changed: Callable[[Any], object]) -> ExitStack:
    """Call back when the pixels or the place of a layer change, until the stack is closed."""
    watched = ExitStack()
    for name in _READ:
        emitter = getattr(layer.events, name)
        emitter.connect(on_changed)
        watched.callback(emitter.disconnect, on_changed)
    return watched
