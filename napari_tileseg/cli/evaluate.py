"""`tileseg evaluate`: compare what a model finds with masks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from napari_tileseg.cli.console import note, progress
from napari_tileseg.cli.folder_options import MASKS, add_folders, folders_from
from napari_tileseg.cli.model_options import add_model, read_model
from napari_tileseg.cli.options import add_command, add_settings, settings_from
from napari_tileseg.settings import RunSettings

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.cli.options import Subparsers
    from napari_tileseg.training.evaluate import Evaluation

_EXAMPLE = """
tileseg evaluate --model axon_myelin_sem --images test/images --masks test/masks
tileseg evaluate --model voc.safetensors --layout voc --images VOC2012 --split val --json
"""

_MOST_COLUMNS = 25
_SETTINGS = (
    *("tile", "overlap", "blend", "mode", "tta", "tta_mean"),
    *("device", "precision", "batch", "memory_gb", "channels"),
)


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "evaluate",
        run,
        summary="compare what a model finds with masks",
        details=f"{MASKS}\n\nThe mean IoU is taken over all pixels of all images, background "
        "included. The confusion matrix has a row for each true class and a column for each class "
        "that was found.",
        example=_EXAMPLE,
    )
    add_model(parser)
    add_folders(parser, "val")
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
    folders = folders_from(args, "val")
    from napari_tileseg.evaluation import checked_folders, stream_evaluation
    from napari_tileseg.training.evaluate import Evaluation

    total = len(folders.paired.pairs)
    for line in folders.paired.notes:
        note(args, line)
    model = read_model(args, args.model)
    folders = checked_folders(model, folders, args.axes)
    found = []
    with progress(args, "evaluate", "images") as advance:
        advance(0, total)
        for one in stream_evaluation(model, folders, axes=args.axes, **settings.changed()):
            found.append(one)
            advance(len(found), total)
    evaluation = Evaluation(tuple(one.name for one in model.classes), tuple(found))
    if args.json:
        print(json.dumps(evaluation.to_json(), indent=2))
    else:
        print(table(evaluation))
        print("\n" + confusion_table(evaluation))
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


def confusion_table(evaluation: Evaluation) -> str:
    """Return the confusion matrix as text: where the pixels of each true class went, in %."""
    names = evaluation.classes
    if len(names) > _MOST_COLUMNS:
        return f"The confusion matrix of {len(names)} classes is in the output of --json."
    labels = [f"{index} {name}" for index, name in enumerate(names)]
    width = max(len(one) for one in [*labels, "true class"]) + 2
    lines = [
        "share of each true class (rows) that was found as (columns), in %",
        f"{'true class':<{width}}" + "".join(f"{index:>7}" for index in range(len(names))),
    ]
    for label, counts in zip(labels, evaluation.pooled.counts, strict=True):
        total = counts.sum()
        shares = (f"{100 * count / total:>7.2f}" if total else f"{'-':>7}" for count in counts)
        lines.append(f"{label:<{width}}" + "".join(shares))
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:>8.4f}"
