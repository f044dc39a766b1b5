"""`tileseg models`: the models that come with the program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from napari_tileseg.cli.options import add_command

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.cli.options import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "models",
        run,
        summary="list the bundled models",
        details="Each name can be given to --model.",
        example="tileseg models\ntileseg models --json",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for another program")


def run(args: argparse.Namespace) -> int:
    """Print what each bundled model reads and finds."""
    from napari_tileseg.cli.facts import checkpoint_facts
    from napari_tileseg.io.checkpoints import bundled_models, load_model

    found = {
        name: checkpoint_facts(load_model(name), path) for name, path in bundled_models().items()
    }
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, facts in found.items():
        classes = ", ".join(one["name"] for one in facts["classes"])
        scale = f", {facts['pixel_size_um']:g} µm/px" if facts["pixel_size_um"] else ""
        print(f"{name}\n  reads {', '.join(facts['channels'])}{scale}\n  finds {classes}")
    return 0
