"""What the labels in a store depend on: written down with them, compared before going on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.settle import Found, settled_as
from napari_tileseg.io.label_store import stored_facts
from napari_tileseg.settings import Mode, Precision, Tta

if TYPE_CHECKING:
    from napari_tileseg.cli.segment import Job
    from napari_tileseg.engine.plan import Plan


def as_before(job: Job, path: Path) -> Plan:
    """Take over what the first run decided by measuring, so that it is not decided anew."""
    before = stored_facts(path)
    try:
        found = Found(
            mode=Mode(before["mode"]),
            halo=before["halo"],
            tile=max(before["tile"]),
            batch=before["batch"],
            precision=Precision(before["precision"]),
        )
    except KeyError:  # of another version: the comparison of facts names the difference
        return job.plan
    return settled_as(job.plan, job.source, job.network, found)


def facts_of(job: Job, plan: Plan, out: Path) -> dict[str, Any]:
    """Return everything that the labels depend on."""
    return {
        "image": job.opened.path.name,
        **_file_facts(job.opened.path, out),
        "image axes": job.source.axes,
        "model": job.network.provenance.get("sha256", job.network.spec.name),
        "channels": list(plan.channels),
        "mode": plan.mode.value,
        "blend": plan.blend.value,
        "halo": plan.halo,
        "tile": list(plan.tile),
        "second tile": [axis.starts[1] if len(axis) > 1 else 0 for axis in plan.grid.axes],
        "batch": plan.batch,
        "precision": plan.precision.value,
        "device": plan.device.type,
        "variants": plan.tta.value if plan.tta is Tta.NONE else f"{plan.tta}, {plan.tta_mean}",
        "compiled": plan.compile,
        "empty tiles skipped": plan.skip_empty,
        # sums are split among the threads, and so rounded in another order
        "number of threads (OMP_NUM_THREADS)": plan.threads or "any",
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
