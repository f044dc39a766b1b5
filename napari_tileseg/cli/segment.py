"""One image from file to labels: what `predict` and `demo` have in common."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.engine.device import memory_errors_explained
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import stream_plan
from napari_tileseg.engine.settle import settle
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_tileseg.cli.console import Advance
    from napari_tileseg.cli.probabilities import ProbabilityStore
    from napari_tileseg.engine.meter import Meter
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.predict import Patch
    from napari_tileseg.io.images import OpenedImage
    from napari_tileseg.settings import RunSettings

_LARGEST_IN_MEMORY = 256 * 2**20
_BLOCK = 2**24


@dataclass(frozen=True)
class Job:
    """An image, the network that reads it, and how the two are brought together."""

    opened: OpenedImage
    network: Network
    settings: RunSettings
    source: Source
    plan: Plan

    @property
    def multilabel(self) -> bool:
        """Whether a pixel can be several classes at once."""
        return self.network.spec.task is Task.MULTILABEL

    @property
    def label_shape(self) -> tuple[int, ...]:
        """The shape of the result; a multilabel model has a first axis of classes."""
        classes = (len(self.network.classes),) if self.multilabel else ()
        return (*classes, *self.source.label_shape)


def plan_job(
    opened: OpenedImage, network: Network, settings: RunSettings, axes: str | None = None
) -> Job:
    """Say how an image will be segmented; nothing is computed yet."""
    source = Source(
        opened.levels,
        axes=axes or opened.axes,
        spatial_dims=network.spec.spatial_dims,
        name=opened.name,
    )
    return Job(opened, network, settings, source, make_plan(source, network, settings))


def settled(job: Job) -> Job:
    """Decide what has to be measured on the image, so that it is known and stays."""
    with memory_errors_explained(job.plan.device):
        return replace(job, plan=settle(job.plan, job.source, job.network))


def run_job(
    job: Job,
    labels: Any,
    advance: Advance,
    probabilities: ProbabilityStore | None = None,
    meter: Meter | None = None,
) -> np.ndarray:
    """Segment an image into `labels` and count what was found.

    Parameters
    ----------
    job
        From `plan_job`.
    labels
        An array of the job's `label_shape`, which is written region by region.
    advance
        Called with (tiles done, tiles in all).
    probabilities
        Where the probabilities of final regions go.
    meter
        Is told what the time goes to.

    Returns
    -------
    (classes,) int64: how many pixels each class has.
    """
    pixels = np.zeros(len(job.network.classes), np.int64)
    patches = stream_plan(job.plan, job.source, job.network, provisional=False, meter=meter)
    for patch in patches:
        pixels += _counted(patch, len(pixels))
        labels[(..., *patch.region)] = patch.labels
        if probabilities is not None and patch.probabilities is not None:
            probabilities.write(patch.region, patch.probabilities)
        advance(patch.tiles_done, patch.tiles_total)
    return pixels


def _counted(patch: Patch, classes: int) -> np.ndarray:
    if patch.labels.dtype == bool:  # one layer a class; a pixel can be in several
        counts: np.ndarray = patch.labels.reshape(classes, -1).sum(1, dtype=np.int64)
        return counts
    return np.bincount(patch.labels.ravel(), minlength=classes)[:classes]


@contextmanager
def label_array(job: Job, folder: Path) -> Iterator[Any]:
    """Lend an empty array for the labels: in memory, or in a file of `folder` if it is large.

    Raises
    ------
    OutputError
        If there is no room for the file, or it cannot be written.
    """
    dtype = np.dtype(bool if job.multilabel else np.uint8)
    if np.prod(job.label_shape, dtype=np.int64) <= _LARGEST_IN_MEMORY:
        yield np.zeros(job.label_shape, dtype)
        return
    try:
        # without a buffer: one that is left over on a full disk fails again on closing
        scratch = tempfile.NamedTemporaryFile(  # noqa: SIM115
            dir=folder, prefix=".labels-", suffix=".part", buffering=0
        )
    except OSError as error:
        raise OutputError(
            f"'{folder}' cannot be written to ({error.strerror}). Choose another output folder."
        ) from error
    with scratch:
        _make_room(scratch, int(np.prod(job.label_shape, dtype=np.int64)) * dtype.itemsize, folder)
        yield np.memmap(scratch, dtype, mode="r+", shape=job.label_shape)


def _make_room(scratch: Any, n_bytes: int, folder: Path) -> None:
    """Fill a file with zeros: writing to a mapped file for which there is no room is fatal."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(scratch.fileno(), 0, n_bytes)
        else:
            _write_zeros(scratch, n_bytes)
    except OSError as error:
        raise OutputError(
            f"The labels need {n_bytes / 1e9:,.3g} GB in '{folder}' while they are computed, and "
            f"these are not to be had ({error.strerror or error}). Make room there, or choose "
            "another --out."
        ) from error


def _write_zeros(scratch: Any, n_bytes: int) -> None:
    while n_bytes:
        n_bytes -= scratch.write(bytes(min(_BLOCK, n_bytes)))
