"""`tileseg convert`: a checkpoint in another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg.cli.console import note
from napari_tileseg.cli.model_options import add_architecture, read_model
from napari_tileseg.cli.options import add_command
from napari_tileseg.errors import SettingsError

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.cli.options import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "convert",
        run,
        summary="save a checkpoint in another format",
        details="What OUT is called decides: NAME.safetensors is one file with all that is known "
        "about the model; NAME.onnx is ONNX, and NAME.zip a package of bioimage.io, for other "
        "programs; a name without a suffix is a folder that from_pretrained of "
        "segmentation-models-pytorch opens.",
        example="tileseg convert weights.pt cells.safetensors --classes background,cell\n"
        "tileseg convert cells.safetensors cells.onnx\n"
        "tileseg convert cells.safetensors cells_smp",
    )
    parser.add_argument(
        "model",
        metavar="CKPT",
        help="a checkpoint file, a folder, the name of a bundled model, or hf:OWNER/NAME",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the file or folder to write")
    parser.add_argument(
        "--half",
        action="store_true",
        help="store 16-bit weights in a .safetensors file: half the size, nearly the same answers",
    )
    add_architecture(parser)


def run(args: argparse.Namespace) -> int:
    """Read one format and write the other."""
    suffix = args.out.suffix.lower()
    if suffix not in ("", ".safetensors", ".onnx", ".zip"):
        raise SettingsError(
            f"'{args.out.name}' has to end in .safetensors, .onnx or .zip, or to be a folder's "
            "name without a suffix."
        )
    if args.half and suffix != ".safetensors":
        raise SettingsError("--half is for .safetensors files. Leave it out for other formats.")
    from napari_tileseg.io.checkpoints import save_model
    from napari_tileseg.io.smp_folders_out import save_smp_folder

    network = read_model(args, args.model)
    written = (
        save_model(network, args.out, half=args.half)
        if suffix
        else save_smp_folder(network, args.out)
    )
    note(args, f"wrote {written}")
    return 0
