"""`tileseg evaluate`: compare what a model finds with masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg.cli.console import note, progress
from napari_tileseg.cli.model_options import add_model, read_model
from napari_tileseg.cli.options import add_command, add_settings, settings_from
from napari_tileseg.settings import RunSettings

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.cli.options import Subparsers
    from napari_tileseg.training.evaluate import Evaluation

_SETTINGS = ("tile", "overlap", "blend", "mode", "device", "precision", "batch", "channels")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "evaluate",
        run,
        summary="compare what a model finds with masks",
        details="Images and masks are paired by file name without suffix. A mask holds the index "
        "of the class of each pixel, 255 where nobody knows. The mean IoU is taken over all "
        "pixels of all images, background included.",
        example="tileseg evaluate --model axon_myelin_sem --images test/images --masks test/masks",
    )
    add_model(parser)
    parser.add_argument("--images", required=True, type=Path, metavar="DIR", help="the images")
    parser.add_argument("--masks", required=True, type=Path, metavar="DIR", help="their masks")
    parser.add_argument(
        "--axes",
        help="what the axes of the images are, as letters like CYX or TZYX "
        "[default: what the files say]",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for another program")
    add_settings(parser, RunSettings, _SETTINGS)


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print the figures."""
    settings = settings_from(args, RunSettings)
    from napari_tileseg.evaluation import check_masks, stream_evaluation
    from napari_tileseg.io.folders import labelled_images
    from napari_tileseg.io.layouts import by_name
    from napari_tileseg.training.evaluate import Evaluation

    total = len(by_name(args.images, args.masks).pairs)
    model = read_model(args, args.model)
    check_masks(model, args.images, args.masks)
    found = []
    with progress(args, "evaluate", "images") as advance:
        advance(0, total)
        pairs = labelled_images(args.images, args.masks)
        for one in stream_evaluation(model, pairs, axes=args.axes, **settings.changed()):
            found.append(one)
            advance(len(found), total)
    evaluation = Evaluation(tuple(one.name for one in model.classes), tuple(found))
    if args.json:
        print(json.dumps(evaluation.to_json(), indent=2))
    else:
        print(table(evaluation))
        note(args, "Pooled over all pixels; classes that occur nowhere are left out of means.")
    return 0


def table(evaluation: Evaluation) -> str:
    """Return the figures as text."""
    figures = evaluation.to_json()
    names = [*evaluation.classes, *(name for name, _ in evaluation.images), "pixel accuracy"]
    width = max(len(name) for name in names) + 2
    lines = [f"{'class':<{width}}{'IoU':>8}{'Dice':>8}{'pixels':>14}"]
    for name, one in figures["per_class"].items():
        lines.append(
            f"{name:<{width}}{_shown(one['iou'])}{_shown(one['dice'])}{one['pixels']:>14,}"
        )
    lines.append(f"{'mean':<{width}}{_shown(figures['miou'])}{_shown(figures['mean_dice'])}")
    lines.append(f"{'pixel accuracy':<{width}}{_shown(figures['pixel_accuracy'])}")
    lines += ["", f"{'image':<{width}}{'mIoU':>8}"]
    lines += [f"{one['name']:<{width}}{_shown(one['miou'])}" for one in figures["images"]]
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:>8.4f}"
