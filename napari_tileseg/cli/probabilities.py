"""The merged probabilities of a run, written to a zarr array while it goes on."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from napari_tileseg.cli.segment import Job

_CHUNK = 512


class ProbabilityStore:
    """A zarr array (classes, *label shape) of float16, written region by region."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def write(self, region: tuple[slice, ...], values: np.ndarray) -> None:
        """Store (classes, *region) probabilities at a region of the labels."""
        self._array[(slice(None), *region)] = values.astype(self._array.dtype)


@contextmanager
def probability_store(job: Job, path: Path) -> Iterator[ProbabilityStore]:
    """Lend a store that becomes the folder `path` when all went well.

    Raises
    ------
    OutputError
        If it cannot be written; what was at `path` before is untouched.
    """
    import zarr

    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    shape = (len(job.network.classes), *job.source.label_shape)
    spatial = len(job.source.spatial_shape)
    chunks = (1,) * (len(shape) - spatial) + tuple(min(_CHUNK, n) for n in shape[-spatial:])
    try:
        array = zarr.create_array(
            store=str(unfinished),
            shape=shape,
            chunks=chunks,
            dtype="float16",
            attributes={"classes": [one.name for one in job.network.classes]},
        )
        yield ProbabilityStore(array)
        _put_in_place(unfinished, path)
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written ({error.strerror or error}). "
            "Choose another place for the probabilities."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _put_in_place(unfinished: Path, path: Path) -> None:
    """Rename a finished folder to its name; a folder that has the name makes room first."""
    if not path.exists():
        unfinished.rename(path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(old)
    try:
        unfinished.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
