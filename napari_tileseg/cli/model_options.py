"""The options that say which model: one that describes itself, or weights and an architecture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_tileseg.cli.console import note
from napari_tileseg.errors import SettingsError

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.engine.network import Network


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add `--model`, and what bare weights need besides."""
    parser.add_argument(
        "--model",
        required=True,
        metavar="M",
        help="a bundled model ('tileseg models' lists them), a checkpoint file or a folder; "
        "hf:OWNER/NAME fetches a folder from Hugging Face",
    )
    add_architecture(parser)


def add_architecture(parser: argparse.ArgumentParser) -> None:
    """Add what weights without a description need to become a model."""
    group = parser.add_argument_group("for files without a description (.pt, .pth, .onnx)")
    group.add_argument(
        "--arch",
        nargs="+",
        metavar=("NAME", "KEY=VALUE"),
        help="how to build the network, as far as its weights do not tell, like: --arch smp.Unet "
        "decoder_interpolation=bilinear normalisation=zscore; what an ONNX file does not say, "
        "like: --arch onnx normalisation=zscore answers=sigmoid",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="open the model even if that runs code in its file (pickled networks, TorchScript, "
        ".pt2); a file of the same content need not be trusted again",
    )
    group.add_argument(
        "--classes",
        metavar="NAMES",
        help="names of the classes in the order of the label values, like background,cell",
    )


def read_model(args: argparse.Namespace, source: str) -> Network:
    """Load the model that a person asked for, and note what its weights leave open.

    Raises
    ------
    CheckpointError
        If it cannot be used.
    SettingsError
        If the architecture is not written as NAME KEY=VALUE ..., or a class is named twice.
    """
    from napari_tileseg.engine.spec import Architecture
    from napari_tileseg.io.bare_weights import ASSUMED
    from napari_tileseg.io.checkpoints import load_model

    more: dict[str, Any] = {}
    if args.arch:
        more["architecture"] = Architecture(args.arch[0], dict(map(_argument, args.arch[1:])))
    if args.classes:
        more["classes"] = class_names(args.classes)
    network = load_model(source, trust=args.trust, **more)
    if network.provenance.get(ASSUMED):
        note(
            args,
            f"{network.provenance[ASSUMED]} --arch (with normalisation=...) and --classes say it.",
        )
    return network


def class_names(text: str) -> list[str]:
    """Read "background, cell"; `SettingsError` if a name is empty or there twice."""
    names = [name.strip() for name in text.split(",")]
    if len(set(names)) < len(names) or "" in names:
        raise SettingsError(f"--classes '{text}' has to name each class once, like cell,nucleus.")
    return names


def _argument(text: str) -> tuple[str, Any]:
    """Read "classes=3", "decoder_channels=[64,32]" or "encoder_name=resnet34"."""
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"'{text}' after --arch is not of the form KEY=VALUE.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, {"None": None, "True": True, "False": False}.get(value, value)
