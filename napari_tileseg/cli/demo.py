"""`tileseg demo`: the sample image, segmented in napari or, without a display, into files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg.cli.console import note, progress
from napari_tileseg.cli.options import add_command, add_settings, settings_from
from napari_tileseg.settings import RunSettings

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.cli.options import Subparsers

_MODEL = "cells"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "demo",
        run,
        summary="segment the sample image with a bundled model",
        details="With a display it opens napari; without one it writes labels and a picture.",
        example="tileseg demo\ntileseg demo --headless --out demo",
    )
    parser.add_argument(
        "--headless", action="store_true", help="open no window, even if there is a display"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("tileseg-demo"),
        metavar="DIR",
        help="where files go without a window [default: tileseg-demo]",
    )
    parser.add_argument(
        "--screenshot",
        type=Path,
        metavar="FILE",
        help="open napari, run to the end, save a picture of the window as PNG, and close",
    )
    add_settings(parser, RunSettings, ("device",))


def run(args: argparse.Namespace) -> int:
    """Open napari, or do the same job without it."""
    settings = settings_from(args, RunSettings)
    if args.screenshot is not None or (not args.headless and _has_display()):
        from napari_tileseg.cli.window import open_demo

        open_demo(args.screenshot, device=settings.device)
        return 0
    _headless(args, settings)
    return 0


def _has_display() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _headless(args: argparse.Namespace, settings: RunSettings) -> None:
    """Write labels and an overlay of the sample image, and print the area of each class."""
    from napari_tileseg.cli.output import prepare
    from napari_tileseg.cli.overlay import write_overlay
    from napari_tileseg.cli.report import conclude, save, shares
    from napari_tileseg.cli.segment import label_array, plan_job, run_job, settled
    from napari_tileseg.engine.meter import Meter
    from napari_tileseg.io.checkpoints import load_model
    from napari_tileseg.io.images import open_image
    from napari_tileseg.io.samples import sample_image

    target, picture = args.out / "cells_labels.ome.tif", args.out / "cells_overlay.png"
    for path in (target, picture):
        prepare(path)
    with open_image(sample_image()) as opened:
        job = settled(plan_job(opened, load_model(_MODEL), settings))
        meter = Meter(job.plan.device)
        with label_array(job, args.out) as labels:
            with progress(args, opened.name) as advance:
                pixels = run_job(job, labels, advance, meter=meter)
            save(job, labels, target, meter.report())
            found = shares(job, pixels)
            write_overlay(job.source, labels, job.network.classes, found, picture)
    conclude(args, job, pixels, meter.report())
    for path in (target, picture):
        note(args, f"wrote {path}")
