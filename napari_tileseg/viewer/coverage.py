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
        self._boxes: list[list[tuple[int, int]]] = []
        self._array: NDArray[np.int64] | None = None

    def add(self, region: tuple[slice, ...]) -> None:
        """Count a region as final."""
        self._boxes.append([(part.start, part.stop) for part in region])
        self._array = None

    def covers(self, region: tuple[slice, ...]) -> bool:
        """Return whether every pixel of a region is final (an empty one never is)."""
        wanted = prod(max(0, part.stop - part.start) for part in region)
        if not wanted or not self._boxes:
            return False
        if self._array is None:
            self._array = np.array(self._boxes, dtype=np.int64)  # (boxes, axes, start and stop)
        low = np.maximum(self._array[..., 0], [part.start for part in region])
        high = np.minimum(self._array[..., 1], [part.stop for part in region])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        return bool(shared.sum() == wanted)
