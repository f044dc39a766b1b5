"""Tiles of one single value (padding of a scanner, empty background) are computed once.

A network answers equal input with equal output, so the answer to such a tile can be used
again. It has the same bits as computing it anew in a batch of the same size; kernels may
differ between batch sizes, so where bits count keep the batch size fixed, or compute what is
put in here in the batch size of the run.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

    import torch
    from numpy.typing import NDArray

_SAMPLES = 8
"""Pixels along each axis that are looked at before all of them are."""


class UniformTiles:
    """Remembers the logits of tiles in which every channel has one single value.

    It holds for one network, one normalisation and one precision: one object for each run, and
    for each plane where statistics of the plane are frozen into the network.

    Parameters
    ----------
    limit
        How many answers are kept; the one that was not asked for the longest goes first.
    limit_bytes
        How much memory they may take in all.
    """

    def __init__(self, limit: int = 16, limit_bytes: int = 256 * 2**20) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Hashable, torch.Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Memory that the answers take now."""
        return sum(logits.nbytes for logits in self._kept.values())

    @staticmethod
    def key(raw: NDArray[Any]) -> Hashable | None:
        """Return what tells tiles of one value apart, None for all other tiles.

        Parameters
        ----------
        raw
            (channels, *spatial) pixels as they were read, mirrored parts included. Most tiles
            are told by a few of their pixels.
        """
        axes = range(1, raw.ndim)
        first = raw[(slice(None), *(slice(0, 1) for _ in axes))]
        corners = raw[(slice(None), *(slice(None, None, max(1, raw.shape[a] - 1)) for a in axes))]
        sample = raw[
            (slice(None), *(slice(None, None, 1 + raw.shape[a] // _SAMPLES) for a in axes))
        ]
        if not all((part == first).all() for part in (corners, sample, raw)):
            return None
        return raw.shape, raw.dtype.str, first.tobytes()

    def get(self, key: Hashable | None) -> torch.Tensor | None:
        """Return logits (outputs, *spatial) that were put under a key, to be read only."""
        if key is None or key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key]

    def put(self, key: Hashable | None, logits: torch.Tensor) -> None:
        """Keep a copy of the logits (outputs, *spatial) of a tile; None as key keeps nothing."""
        if key is None or logits.nbytes > self._limit_bytes:
            return
        self._kept[key] = logits.clone()  # a view would keep the whole batch in memory
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit or self.nbytes > self._limit_bytes:
            self._kept.popitem(last=False)
