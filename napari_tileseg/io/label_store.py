"""Labels of any size in a zarr folder that can be gone on with after any interruption.

Final regions come in any order and any shape. They are collected until a chunk is full; then
the chunk is written, and after it its number is appended to a journal. However the program
ends, what the journal names is as it will stay; everything else is computed again. (If the
whole computer loses power, that holds only for what the system had put on the disk by then.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import zarr

from napari_tileseg.engine.spec import NOT_COMPUTED, ClassInfo
from napari_tileseg.engine.tiles import split_by_blocks
from napari_tileseg.errors import OutputError
from napari_tileseg.io.locks import take_lock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from napari_tileseg.engine.tiles import TileGrid

_CHUNK = {2: 512, 3: 128}
_JOURNAL = ".chunks-done"
_LOCK = ".lock"
_NUMBER = 8  # bytes of a chunk's number in the journal
_KEY = "tileseg"


class LabelStore:
    """A zarr array (*planes, *spatial) of uint8 labels, written once, chunk by chunk.

    A context manager: until it is closed nobody else can write to the folder.

    Parameters
    ----------
    path
        The folder.
    array
        The zarr array in it.
    n_leading
        How many axes of the array are planes.

    Raises
    ------
    OutputError
        If another run writes to the folder, or it cannot be written.
    """

    def __init__(self, path: Path, array: Any, n_leading: int) -> None:
        self.path = path
        self.array = array
        self._n_leading = n_leading
        self._grid_shape = tuple(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))
        self._lock = _locked(path)
        self._journal = path / _JOURNAL
        self._done = np.zeros(self._grid_shape, bool)
        try:
            self._done.ravel()[_mended_journal(self._journal, self._done.size)] = True
        except OSError as error:
            self.close()
            raise _not_written(path, error) from error
        self._begun: dict[tuple[int, ...], tuple[NDArray[np.uint8], int]] = {}

    @classmethod
    def create(
        cls,
        path: Path,
        shape: Sequence[int],
        *,
        spatial_dims: int,
        facts: Mapping[str, Any],
        classes: Sequence[ClassInfo],
        pixel_size_um: float | None = None,
    ) -> Self:
        """Make an empty store.

        Parameters
        ----------
        path
            A folder that does not exist.
        shape
            The shape of the labels in pixels.
        spatial_dims
            How many of the last axes are spatial.
        facts
            What the labels depend on: image, model, settings; plain values.
        classes, pixel_size_um
            For whoever reads the labels.

        Raises
        ------
        OutputError
            If there is something at `path`, or it cannot be written.
        """
        if path.exists():
            raise OutputError(
                f"'{path}' exists. Go on with it by --resume, or choose another --out."
            )
        leading = len(shape) - spatial_dims
        side = _CHUNK.get(spatial_dims, 512)
        chunks = (1,) * leading + tuple(min(side, n) for n in shape[leading:])
        about = {
            "facts": dict(facts),
            "classes": [{"name": one.name, "colour": one.colour} for one in classes],
            "pixel_size_um": pixel_size_um,
            "spatial_dims": spatial_dims,
        }
        try:
            array = zarr.create_array(
                store=str(path),
                shape=tuple(shape),
                chunks=chunks,
                dtype="uint8",
                fill_value=NOT_COMPUTED,
                attributes={_KEY: about},
            )
        except OSError as error:
            raise _not_written(path, error) from error
        return cls(path, array, leading)

    @classmethod
    def resume(cls, path: Path, facts: Mapping[str, Any]) -> Self:
        """Open a store to go on with it.

        Raises
        ------
        OutputError
            If there is no store, or it was made from something else; the message names the
            difference.
        """
        if not path.exists():
            raise OutputError(f"There is no '{path}' to go on with. Leave out --resume.")
        array, about = _open(path, "r+")
        if about is None:
            raise OutputError(
                f"'{path}' is no store of labels that a run has left. Choose another --out."
            )
        differences = [
            f"{name} was {was!r}, now {facts.get(name)!r}"
            for name, was in about["facts"].items()
            if facts.get(name) != was
        ]
        if differences:
            raise OutputError(
                f"'{path}' cannot be gone on with, because it was made from something else: "
                f"{'; '.join(differences)}. Use the same, or choose another --out."
            )
        return cls(path, array, len(array.shape) - about["spatial_dims"])

    def close(self) -> None:
        """Let others write to the folder."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def complete(self) -> bool:
        """Whether every chunk is on disk."""
        return bool(self._done.all())

    def write(self, region: tuple[slice, ...], labels: NDArray[np.uint8]) -> None:
        """Take a final region; each pixel comes once.

        Raises
        ------
        OutputError
            If the disk is full or gone; chunks that are done stay done.
        """
        for key, in_chunk, in_region in split_by_blocks(region, self.array.chunks):
            if self._done[key]:
                continue
            chunk, missing = self._begun.get(key) or self._new_chunk(key)
            chunk[in_chunk] = labels[in_region]
            missing -= chunk[in_chunk].size
            if missing:
                self._begun[key] = (chunk, missing)
            else:
                self._begun.pop(key, None)
                self._finish(key, chunk)

    def wanted(self, grid: TileGrid) -> NDArray[np.bool_]:
        """Return which tiles touch a chunk that is not done, (*planes, tiles) bool."""
        planes = self._done.shape[: self._n_leading]
        sides = self.array.chunks[self._n_leading :]
        wanted = np.empty((*planes, len(grid)), bool)
        for number, tile in enumerate(grid):
            touched = tuple(
                slice(part.start // side, -(-part.stop // side))
                for part, side in zip(tile.core, sides, strict=True)
            )
            within: tuple[Any, ...] = (..., *touched)
            block = self._done[within]
            wanted[..., number] = ~block.reshape(*planes, -1).all(axis=-1)
        return wanted

    def _finish(self, key: tuple[int, ...], chunk: NDArray[np.uint8]) -> None:
        where = tuple(
            slice(place * side, place * side + length)
            for place, side, length in zip(key, self.array.chunks, chunk.shape, strict=True)
        )
        number = int(np.ravel_multi_index(key, self._grid_shape))
        try:
            self.array[where] = chunk
            with self._journal.open("ab") as journal:
                journal.write(number.to_bytes(_NUMBER, "little"))
        except OSError as error:
            raise _not_written(self.path, error) from error
        self._done[key] = True

    def _new_chunk(self, key: tuple[int, ...]) -> tuple[NDArray[np.uint8], int]:
        sizes = [
            min(side, n - place * side)
            for place, side, n in zip(key, self.array.chunks, self.array.shape, strict=True)
        ]
        chunk = np.full(sizes, NOT_COMPUTED, np.uint8)
        return chunk, chunk.size


def stored_facts(path: Path) -> dict[str, Any]:
    """Return what a store was made from; nothing if there is no store."""
    about = _open(path, "r")[1]
    return {} if about is None else dict(about["facts"])


def read_about(
    path: Path,
) -> tuple[zarr.Array[Any], tuple[ClassInfo, ...], float | None] | None:
    """Return the array, classes and pixel size of a store; None if the folder is no store."""
    array, about = _open(path, "r")
    if about is None:
        return None
    return array, tuple(ClassInfo(**one) for one in about["classes"]), about["pixel_size_um"]


def _open(path: Path, mode: Literal["r", "r+"]) -> tuple[Any, dict[str, Any] | None]:
    try:
        array = zarr.open_array(str(path), mode=mode)
    except (OSError, ValueError, KeyError):
        return None, None
    about: Any = array.attrs.get(_KEY)
    return array, about if isinstance(about, dict) else None


def _locked(path: Path) -> BinaryIO:
    try:
        lock = take_lock(path / _LOCK)
    except OSError as error:
        raise _not_written(path, error) from error
    if lock is None:
        raise OutputError(
            f"Another run writes to '{path}' at this moment. Wait until it has ended, "
            "or choose another --out."
        )
    return lock


def _mended_journal(path: Path, n_chunks: int) -> NDArray[np.uint64]:
    """Read the numbers in a journal, and cut off one that was not written to its end."""
    if not path.exists():
        return np.empty(0, np.uint64)
    content = path.read_bytes()
    whole = len(content) // _NUMBER * _NUMBER
    if whole < len(content):
        with path.open("r+b") as journal:
            journal.truncate(whole)
    numbers = np.frombuffer(content[:whole], "<u8")
    return numbers[numbers < n_chunks]


def _not_written(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"'{path}' cannot be written ({error.strerror or error}). What is finished is kept; make "
        "room and go on with --resume, or choose another --out."
    )
