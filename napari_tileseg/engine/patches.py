"""From merged tiles to patches of labels, which travel from the device meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.engine.doubt import doubt, told_within
from napari_tileseg.engine.spec import Task
from napari_tileseg.engine.transfer import Landing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_tileseg.engine.canvas import Box, Merged
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.tiles import Tile


@dataclass(frozen=True, eq=False)
class Patch:
    """A region of the result.

    Attributes
    ----------
    region
        Where, in coordinates of the labels: slices of length 1 on the leading axes, then
        pixels.
    labels
        uint8 class indices in the shape of the region; for a multilabel model
        (classes, *region) bool.
    final
        Whether these labels will not change any more in this run.
    tiles_done, tiles_total
        How far the run is.
    probabilities
        (classes, *region) float32, only where final and if asked for.
    doubt
        How undecided the network is at some pixels of the region, as `engine.doubt` has it,
        with the leading axes; only where final and if asked for.
    """

    region: tuple[slice, ...]
    labels: NDArray[Any]
    final: bool
    tiles_done: int
    tiles_total: int
    probabilities: NDArray[np.float32] | None = None
    doubt: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class _Piece:
    """Labels of a box of one plane: a part of what is on its way back from the device."""

    plane: tuple[int, ...]
    box: Box
    final: bool
    labels: Landing
    part: Box
    probabilities: Landing | None = None
    doubt: Landing | None = None


@dataclass(frozen=True)
class Computed:
    """What a tile has changed, on its way back from the device.

    Attributes
    ----------
    low_high
        The extremes of its logits, (2,).
    pieces
        Labels by box.
    """

    low_high: Landing
    pieces: tuple[_Piece, ...]


class Patches:
    """Turns what tiles have changed into patches, and counts the tiles.

    Parameters
    ----------
    network
        Decides between the classes.
    total
        How many tiles there are in all.
    provisional
        Whether to tell what may still change too.
    probabilities
        Whether final patches come with probabilities.
    doubts
        Whether they come with how undecided the network is.
    """

    def __init__(
        self,
        network: Network,
        total: int,
        *,
        provisional: bool,
        probabilities: bool,
        doubts: bool = False,
    ) -> None:
        self._network = network
        self._total = total
        self._provisional = provisional
        self._probabilities = probabilities
        self._doubts = doubts
        self._done = 0

    def sent(
        self, plane: tuple[int, ...], tile: Tile, merged: Merged, low_high: Landing
    ) -> Computed:
        """Decide what a tile has changed, and send it on its way; nothing waits for it."""
        return Computed(low_high, tuple(self._pieces(plane, tile, merged)))

    def landed(self, computed: Computed) -> Iterator[Patch]:
        """Wait for what was sent.

        Raises
        ------
        NetworkError
            If the logits of the tile are not numbers.
        """
        self._network.require_finite(computed.low_high.tensor())
        self._done += 1
        for piece in computed.pieces:
            yield self._patch(piece)

    def empty(self, plane: tuple[int, ...], box: Box) -> Patch:
        """Return a patch for which no tile is computed: the first class."""
        classes = len(self._network.classes)
        several = (classes,) if self._network.spec.task is Task.MULTILABEL else ()
        shape = [1] * len(plane) + [part.stop - part.start for part in box]
        sure = None
        if self._probabilities:
            sure = np.zeros((classes, *shape), np.float32)
            sure[0] = not several
        unsure = None
        if self._doubts:
            told = told_within(box, box)
            unsure = np.zeros([1] * len(plane) + [at.stop - at.start for at in told], np.float32)
        return Patch(
            region=_region(plane, box),
            labels=np.zeros((*several, *shape), bool if several else np.uint8),
            final=True,
            tiles_done=self._done,
            tiles_total=self._total,
            probabilities=sure,
            doubt=unsure,
        )

    def _pieces(self, plane: tuple[int, ...], tile: Tile, merged: Merged) -> Iterator[_Piece]:
        together = None
        if self._provisional:
            together = Landing(self._network.decide(merged.evidence))
            if not merged.all_final:
                everything = tuple(slice(None) for _ in tile.core)
                yield _Piece(plane, tile.core, False, together, everything)
        for box in merged.final:
            part = tuple(
                slice(inner.start - core.start, inner.stop - core.start)
                for inner, core in zip(box, tile.core, strict=True)
            )
            evidence = merged.evidence[(slice(None), *part)]
            sure = unsure = None
            if self._probabilities:
                sure = Landing(self._network.probabilities(evidence.float() / merged.unit))
            if self._doubts:
                unsure = Landing(doubt(self._network, evidence, box, merged.unit))
            if together is not None:
                yield _Piece(plane, box, True, together, part, sure, unsure)
            else:
                alone = Landing(self._network.decide(evidence))
                everything = tuple(slice(None) for _ in part)
                yield _Piece(plane, box, True, alone, everything, sure, unsure)

    def _patch(self, piece: _Piece) -> Patch:
        shape = [1] * len(piece.plane) + [part.stop - part.start for part in piece.box]
        inside: tuple[Any, ...] = (..., *piece.part)
        labels = piece.labels.array()[inside]
        several = labels.shape[: labels.ndim - len(piece.box)]
        sure = None if piece.probabilities is None else piece.probabilities.array()
        unsure = None if piece.doubt is None else piece.doubt.array()
        leading = (1,) * len(piece.plane)
        return Patch(
            region=_region(piece.plane, piece.box),
            labels=labels.reshape(*several, *shape),
            final=piece.final,
            tiles_done=self._done,
            tiles_total=self._total,
            probabilities=None if sure is None else sure.reshape(len(sure), *shape),
            doubt=None if unsure is None else unsure.reshape(*leading, *unsure.shape),
        )


def _region(plane: tuple[int, ...], box: Box) -> tuple[slice, ...]:
    return (*(slice(index, index + 1) for index in plane), *box)
