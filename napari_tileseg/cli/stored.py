"""Labels straight into a zarr store: for images of any size, and to go on after a stop."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_tileseg.cli.segment import settled
from napari_tileseg.cli.stored_facts import as_before, facts_of
from napari_tileseg.engine.meter import Meter
from napari_tileseg.engine.pipeline import written_behind
from napari_tileseg.engine.predict import stream_plan
from napari_tileseg.io.label_store import LabelStore
from napari_tileseg.io.store_about import add_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from napari_tileseg.cli.console import Advance
    from napari_tileseg.cli.segment import Job
    from napari_tileseg.engine.plan import Plan


def run_to_store(
    job: Job,
    path: Path,
    advance: Advance,
    *,
    resume: bool,
    beside: Mapping[str, Path] | None = None,
    meter: Meter | None = None,
) -> np.ndarray:
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
    beside
        The folders for what else is asked for: "probabilities", "confidence".
    meter
        Is told what the time goes to.

    Returns
    -------
    (classes,) int64: how many pixels each class has, in all of the store.

    Raises
    ------
    OutputError
        If the store cannot be made, gone on with, or written.
    """
    if resume:
        job = replace(job, plan=as_before(job, path))
    plan = settled(job).plan
    meter = meter or Meter(plan.device)
    with _store(job, plan, path, beside or {}, resume=resume) as store:
        patches = stream_plan(
            plan, job.source, job.network, wanted=store.wanted, provisional=False, meter=meter
        )
        behind = written_behind(patches, store, meter)
        # closed before the store is, however this ends: nothing is written to a closed store
        with closing(behind):
            for patch in behind:
                advance(patch.tiles_done, patch.tiles_total)
        report = meter.report()
        if report.tiles:
            add_run(path, report.facts)
        return store.counts(len(job.network.classes))


def _store(
    job: Job, plan: Plan, path: Path, beside: Mapping[str, Path], *, resume: bool
) -> LabelStore:
    facts = facts_of(job, plan, path)
    if resume:
        return LabelStore.resume(path, facts, **beside)
    return LabelStore.create(
        path,
        job.label_shape,
        spatial_dims=len(job.source.spatial_shape),
        facts=facts,
        classes=job.network.classes,
        pixel_size_um=job.opened.pixel_size_um,
        **beside,
    )
