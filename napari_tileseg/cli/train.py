"""`tileseg train`: make a model from folders of images and masks."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.cli.console import note, progress
from napari_tileseg.cli.epochs import EpochTable
from napari_tileseg.cli.folder_options import MASKS, add_folders, folders_from, validation_from
from napari_tileseg.cli.model_options import class_names
from napari_tileseg.cli.options import add_command, add_settings, settings_from
from napari_tileseg.cli.output import prepare
from napari_tileseg.cli.trained import KeptFile, Record, check_places
from napari_tileseg.errors import Cancelled, NetworkError, SettingsError
from napari_tileseg.settings import Loss, TrainSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from napari_tileseg.cli.options import Subparsers
    from napari_tileseg.training.train import TrainReport
    from napari_tileseg.training_job import Start, TrainJob

_EXAMPLE = """
tileseg train --images train/images --masks train/masks --out mine.safetensors \\
    --val-images val/images --val-masks val/masks --classes background,cell --minutes 20 \\
    --csv mine.csv --curve mine.png
tileseg train --images more/images --masks more/masks --colours colours.txt \\
    --base mine.safetensors --out better.safetensors --epochs 30
tileseg train --layout voc --images VOC2012 --split train --val-split val \\
    --arch smp.FPN --encoder resnet34 --out voc.safetensors
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "train",
        run,
        summary="train a model from images and masks",
        details=f"{MASKS}\n\nA line an epoch is printed. OUT is written whenever the model has "
        "become better, so it can be stopped at any time (Ctrl-C).\n\nlosses:\n"
        + "\n".join(f"  {one:<18}{one.help}" for one in Loss),
        example=_EXAMPLE,
    )
    group = add_folders(parser, "train")
    group.add_argument("--val-images", type=Path, metavar="DIR", help="images to choose the best")
    group.add_argument("--val-masks", type=Path, metavar="DIR", help="their masks")
    group.add_argument(
        "--val-split",
        metavar="NAME",
        help="the part of voc or cityscapes to choose the best by [default: none]",
    )
    results = parser.add_argument_group("results")
    results.add_argument(
        "--out", required=True, type=Path, metavar="CKPT", help="the model to make, .safetensors"
    )
    results.add_argument("--csv", type=Path, metavar="F", help="loss and scores, step by step")
    results.add_argument(
        "--curve", type=Path, metavar="F.png", help="a picture of loss and scores while it trains"
    )
    _add_start(parser)
    add_settings(parser, TrainSettings)
    parser.add_argument(
        "--no-augment",
        dest="augmentation",
        action="store_const",
        const=0.0,
        help="the same as --augmentation 0",
    )


def _add_start(parser: argparse.ArgumentParser) -> None:
    start = parser.add_argument_group("where to start")
    start.add_argument("--base", metavar="CKPT", help="go on from this model")
    start.add_argument(
        "--arch",
        nargs="+",
        metavar=("NAME", "KEY=VALUE"),
        help="or a new network, like: --arch flexible-unet upsampling=pixelshuffle; "
        "'tileseg models' lists what there is [default: smp.Unet]",
    )
    start.add_argument("--encoder", help="its encoder [default: timm-tf_efficientnet_lite0]")
    start.add_argument(
        "--encoder-weights",
        metavar="W",
        help="imagenet (downloaded), lite0-package (ImageNet), none, or a file [default: none]",
    )
    start.add_argument(
        "--decoder-channels",
        metavar="N,N,...",
        help="width of each step of a U-Net's decoder [default: 256,128,64,32,16]",
    )
    start.add_argument(
        "--normalise",
        choices=["zscore", "percentile", "fixed"],
        help="how intensities are scaled: by mean and spread or percentiles of the whole image, "
        "or fixed by the number format [default: zscore]",
    )
    start.add_argument(
        "--classes",
        metavar="NAMES",
        help="names of the classes, in the order of the mask values; one name alone is what "
        "is to be found, 1 in the masks [default: of --base, or numbered as in the masks]",
    )
    start.add_argument(
        "--pixel-size",
        type=float,
        metavar="UM",
        help="micrometres per pixel of the images [default: median of what the files say]",
    )
    start.add_argument(
        "--tile",
        type=int,
        metavar="N",
        help="tile size to suggest, px [default: the patch, or 512]",
    )
    start.add_argument("--name", help="what to call the model [default: name of OUT]")
    start.add_argument("--half", action="store_true", help="save weights in half precision")


