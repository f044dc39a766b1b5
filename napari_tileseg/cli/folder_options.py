"""The options that say where images and masks are, and what the masks mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg.errors import SettingsError
from napari_tileseg.io.layouts import Layout

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.io.folders import Folders

MASKS = (
    "A mask holds the index of the class of each pixel (grey or palette PNG, TIFF, BMP, .npy), or "
    "with --colours a colour for each class; 255 (in a table: unknown) is where nobody knows. "
    "Images may have any size."
)


def add_folders(parser: argparse.ArgumentParser, split: str) -> argparse._ArgumentGroup:
    """Add where images and masks are; `split` is the part that is read by default."""
    group = parser.add_argument_group("images and masks")
    group.add_argument("--images", required=True, type=Path, metavar="DIR", help="the images")
    group.add_argument(
        "--masks", type=Path, metavar="DIR", help="their masks; only for the layout pairs"
    )
    group.add_argument(
        "--layout",
        choices=[one.value for one in Layout],
        default=Layout.PAIRS.value,
        help="how the folders are laid out. "
        + "; ".join(f"{one}: {one.help}" for one in Layout)
        + ". For all but pairs --images is the folder that holds these [default: pairs]",
    )
    group.add_argument(
        "--split", metavar="NAME", help=f"which part of voc or cityscapes [default: {split}]"
    )
    group.add_argument(
        "--colours",
        metavar="TABLE",
        help="what the colours of the masks mean: voc, cityscapes, or a text file with a line "
        "for each class like '#ff0000 cell' or 'cell,255,0,0'; the name 'unknown' means 255. A "
        "colour that is not in the table is an error",
    )
    return group


def folders_from(args: argparse.Namespace, split: str) -> Folders:
    """Return the folders that a person named.

    Raises
    ------
    SettingsError
        If the options contradict each other.
    """
    _require_parts(args, "--split", args.split)
    return _folders(args, args.images, args.masks, args.split or split)


def validation_from(args: argparse.Namespace) -> Folders | None:
    """Return the folders that `--val-...` names; None if there are none.

    Raises
    ------
    SettingsError
        If the options contradict each other.
    """
    _require_parts(args, "--val-split", args.val_split)
    if args.layout == Layout.PAIRS:
        if (args.val_images is None) != (args.val_masks is None):
            raise SettingsError("--val-images and --val-masks belong together: give both or none.")
        if args.val_images is None:
            return None
        return _folders(args, args.val_images, args.val_masks, "")
    if args.val_images is None and args.val_masks is None and args.val_split is None:
        return None
    return _folders(args, args.val_images or args.images, args.val_masks, args.val_split or "val")


def _require_parts(args: argparse.Namespace, option: str, value: str | None) -> None:
    if value is not None and args.layout == Layout.PAIRS:
        raise SettingsError(
            f"{option} chooses a part of the layouts voc and cityscapes; say which one it is with "
            "--layout, or leave it out."
        )


def _folders(args: argparse.Namespace, images: Path, masks: Path | None, split: str) -> Folders:
    from napari_tileseg.io.folders import Folders

    return Folders(images, masks, Layout(args.layout), split, args.colours)
