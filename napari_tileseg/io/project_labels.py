"""The labels in a project folder: chunks of several layers, written again where they change."""

from __future__ import annotations

import time
from math import prod
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_tileseg.annotation.sparse import chunk_region, shape_of
from napari_tileseg.errors import ProjectError
from napari_tileseg.io.project_facts import not_saved
from napari_tileseg.io.project_log import Log
from napari_tileseg.io.project_planes import Planes, chunk_grid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_tileseg.annotation.model_sheet import Words
    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.io.project_log import Key

_ATTEMPTS = 5


class Chunk(NamedTuple):
    """One chunk of the labels of one layer.

    Attributes
    ----------
    sheet
        The number of the layer in the project.
    shape
        Of all labels of the layer.
    at
        Its place: 256 x 256 px over the last two axes.
    words
        All that was said about it.
    """

    sheet: int
    shape: tuple[int, ...]
    at: tuple[int, ...]
    words: Words


class StoredLabels:
    """The labels of all layers of a project; any thread may call the methods.

    Parameters
    ----------
    folder
        Where they lie.
    writable
        Whether chunks are written; only one at a time may do that.

    Raises
    ------
    OSError
        If the files cannot be read.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self._folder = folder
        self._busy = RLock()
        self._unreadable = 0
        self._log = _opened(folder, writable=writable)

    @property
    def damaged(self) -> int:
        """How many chunks were found damaged so far; an earlier state takes their place."""
        return self._unreadable + self._log.damaged

    def is_there(self) -> bool:
        """Whether what is written to is still in the folder."""
        return self._log.is_there()

    def close(self) -> None:
        """Let go of the files."""
        with self._busy:
            self._log.close()

    def keep_only(self, sheets: Collection[int]) -> None:
        """Let the chunks of all other layers count no more."""
        with self._busy:
            self._log.keep_only(sheets)

    def places(self, sheet: int, shape: Sequence[int]) -> list[tuple[int, ...]]:
        """Return which chunks of a layer are saved."""
        grid = chunk_grid(shape)
        # without the lock: a window that asks must not wait for a disk that is written to
        numbers = [key[1] for key in self._log if key[0] == sheet and key[1] < prod(grid)]
        return [tuple(int(at) for at in np.unravel_index(one, grid)) for one in numbers]

    def write(self, chunks: Iterable[Chunk]) -> None:
        """Save chunks, and wait until they would outlast a loss of power.

        Raises
        ------
        ProjectError
            If they cannot be written; then none of them counts.
        """
        records = [
            ((one.sheet, _number(one.at, one.shape)), Planes.of(one.words).to_bytes())
            for one in chunks
        ]
        with self._busy:
            needed = [(key, content) for key, content in records if content or key in self._log]
            if not needed:
                return
            try:
                self._log.append(needed)
            except OSError as error:
                raise not_saved(self._folder.parent, error) from error

    def read(self, sheet: int, shape: Sequence[int]) -> Iterator[tuple[Region, Words]]:
        """Yield what was said about the chunks of a layer; damaged ones are counted.

        Parameters
        ----------
        sheet
            The number of the layer.
        shape
            Of all its labels.

        Raises
        ------
        ProjectError
            If the files cannot be read.
        """
        for at in sorted(self.places(sheet, shape)):
            region = chunk_region(at, tuple(shape))
            content = self._content((sheet, _number(at, shape)))
            try:
                planes = Planes.from_bytes(content, shape_of(region))
            except ProjectError:
                self._unreadable += 1
            else:
                yield region, planes.words(shape_of(region))

    def _content(self, key: Key) -> bytes:
        try:
            with self._busy:
                return self._log.read(key)
        except OSError as error:
            raise ProjectError(
                f"The labels saved in '{self._folder.parent}' cannot be read "
                f"({error.strerror or error}). Connect the disk, and open them again."
            ) from error


def _opened(folder: Path, *, writable: bool) -> Log:
    """Open the labels; somebody who writes to them may clear files away meanwhile."""
    for _ in range(_ATTEMPTS):
        try:
            if writable:
                folder.mkdir(exist_ok=True)
            return Log(folder, writable=writable)
        except FileNotFoundError:
            time.sleep(0.1)
    return Log(folder, writable=writable)


def _number(index: tuple[int, ...], shape: Sequence[int]) -> int:
    return int(np.ravel_multi_index(index, chunk_grid(shape)))
