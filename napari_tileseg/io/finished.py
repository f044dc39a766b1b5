"""Which blocks of a store are finished: in memory, in the journal, and for good on the disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.io.journal import Journal, checksum_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_tileseg.io.sheets import Sheet

_JOURNAL = ".chunks-done"
_SECONDS = 10.0
"""How often what is finished is forced onto the disk."""
_SHARE = 20
"""Of the time at most one part in so many goes into that."""


class Finished:
    """The finished blocks of some sheets.

    Parameters
    ----------
    sheets
        What is written; the labels come last, and the journal lies in their folder.

    Attributes
    ----------
    done
        (*blocks,) bool.

    Raises
    ------
    OSError
        If the journal cannot be read or written; so from every method.
    """

    def __init__(self, sheets: Sequence[Sheet]) -> None:
        self._sheets = sheets
        labels = sheets[-1].array
        sizes = zip(labels.shape, labels.chunks, strict=True)
        self.done: NDArray[np.bool_] = np.zeros([-(-n // side) for n, side in sizes], bool)
        self._journal = Journal(sheets[-1].path / _JOURNAL, self.done.size)
        self._unforced = [sheet.path / "zarr.json" for sheet in sheets]
        self._unforced += self._checked()
        self._forced_at, self._forced_in = time.monotonic(), 0.0

    def _checked(self) -> Iterator[Path]:
        """Take over what the journal says, if it holds; yield what may not be on the disk."""
        wrong = set()
        for number, checksum in self._journal.unsafe.items():
            files = self._files(tuple(int(i) for i in np.unravel_index(number, self.done.shape)))
            if checksum_of(files) == checksum:
                yield from files
            else:
                wrong.add(number)
        if wrong:
            self._journal.forget(wrong)
        self.done.ravel()[[*self._journal.safe, *self._journal.unsafe]] = True

    def add(self, key: tuple[int, ...]) -> None:
        """Write down that a block is finished, after it was written."""
        files = self._files(key)
        number = int(np.ravel_multi_index(key, self.done.shape))
        self._journal.add(number, checksum_of(files))
        self._unforced += files
        self.done[key] = True
        if time.monotonic() - self._forced_at > max(_SECONDS, _SHARE * self._forced_in):
            self.force()

    def force(self) -> None:
        """Force what is finished onto the disk."""
        start = time.monotonic()
        self._journal.mark(self._unforced)
        self._unforced.clear()
        self._forced_at = time.monotonic()
        self._forced_in = self._forced_at - start

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    def _files(self, key: tuple[int, ...]) -> list[Path]:
        return [file for sheet in self._sheets for file in sheet.files(key)]
