"""Which part of the labels is final: enough to say that all one sees is ready."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Coverage:
    """The final regions of a run, which never overlap."""

    def __init__(self) -> None:
        self._count = 0
        self._room: NDArray[np.int64] | None = None  # (room for boxes, axes, start and stop)

    def add(self, region: tuple[slice, ...]) -> None:
        """Count a region as final."""
        if self._room is None:
            self._room = np.zeros((16, len(region), 2), np.int64)
        elif self._count == len(self._room):
            # twice the room each time: on the whole, a box is copied about once
            self._room = np.concatenate([self._room, np.zeros_like(self._room)])
        self._room[self._count] = [(part.start, part.stop) for part in region]
        self._count += 1

    def covers(self, region: tuple[slice, ...]) -> bool:
        """Return whether every pixel of a region is final (an empty one never is)."""
        wanted = prod(max(0, part.stop - part.start) for part in region)
        if not wanted or self._room is None:
            return False
        boxes = self._room[: self._count]
        low = np.maximum(boxes[..., 0], [part.start for part in region])
        high = np.minimum(boxes[..., 1], [part.stop for part in region])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        return bool(shared.sum() == wanted)
