"""What we need of napari that it does not offer publicly, each behind one small function.

Measured with napari 0.9: `Layer.refresh` re-uploads the whole plane, 2 to 60 ms a time; the
partial path that napari's own brush takes needs 0.1 ms. Where it is not there (any more), or
does not apply, these functions fall back to the public `refresh`.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QCoreApplication, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from weakref import WeakSet

    import numpy.typing as npt
    from napari.layers import Labels

    from napari_tileseg.annotation.sparse import Region


_TEXTURE_PX = 16_384
"""Planes larger than this may not fit a texture: napari decimates them, and uploads all of it
(60 to 150 ms) whatever has changed."""

_SLOW_SHOW_MS = 500

_waiting: WeakSet[Labels] = weakref.WeakSet()


def show_part(layer: Labels, region: Region) -> None:
    """Bring a region of the canvas up to date, after the layer's array has been written.

    Parameters
    ----------
    layer
        A single-scale labels layer over a uint8 numpy array.
    region
        In data coordinates, one slice an axis with explicit bounds.
    """
    if not layer.visible:
        return  # napari slices the layer again when it becomes visible
    try:
        _show_part(layer, region)
    except AttributeError:
        layer.refresh(extent=False, thumbnail=False, highlight=False)


def _show_part(layer: Labels, region: Region) -> None:
    if not layer.loaded:
        return  # the slice on its way is a view of the same array, drawn when it arrives
    if not _shares_canvas(layer):
        layer.refresh(extent=False, thumbnail=False, highlight=False)
        return
    if layer._get_update_slices(region) is None:
        return  # another plane than the displayed one
    layer._accumulate_updated_slice(region)
    if max(layer._slice.image.raw.shape) > _TEXTURE_PX:
        _show_pending_later(layer)
    else:
        layer._partial_labels_refresh()


def _show_pending_later(layer: Labels) -> None:
    """Show what is pending after a while, once for all that comes until then."""
    if QCoreApplication.instance() is None:
        layer._partial_labels_refresh()
    elif layer not in _waiting:
        _waiting.add(layer)
        QTimer.singleShot(_SLOW_SHOW_MS, partial(_show_waiting, weakref.ref(layer)))


def _show_waiting(reference: weakref.ref[Labels]) -> None:
    layer = reference()
    if layer is not None:
        _waiting.discard(layer)
        layer._partial_labels_refresh()


def _shares_canvas(layer: Labels) -> bool:
    """Say whether what is on the canvas is a view of the layer's own array."""
    return not layer._slice.empty and np.may_share_memory(layer.data, layer._slice.image.raw)


def forget_pending(layer: Labels) -> None:
    """Drop what was still to be shown: the array it was about has been replaced."""
    layer._updated_slice = None


def update_thumbnail(layer: Labels) -> None:
    """Draw the small picture in the layer list again (0.3 ms)."""
    try:
        layer._update_thumbnail()
    except AttributeError:
        layer.refresh(extent=False, highlight=False)


def paintable_label(layer: Labels, new_label: int) -> int:
    """Return the only label that may be painted over while 'preserve labels' is on."""
    return int(layer._get_preserve_labels_source_label(new_label))


def add_to_history(layer: Labels, atom: object) -> None:
    """Make an edit undoable, together with the others of the same mouse drag."""
    layer._save_history(atom)


def is_drawing(layer: Labels) -> bool:
    """Say whether edits of a mouse drag that still goes on have been made."""
    return bool(layer._block_history and layer._staged_history)


def commit_staged(layer: Labels) -> None:
    """Make the edits of a drag undoable that ended in an error instead of its own end."""
    layer._commit_staged_history()


def replace_history(layer: Labels, become: Callable[[Any], Any]) -> None:
    """Let every edit that can be undone or redone become another one."""
    for steps in (layer._undo_history, layer._redo_history):
        for index, strokes in enumerate(steps):
            steps[index] = [become(stroke) for stroke in strokes]


@contextmanager
def any_label_may_be_filled(layer: Labels) -> Iterator[None]:
    """Suspend 'preserve labels' for a moment, unseen by whoever listens to it."""
    before = layer._preserve_labels
    layer._preserve_labels = False
    try:
        yield
    finally:
        layer._preserve_labels = before


def take_staged(layer: Labels) -> list[object]:
    """Return the edits of the drag that is going on, and end the drag without them."""
    staged = list(layer._staged_history)
    layer._staged_history = []
    layer._block_history = False
    return staged


def box_of(indices: tuple[npt.ArrayLike, ...]) -> Region:
    """Return the box around a numpy multi-index."""
    return tuple(slice(int(np.min(axis)), int(np.max(axis)) + 1) for axis in indices)
