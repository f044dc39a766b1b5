"""What becomes of labels when classes are merged or deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Table = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Relabelling:
    """Other numbers for the labels of a model and of a person.

    Attributes
    ----------
    table
        (256,) uint8: the new number of each label.
    forgets
        (256,) bool: labels about which a person's word is taken back, because what it meant
        is gone.
    """

    table: Table
    forgets: npt.NDArray[np.bool_]

    @classmethod
    def merging(cls, label: int, into: int) -> Self:
        """Give the pixels of one class to another; the classes after it move up by one."""
        table = _without(label)
        table[label] = table[into]
        return cls(table, np.zeros(256, np.bool_))

    @classmethod
    def deleting(cls, label: int) -> Self:
        """Drop a class: the model's pixels become background, the person's word is forgotten.

        Nobody said that those pixels are background, so nothing may be learnt from them.
        """
        table = _without(label)
        table[label] = 0
        return cls(table, np.arange(256) == label)

    def counts(self, before: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return (256,) how many pixels show each label, from how many did."""
        after = np.zeros_like(before)
        np.add.at(after, self.table, before)
        return after


def _without(label: int) -> Table:
    table = np.arange(256)
    # 255 stands for "not computed" and keeps its number
    table[label + 1 : 255] -= 1
    return table.astype(np.uint8)
