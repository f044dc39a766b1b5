"""Labels of any size in a zarr folder that can be gone on with after any interruption.

Final regions come in any order and any shape. They are collected until a block is full; then
the block is written, and after it its number is appended to a journal. However the program
ends, what the journal names is as it will stay; everything else is computed again. Every few
seconds all of it is forced onto the disk: a loss of power costs no more than what came since,
and what of that has not reached the disk is found out and computed again.
"""

from __future__ import annotations

import secrets
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_tileseg.engine.spec import NOT_COMPUTED, ClassInfo
from napari_tileseg.engine.tiles import split_by_blocks
from napari_tileseg.errors import OutputError
from napari_tileseg.io.blocks import Blocks, touching
from napari_tileseg.io.finished import Finished
from napari_tileseg.io.sheets import KEY, label_sheet, new_array, not_written
from napari_tileseg.io.side_sheets import (
    CONFIDENCE,
    PROBABILITIES,
    new_side_sheets,
    reopened_side_sheets,
)
from napari_tileseg.io.store_about import (
    lock_store,
    open_store,
    plain,
    read_about,
    require_same,
    stored_facts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from napari_tileseg.engine.tiles import TileGrid
    from napari_tileseg.io.sheets import Sheet

__all__ = ["LabelStore", "read_about", "stored_facts"]

_FEW = 12


class LabelStore:
    """A zarr array (*planes, *spatial) of uint8 labels, written once, block by block.

    A context manager: until it is closed nobody else can write to the folder. One thread may
    write while others ask how far it is.

    Parameters
    ----------
    sheets
        What is written; the labels come last.

    Raises
    ------
    OutputError
        If another run writes to the folder, or it cannot be written.
    """

    def __init__(self, sheets: Sequence[Sheet]) -> None:
        self.path = sheets[-1].path
        self.array = sheets[-1].array
        self._sheets = sheets
        self._counts = np.zeros(NOT_COMPUTED + 1, np.int64)
        self._blocks = Blocks(sheets)
        self._busy = Lock()
        self._lock = lock_store(self.path)
        try:
            self._finished = Finished(sheets)
        except OSError as error:
            self._lock.close()
            raise not_written(self.path, error) from error
        self._uncounted = self.done

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
        probabilities: Path | None = None,
        confidence: Path | None = None,
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
            What the labels depend on: image, model, settings; values that JSON can hold.
        classes, pixel_size_um
            For whoever reads the labels.
        probabilities, confidence
            Folders for these, which do not exist either.

        Raises
        ------
        OutputError
            If there is something at one of the paths, or it cannot be written.
        """
        if path.exists():
            raise OutputError(
                f"'{path}' exists. Go on with it by --resume, or choose another --out."
            )
        about: dict[str, Any] = {
            "facts": plain(facts),
            "classes": [{"name": one.name, "colour": one.colour} for one in classes],
            "pixel_size_um": pixel_size_um,
            "spatial_dims": spatial_dims,
            "run": secrets.token_hex(8),
        }
        paths = {PROBABILITIES: probabilities, CONFIDENCE: confidence}
        about["beside"] = [kind for kind, one in paths.items() if one is not None]
        beside = new_side_sheets(paths, shape, about)
        array = new_array(
            path,
            shape,
            spatial_dims=spatial_dims,
            dtype="uint8",
            fill=NOT_COMPUTED,
            about={KEY: about},
        )
        return cls([*beside, label_sheet(path, array)])

    @classmethod
    def resume(
        cls,
        path: Path,
        facts: Mapping[str, Any],
        *,
        probabilities: Path | None = None,
        confidence: Path | None = None,
    ) -> Self:
        """Open a store to go on with it.

        Raises
        ------
        OutputError
            If there is no store, or it was made from something else; the message names the
            difference.
        """
        if not path.exists():
            raise OutputError(f"There is no '{path}' to go on with. Leave out --resume.")
        array, about = open_store(path, "r+")
        if about is None:
            raise OutputError(
                f"'{path}' is no store of labels that a run has left. Choose another --out."
            )
        require_same(path, about["facts"], facts)
        paths = {PROBABILITIES: probabilities, CONFIDENCE: confidence}
        beside = reopened_side_sheets(paths, path, about)
        return cls([*beside, label_sheet(path, array)])

    def close(self) -> None:
        """Force what is finished onto the disk, and let others write to the folder.

        Raises
        ------
        OutputError
            If the disk refuses; what the journal names is checked when somebody goes on.
        """
        with self._busy:
            if self._lock.closed:
                return
            try:
                self._force()
            finally:
                self._finished.close()
                self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            self.close()
        except OutputError:
            if error is None:  # else the reason is being reported already
                raise

    @property
    def complete(self) -> bool:
        """Whether every block is on disk."""
        return bool(self._finished.done.all())

    @property
    def done(self) -> NDArray[np.bool_]:
        """Which blocks are on disk, (*planes, *blocks) bool."""
        return self._finished.done.copy()

    def write(
        self,
        region: tuple[slice, ...],
        labels: NDArray[np.uint8],
        probabilities: NDArray[Any] | None = None,
    ) -> None:
        """Take a final region; each pixel comes once.

        Parameters
        ----------
        region
            Where, in pixels of the labels.
        labels
            Class indices in the shape of the region.
        probabilities
            (classes, *region), if the store keeps something that is made from them.

        Raises
        ------
        OutputError
            If the disk is full or gone; blocks that are done stay done.
        """
        with self._busy:
            values = [sheet.take(labels, probabilities) for sheet in self._sheets]
            try:
                for key, in_block, in_region in split_by_blocks(region, self.array.chunks):
                    if not self._finished.done[key]:
                        self._add(key, in_block, [_cut(value, in_region) for value in values])
            except OSError as error:
                raise not_written(self.path, error) from error

    def flush(self) -> None:
        """Force what is finished onto the disk, so that it outlasts a loss of power.

        Raises
        ------
        OutputError
            If the disk refuses.
        """
        with self._busy:
            self._force()

    def wanted(self, grid: TileGrid) -> NDArray[np.bool_]:
        """Return which tiles touch a block that is not done, (*planes, tiles) bool."""
        return touching(~self._finished.done, self.array.chunks, grid)

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Return how many finished pixels each class has, (classes,)."""
        for place in np.argwhere(self._uncounted):
            key = tuple(int(index) for index in place)
            self._counts += _counted(self._sheets[-1].read(self._blocks.where(key)))
            self._uncounted[key] = False
        return self._counts[:classes].copy()

    def _add(
        self,
        key: tuple[int, ...],
        in_block: tuple[slice, ...],
        values: list[NDArray[Any]],
    ) -> None:
        labels = self._blocks.add(key, in_block, values)
        if labels is None:
            return
        self._finished.add(key)
        self._counts += _counted(labels)

    def _force(self) -> None:
        try:
            self._finished.force()
        except OSError as error:
            raise not_written(self.path, error) from error


def _counted(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pixels of each value; for few values five times as fast as `bincount`."""
    highest = int(labels.max())
    if highest >= _FEW:
        return np.bincount(labels.ravel(), minlength=NOT_COMPUTED + 1)
    counts = np.zeros(NOT_COMPUTED + 1, np.int64)
    counts[: highest + 1] = [np.count_nonzero(labels == value) for value in range(highest + 1)]
    return counts


def _cut(values: NDArray[Any], region: tuple[slice, ...]) -> NDArray[Any]:
    within: Any = (..., *region)
    cut: NDArray[Any] = values[within]
    return cut
