"""`tileseg predict`: segment image files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg.cli.console import note, progress
from napari_tileseg.cli.model_options import add_model, read_model
from napari_tileseg.cli.options import add_command, add_settings, settings_from
from napari_tileseg.cli.output import is_store, label_paths, prepare, require_room_for
from napari_tileseg.cli.probabilities import add_sides, check_sides, sides
from napari_tileseg.engine.amounts import duration, tile_size
from napari_tileseg.errors import Cancelled, SettingsError
from napari_tileseg.settings import RunSettings

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.cli.options import Subparsers
    from napari_tileseg.cli.segment import Job
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan

_SETTINGS = (
    *("tile", "overlap", "blend", "mode", "tolerance", "device", "precision", "batch"),
    *("memory_gb", "compile", "tta", "tta_mean", "skip_empty", "channels"),
)
_EXAMPLE = """
tileseg predict slide.ome.tif --model axon_myelin_sem --out labels.ome.tif
tileseg predict scans/*.tif --model my_model.safetensors --out results --tile 768 --overlap 0.3
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "predict",
        run,
        summary="segment images of any size",
        details="Labels are written beside OUT and renamed when they are complete.",
        example=_EXAMPLE,
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files")
    add_model(parser)
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        help="a file (.ome.tif, .tif, .png, .zarr) for one image; a folder for several",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the .zarr that an interrupted run has left",
    )
    add_settings(parser, RunSettings, _SETTINGS)
    parser.add_argument(
        "--axes",
        help="what the axes of the image are, as letters like CYX or TZYX "
        "[default: what the file says]",
    )
    add_sides(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what a run would cost (time, memory, disk) and how it is done; write nothing",
    )


def run(args: argparse.Namespace) -> int:
    """Segment every image."""
    settings = settings_from(args, RunSettings, probabilities=bool(sides(args)))
    targets = label_paths(args.images, args.out)
    if args.resume and not is_store(targets[0]):
        raise SettingsError(
            "Only a .zarr can be gone on with: name it with --out, or leave out --resume."
        )
    check_sides(args, targets)
    if not args.dry_run:
        for target in targets:
            if not is_store(target):
                prepare(target)
    network = read_model(args, args.model)
    for image, target in zip(args.images, targets, strict=True):
        _predict(args, network, settings, image, target)
    return 0


def _predict(
    args: argparse.Namespace, network: Network, settings: RunSettings, image: Path, target: Path
) -> None:
    from napari_tileseg.cli.segment import plan_job
    from napari_tileseg.io.images import open_image

    with open_image(image) as opened:
        job = plan_job(opened, network, settings, args.axes)
        require_room_for(job.label_shape, target, multilabel=job.multilabel)
        for line in _describe(job, verbose=args.verbose):
            note(args, line)
        if args.dry_run:
            for line in _cost(job, keeps_labels=not is_store(target)):
                note(args, line)
            return
        for sentence in job.plan.notes:
            note(args, f"  {sentence}")
        if is_store(target):
            _store_in(args, job, target)
        else:
            _segment_to(args, job, target)


def _store_in(args: argparse.Namespace, job: Job, target: Path) -> None:
    """Run a job into a store that can be gone on with, and print the area of each class."""
    from napari_tileseg.cli.report import conclude
    from napari_tileseg.cli.stored import run_to_store
    from napari_tileseg.engine.meter import Meter

    start = time.monotonic()
    try:
        with progress(args, job.opened.name) as advance:
            meter = Meter(job.plan.device, on_survey=advance.survey)
            more = {"resume": args.resume, "beside": sides(args), "meter": meter}
            pixels = run_to_store(job, target, advance, **more)
    except KeyboardInterrupt:
        raise Cancelled(f"What is finished is in '{target}'; go on with --resume.") from None
    conclude(args, job, pixels, meter.report())
    note(args, f"wrote {target} ({duration(time.monotonic() - start)})")


def _segment_to(args: argparse.Namespace, job: Job, target: Path) -> None:
    """Run a job, write its labels and print the area of each class."""
    from napari_tileseg.cli.probabilities import probability_store
    from napari_tileseg.cli.report import conclude, save
    from napari_tileseg.cli.segment import label_array, run_job, settled
    from napari_tileseg.engine.meter import Meter

    start = time.monotonic()
    job = settled(job)
    beside = probability_store(job.source, job.network, sides(args))
    with label_array(job, target.parent) as labels, beside as store:
        with progress(args, job.opened.name) as advance:
            meter = Meter(job.plan.device, on_survey=advance.survey)
            pixels = run_job(job, labels, advance, store, meter)
        save(job, labels, target, meter.report())
    conclude(args, job, pixels, meter.report())
    note(args, f"wrote {target} ({duration(time.monotonic() - start)})")


def _cost(job: Job, *, keeps_labels: bool) -> list[str]:
    """Return what a run would cost and how it would be done; a few tiles are computed."""
    from napari_tileseg.engine.estimate import estimate

    found = estimate(job.plan, job.source, job.network, keeps_labels=keeps_labels)
    lines = [found.sentence, _way(found.plan), *found.plan.notes]
    return [f"  {line}" for line in lines]


def _describe(job: Job, *, verbose: bool) -> list[str]:
    """Return what a person should know about a job before it starts."""
    size = " x ".join(f"{n:,}" for n in job.source.label_shape)
    lines = [f"{job.opened.name}: {size} px, model {job.network.spec.name}"]
    return [*lines, f"  {_way(job.plan)}"] if verbose else lines


def _way(plan: Plan) -> str:
    """Say how a plan is carried out."""
    way = f"{plan.mode} ({plan.blend})" if plan.mode == "blend" else f"{plan.mode}"
    noun = "tile" if plan.n_tiles == 1 else "tiles"
    tiles = f"{plan.n_tiles:,} {noun} of {tile_size(plan.tile)}"
    return f"{tiles}, mode {way}, batch {plan.batch}, precision {plan.precision}"
