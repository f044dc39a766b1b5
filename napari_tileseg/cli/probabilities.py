"""The merged probabilities of a run, written to a zarr array while it goes on."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_tileseg.cli.output import is_store, try_to_write
from napari_tileseg.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy as np

    from napari_tileseg.cli.segment import Job

_CHUNK = 512
_MARK = {"tileseg": "probabilities"}


class ProbabilityStore:
    """A zarr array (classes, *label shape) of float16, written region by region."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def write(self, region: tuple[slice, ...], values: np.ndarray) -> None:
        """Store (classes, *region) probabilities at a region of the labels."""
        self._array[(slice(None), *region)] = values.astype(self._array.dtype)


def require_place(path: Path, others: Iterable[Path]) -> None:
    """See that probabilities may be written to the folder `path`; nothing is touched.

    Parameters
    ----------
    path
        A folder that does not exist, or one of probabilities, which will be replaced.
    others
        What the run reads and writes besides: the folder must have nothing to do with it.

    Raises
    ------
    OutputError
        If it holds, or might hold, anything else.
    """
    if not is_store(path):
        raise OutputError(
            f"Probabilities go to a zarr folder: '{path.name}' has to end in .zarr. "
            "Change --probabilities."
        )
    here = path.resolve()
    for other in others:
        there = other.expanduser().resolve()
        if here == there or here in there.parents or (there in here.parents and other.exists()):
            raise OutputError(
                f"The probabilities would be mixed up with '{other}'. "
                "Choose a folder of their own with --probabilities."
            )
    _require_ours(path)


def prepare_place(path: Path) -> None:
    """Make the folder that the probabilities go into, and see that it can be written to."""
    try_to_write(path, "--probabilities")


def _require_ours(path: Path) -> None:
    """Let nothing be replaced but what an earlier run has marked as probabilities."""
    import zarr

    if not path.exists() and not path.is_symlink():
        return
    try:
        marks = {} if path.is_symlink() else dict(zarr.open_array(path, mode="r").attrs)
    except (OSError, ValueError, KeyError, TypeError):
        marks = {}
    if any(marks.get(name) != value for name, value in _MARK.items()):
        raise OutputError(
            f"'{path}' exists, and is no folder of probabilities, so it is not replaced. "
            "Choose another name with --probabilities, or remove it yourself."
        )


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
            attributes={**_MARK, "classes": [one.name for one in job.network.classes]},
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
    _require_ours(path)
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(old)
    try:
        unfinished.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
