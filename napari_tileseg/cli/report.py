"""Results for a person: the area of each class, and the files that hold the labels."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from napari_tileseg.cli.console import note
from napari_tileseg.io.labels import export

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    import numpy as np

    from napari_tileseg.cli.segment import Job
    from napari_tileseg.engine.meter import RunReport


def area_table(job: Job, pixels: np.ndarray) -> str:
    """Return a table of the area of each class.

    Parameters
    ----------
    job
        What was segmented.
    pixels
        (classes,) int64.
    """
    size = job.opened.pixel_size_um if len(job.source.spatial_shape) == 2 else None
    width = max(5, *(len(one.name) for one in job.network.classes))
    unit = f"{'µm²':>16}" if size else ""
    lines = [f"{'class':<{width}}{'pixels':>16}{'share':>9}{unit}"]
    for one, count, share in zip(job.network.classes, pixels, shares(job, pixels), strict=True):
        area = f"{count * size * size:>16,.1f}" if size else ""
        lines.append(f"{one.name:<{width}}{count:>16,}{share:>9}{area}")
    return "\n".join(lines)


def shares(job: Job, pixels: np.ndarray) -> list[str]:
    """Return the share of the image that each class covers, as in "12.3%"."""
    total = prod(job.source.label_shape)
    return [f"{count / total:.1%}" for count in pixels]


def conclude(args: argparse.Namespace, job: Job, pixels: np.ndarray, report: RunReport) -> None:
    """Say what was found and how far tiles disagreed; the log says the rest."""
    if not args.quiet:
        print(area_table(job, pixels))
    if report.mismatch is not None:
        note(args, report.mismatch.sentence)


def save(job: Job, labels: Any, target: Path, report: RunReport | None = None) -> Path:
    """Write labels with their class names, and where they come from."""
    plan = job.plan
    mismatch = None if report is None else report.mismatch
    return export(
        labels,
        target,
        classes=job.network.classes,
        pixel_size_um=job.opened.pixel_size_um,
        provenance={
            "image": job.opened.name,
            "model": job.network.spec.name,
            "model sha256": job.network.provenance.get("sha256"),
            "settings": job.settings.changed(),
            "run": {
                "mode": plan.mode.value,
                "tile": list(plan.tile),
                "blend": plan.blend.value,
                "precision": plan.precision.value,
                **({} if mismatch is None else {"tile mismatch": mismatch.share}),
            },
        },
    )
