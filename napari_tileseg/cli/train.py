"""`tileseg train`: make a model from folders of images and masks."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.cli.console import note, progress
from napari_tileseg.cli.options import add_command, add_settings, settings_from
from napari_tileseg.cli.output import prepare
from napari_tileseg.cli.trained import Curve, KeptFile, check_curve
from napari_tileseg.errors import Cancelled, NetworkError, SettingsError
from napari_tileseg.settings import TrainSettings

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.cli.options import Subparsers
    from napari_tileseg.cli.training import TrainJob
    from napari_tileseg.training.train import TrainReport

_EXAMPLE = """
tileseg train --images train/images --masks train/masks --out mine.safetensors \\
    --val-images val/images --val-masks val/masks --classes background,cell --minutes 20
tileseg train --images more/images --masks more/masks --base mine.safetensors \\
    --out better.safetensors --epochs 30
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "train",
        run,
        summary="train a model from images and masks",
        details="Images and masks are paired by file name without suffix. A mask holds the index "
        "of the class of each pixel, 255 where nobody knows. OUT is written whenever the model "
        "has become better, so it can be stopped at any time (Ctrl-C).",
        example=_EXAMPLE,
    )
    parser.add_argument("--images", required=True, type=Path, metavar="DIR", help="what to learn")
    parser.add_argument("--masks", required=True, type=Path, metavar="DIR", help="their masks")
    parser.add_argument("--out", required=True, type=Path, metavar="CKPT", help="the model to make")
    parser.add_argument("--val-images", type=Path, metavar="DIR", help="images to choose the best")
    parser.add_argument("--val-masks", type=Path, metavar="DIR", help="their masks")
    _add_start(parser)
    add_settings(parser, TrainSettings)
    parser.add_argument("--csv", type=Path, metavar="F", help="write loss and scores, step by step")


def _add_start(parser: argparse.ArgumentParser) -> None:
    start = parser.add_argument_group("where to start")
    start.add_argument("--base", metavar="CKPT", help="go on from this model")
    start.add_argument("--arch", help="or a new network [default: smp.Unet]")
    start.add_argument("--encoder", help="its encoder [default: timm-tf_efficientnet_lite0]")
    start.add_argument(
        "--encoder-weights",
        metavar="W",
        help="lite0-package (ImageNet), none, or a file [default: none]",
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
        "--tile", type=int, metavar="N", help="tile size to suggest, px [default: the patch]"
    )
    start.add_argument("--name", help="what to call the model [default: name of OUT]")
    start.add_argument("--half", action="store_true", help="save weights in half precision")


def run(args: argparse.Namespace) -> int:
    """Train, and write the best model."""
    settings = settings_from(args, TrainSettings)
    if (args.val_images is None) != (args.val_masks is None):
        raise SettingsError("--val-images and --val-masks belong together: give both or none.")
    new = (args.arch, args.encoder, args.encoder_weights, args.decoder_channels, args.normalise)
    if args.base and any(one is not None for one in new):
        raise SettingsError(
            "--base goes on from a finished model; --arch, --encoder, --encoder-weights, "
            "--decoder-channels and --normalise describe a new one. Choose one of the two."
        )
    if args.out.suffix != ".safetensors":
        raise SettingsError(f"A model is saved as .safetensors, not as '{args.out.name}'.")
    if args.csv is not None:
        check_curve(args.csv, (args.images, args.masks, args.val_images, args.val_masks))
    prepare(args.out)
    from napari_tileseg.cli.training import read_job

    job = read_job(args, settings)
    note(args, job.summary())
    return _train(args, job)


def _train(args: argparse.Namespace, job: TrainJob) -> int:
    """Train, save each better model, and say how it went."""
    say = partial(note, args)
    model, curve = KeptFile(say), Curve(args.csv, job.network, say)
    interrupted = False
    try:
        _follow(args, job, model, curve)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        model.retry()
        curve.save()
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
    curve.file.require()
    return 0


def _follow(args: argparse.Namespace, job: TrainJob, model: KeptFile, curve: Curve) -> None:
    """Train to the end of the budget; show, save and take down what comes."""
    from napari_tileseg.training.train import train

    stream = train(job.network, job.samples, validation=job.validation, settings=job.settings)
    with progress(args, "train", "% of the budget") as advance, closing(stream):
        for report in stream:
            advance(round(100 * report.progress), 100)
            if report.best is not None:
                model.write(partial(_save, args, report))
            elif report.validation is not None:
                model.retry()
            curve.add(report)
            if report.validation is not None or report.stopped:
                note(args, _score(report))


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


def _score(report: TrainReport) -> str:
    if report.validation is None:
        return report.stopped
    better = " (best so far)" if report.best is not None else ""
    return (
        f"{report.seconds / 60:5.1f} min, step {report.step}: loss {report.loss:.3f}, "
        f"validation mIoU {report.validation.miou:.4f}{better}"
    )