def run(args: argparse.Namespace) -> int:
    """Train, and write the best model."""
    settings = settings_from(args, TrainSettings)
    new = (args.arch, args.encoder, args.encoder_weights, args.decoder_channels, args.normalise)
    if args.base and any(one is not None for one in new):
        raise SettingsError(
            "--base goes on from a finished model; --arch, --encoder, --encoder-weights, "
            "--decoder-channels and --normalise describe a new one. Choose one of the two."
        )
    if args.classes and args.colours and not args.base:
        raise SettingsError(
            "--colours names the classes already: leave out --classes, or change the table."
        )
    if args.out.suffix != ".safetensors":
        raise SettingsError(f"A model is saved as .safetensors, not as '{args.out.name}'.")
    folders, validation = folders_from(args, "train"), validation_from(args)
    check_places(args)
    prepare(args.out)
    from napari_tileseg.training_job import read_job

    for note_of in (folders, validation):
        for line in note_of.paired.notes if note_of else ():
            note(args, line)
    job = read_job(folders, _start(args), settings, validation)
    note(args, job.summary())
    return _train(args, job)


def _start(args: argparse.Namespace) -> Start:
    from napari_tileseg.engine.spec import NormalisationKind
    from napari_tileseg.models.arguments import read_arguments
    from napari_tileseg.training_job import Start

    name, *more = args.arch or [None]
    arguments: dict[str, Any] = read_arguments(more)
    if args.decoder_channels:
        arguments["decoder_channels"] = _whole_numbers(args.decoder_channels)
    return Start(
        name=args.name or args.out.stem,
        base=args.base,
        architecture=name,
        encoder=args.encoder,
        encoder_weights=args.encoder_weights,
        arguments=arguments,
        normalise=NormalisationKind(args.normalise or "zscore"),
        classes=class_names(args.classes) if args.classes else None,
        pixel_size_um=args.pixel_size,
        tile=args.tile,
    )


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise SettingsError(
            f"--decoder-channels '{text}' is no list of whole numbers, like 128,64,32,16,16."
        ) from None


def _train(args: argparse.Namespace, job: TrainJob) -> int:
    """Train, save each better model, and say how it went."""
    say = partial(note, args)
    model, record = KeptFile(say), Record(args, job, say)
    interrupted = False
    try:
        _follow(args, job, model, record)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        model.retry()
        record.save()
    model.require()
    if interrupted:
        kept = f"The best model so far is '{model.path}'." if model.path else "Nothing was written."
        raise Cancelled(kept)
    if model.path is None:
        raise NetworkError(
            "Training ended before there was a model to save. Give it more --epochs or --minutes, "
            "or a lower --learning-rate."
        )
    note(args, f"wrote {model.path} ({model.path.stat().st_size / 1e6:.1f} MB)")
    record.require()
    return 0


def _follow(args: argparse.Namespace, job: TrainJob, model: KeptFile, record: Record) -> None:
    """Train to the end of the budget; show, save and take down what comes."""
    from napari_tileseg.training.train import train

    table = EpochTable(job.network, validated=bool(job.validation))
    stream = train(job.network, job.samples, validation=job.validation, settings=job.settings)
    _print(args, [table.heading])
    with progress(args, "train", "% of the budget") as advance, closing(stream):
        try:
            for report in stream:
                advance(round(100 * report.progress), 100)
                if report.best is not None:
                    model.write(partial(_save, args, report))
                elif report.validation is not None:
                    model.retry()
                record.add(report)
                _print(args, table.add(report))
                if report.stopped:
                    note(args, report.stopped)
        finally:
            _print(args, table.rest())


def _print(args: argparse.Namespace, lines: Iterable[str]) -> None:
    for line in lines:
        if not args.quiet:
            print(line, flush=True)


def _save(args: argparse.Namespace, report: TrainReport) -> Path:
    from napari_tileseg.io.checkpoints import save_model

    assert report.best is not None
    figures: dict[str, Any] = {
        "minutes": round(report.seconds / 60, 1),
        "steps": report.step,
        "epochs": report.epoch,
    }
    if report.validation is not None:
        figures["validation_miou"] = round(report.validation.miou, 4)
    provenance = {**report.best.provenance, "training": figures}
    return save_model(replace(report.best, provenance=provenance), args.out, half=args.half)
