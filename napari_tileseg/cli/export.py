"""`tileseg export`: write labels in the format that the next program reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg.cli.console import note
from napari_tileseg.cli.options import add_command
from napari_tileseg.errors import ImageError

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.cli.options import Subparsers

_FORMATS = ("ome-tiff", "png")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "export",
        run,
        summary="write labels in another format",
        details="Class names, colours and pixel size go along where the format can hold them.",
        example="tileseg export labels.ome.tif --to png --out labels.png",
    )
    parser.add_argument("labels", type=Path, metavar="LABELS", help="a file of labels")
    parser.add_argument("--to", choices=_FORMATS, required=True, help="the format to write")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")


def run(args: argparse.Namespace) -> int:
    """Read the labels and write them again."""
    from napari_tileseg.io.labels import export, read_labels

    if not args.labels.exists():
        raise ImageError(f"There is no file '{args.labels}'. Check the name and the folder.")
    found = read_labels(args.labels)
    path = export(
        found.labels,
        args.out,
        classes=found.classes,
        pixel_size_um=found.pixel_size_um,
        to=args.to,
    )
    note(args, f"wrote {path}")
    return 0
