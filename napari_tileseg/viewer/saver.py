"""Which parts of a labels layer are to be saved; copies of them, a few at a time."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_tileseg.annotation.sparse import chunk_region, chunks_under
from napari_tileseg.annotation.values import NOT_COMPUTED
from napari_tileseg.io.project_labels import Chunk
from napari_tileseg.viewer.exports import RUNS
from napari_tileseg.viewer.links import OURS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_tileseg.viewer.layers import SegmentationLabels

SAVED_AS = "napari-tileseg project"
"""Where a layer keeps, in its metadata, in which folder and under which number it is saved."""


class Saver:
    """Follows one labels layer, also for a while after it left the viewer.

    Attributes
    ----------
    number
        Its number in the project; 0 while it has none.
    """

    def __init__(self, layer: SegmentationLabels) -> None:
        self.number = 0
        self._layer = ref(layer)
        self._sheet = layer.sheet
        self.shape = tuple(layer.data.shape)
        self._urgent: dict[tuple[int, ...], None] = {}
        self._dirty: dict[tuple[int, ...], None] = {}
        self._renumbered = self._sheet.renumbered
        self._former: dict[str, Any] | None = None
        self._known: dict[str, Any] = {}
        self._bound = ExitStack()
        layer.events.vouched_changed.connect(self._on_vouched)
        self._bound.callback(layer.events.vouched_changed.disconnect, self._on_vouched)
        self.look()

    @property
    def layer(self) -> SegmentationLabels | None:
        """The layer, while there is one."""
        return self._layer()

    @property
    def entry(self) -> dict[str, Any]:
        """What the project says about the layer, as it was when it was last looked at.

        While labels with other numbers are being saved beside the former ones, those count.
        """
        if self._former is not None:
            return self._former | {"next": self.number}
        return {"id": self.number, "shape": list(self.shape), **self._known}

    @property
    def is_dirty(self) -> bool:
        """Whether something is to be saved."""
        return bool(self._dirty or self._urgent)

    @property
    def is_renumbered(self) -> bool:
        """Whether the labels got other numbers, so that all are to be saved beside the former."""
        return self._sheet.renumbered != self._renumbered

    @property
    def vouched_px(self) -> int:
        """How many pixels a person vouches for."""
        return int(self._sheet.vouched.count)

    def close(self) -> None:
        """Let go of the layer; nothing more is found out about it."""
        self._bound.close()

    def _on_vouched(self, event: Any) -> None:
        self._urgent.update(dict.fromkeys(chunks_under(event.value)))

    def look(self) -> None:
        """Find out what has changed on the layer since this was last called."""
        self._dirty.update(dict.fromkeys(self._sheet.take_changes()))
        layer = self.layer
        if layer is None or layer.sheet is not self._sheet or self.is_renumbered:
            return
        self._known = {
            "name": layer.name,
            "classes": [[one.name, one.colour] for one in layer.classes],
            "hidden": sorted(layer.hidden),
            "visible": bool(layer.visible),
            "opacity": float(layer.opacity),
            "contour": int(layer.contour),
            "link": {k: _plain(v) for k, v in layer.metadata[OURS].items() if k != "image"},
            "runs": list(layer.metadata.get(RUNS, ())),
        }

    def renumber(self, number: int, places: Iterable[tuple[int, ...]]) -> None:
        """Save the labels under another number, and let the former ones count until `settle`.

        Parameters
        ----------
        number
            The other one.
        places
            The chunks that were saved so far.
        """
        if self._former is None and self.number:
            self._former = self.entry
        self.number = number
        self._renumbered = self._sheet.renumbered
        self.mark(places)

    def settle(self) -> None:
        """Let what is saved count, if all of it is."""
        if not self.is_dirty:
            self._former = None

    def mark_all(self) -> None:
        """Let everything be saved that is not empty."""
        if int(self._sheet.counts[NOT_COMPUTED]) < self._sheet.shown.size:
            self.mark(chunks_under(tuple(slice(0, size) for size in self.shape)))

    def mark(self, places: Iterable[tuple[int, ...]]) -> None:
        """Let some chunks be saved anew."""
        self._dirty.update(dict.fromkeys(places))

    def copy(self, until: float, most: int) -> list[Chunk]:
        """Copy what is to be saved, a person's first; it counts as saved then.

        Parameters
        ----------
        until
            When to stop, as `time.perf_counter` tells it; one chunk is copied at least.
        most
            How many chunks.
        """
        chunks: list[Chunk] = []
        for waiting in (self._urgent, self._dirty):
            while waiting and len(chunks) < most:
                if chunks and time.perf_counter() >= until:
                    return chunks
                at, _ = waiting.popitem()
                self._dirty.pop(at, None)
                words = self._sheet.words(chunk_region(at, self.shape))
                chunks.append(Chunk(self.number, self.shape, at, words))
        return chunks


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold: a table with tuples for keys becomes a list of pairs."""
    if isinstance(value, dict):
        return {"pairs": [[_plain(one), _plain(other)] for one, other in value.items()]}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
