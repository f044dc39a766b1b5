"""Labels straight into a zarr store: for images of any size, and to go on after a stop."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.cli.segment import settled
from napari_tileseg.engine.predict import stream_plan
from napari_tileseg.io.label_store import LabelStore, stored_facts
from napari_tileseg.settings import Precision

if TYPE_CHECKING:
    from napari_tileseg.cli.console import Advance
    from napari_tileseg.cli.segment import Job
    from napari_tileseg.engine.plan import Plan

_ROWS = 4096


def run_to_store(job: Job, path: Path, advance: Advance, *, resume: bool) -> np.ndarray:
    """Segment an image into a store, or go on with one.

    Parameters
    ----------
    job
        From `plan_job`.
    path
        The folder.
    advance
        Called with (tiles done, tiles in all) of this run.
    resume
        Whether the folder was left by a run that did not come to its end.

    Returns
    -------
    (classes,) int64: how many pixels each class has, in all of the store.

    Raises
    ------
    OutputError
        If the store cannot be made, gone on with, or written.
    """
    if resume:
        job = replace(job, plan=_as_before(job, path))
    plan = settled(job).plan
    facts = _facts(job, plan, path)
    if resume:
        store = LabelStore.resume(path, facts)
    else:
        store = LabelStore.create(
            path,
            job.label_shape,
            spatial_dims=len(job.source.spatial_shape),
            facts=facts,
            classes=job.network.classes,
            pixel_size_um=job.opened.pixel_size_um,
        )
    with store:
        wanted = store.wanted(plan.grid)
        patches = stream_plan(plan, job.source, job.network, wanted=wanted, provisional=False)
        for patch in patches:
            store.write(patch.region, patch.labels)
            advance(patch.tiles_done, patch.tiles_total)
        return _counted(store.array, len(job.network.classes))


def _as_before(job: Job, path: Path) -> Plan:
    """Take over what the first run decided by measuring, so that it is not decided anew."""
    before = stored_facts(path).get("precision")
    if job.plan.precision is not Precision.AUTO or before is None:
        return job.plan
    return replace(job.plan, precision=Precision(before))


def _facts(job: Job, plan: Plan, out: Path) -> dict[str, Any]:
    """Return everything that the labels depend on."""
    import torch

    on_cpu = plan.device.type == "cpu"
    return {
        "image": job.opened.path.name,
        **_file_facts(job.opened.path, out),
        "image axes": job.source.axes,
        "model": job.network.provenance.get("sha256", job.network.spec.name),
        "channels": list(plan.channels),
        "mode": plan.mode.value,
        "blend": plan.blend.value,
        "tile": list(plan.tile),
        "second tile": [axis.starts[1] if len(axis) > 1 else 0 for axis in plan.grid.axes],
        "batch": plan.batch,
        "precision": plan.precision.value,
        "device": plan.device.type,
        # sums are split among the threads, and so rounded in another order
        "number of threads (OMP_NUM_THREADS)": torch.get_num_threads() if on_cpu else "any",
    }


def _file_facts(image: Path, out: Path) -> dict[str, Any]:
    """Tell a changed image from an unchanged one without reading it; `out` can lie in it."""
    if not image.is_dir():
        file = image.stat()
        return {"image bytes": file.st_size, "image modified": file.st_mtime_ns}
    files = n_bytes = newest = 0
    for folder, inner, names in os.walk(image):
        inner[:] = [name for name in inner if Path(folder, name).resolve() != out.resolve()]
        for name in names:
            file = Path(folder, name).stat()
            files, n_bytes = files + 1, n_bytes + file.st_size
            newest = max(newest, file.st_mtime_ns)
    return {"image files": files, "image bytes": n_bytes, "image modified": newest}


def _counted(array: Any, classes: int) -> np.ndarray:
    pixels = np.zeros(classes, np.int64)
    rows = array.shape[-2] if array.ndim > 1 else 1
    for plane in np.ndindex(*array.shape[:-2]):
        for first in range(0, rows, _ROWS):
            band = array[(*plane, slice(first, first + _ROWS))]
            pixels += np.bincount(band.ravel(), minlength=classes)[:classes]
    return pixels
