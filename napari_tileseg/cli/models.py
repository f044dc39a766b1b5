"""`tileseg models`: the models that come with the program, and every architecture there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.cli.options import add_command
from napari_tileseg.errors import SettingsError

if TYPE_CHECKING:
    import argparse

    from napari_tileseg.cli.options import Subparsers

_ONLY_WITH_TABLE = ("images", "masks", "save", "quick")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        subparsers,
        "models",
        run,
        summary="list bundled models and architectures, or measure architectures",
        details="Bundled models can be given to --model; architectures, with their arguments, "
        "to --arch.",
        example="tileseg models\ntileseg models attention-unet\n"
        "tileseg models --table smp.Unet segnet --save table.json",
    )
    parser.add_argument(
        "names", nargs="*", metavar="ARCH", help="tell the arguments of these architectures"
    )
    parser.add_argument("--json", action="store_true", help="print JSON for another program")
    table = parser.add_argument_group("measuring")
    table.add_argument(
        "--table",
        action="store_true",
        help="build, run, save and teach each architecture; takes about a minute for each",
    )
    table.add_argument(
        "--images", type=Path, metavar="DIR", help="what to teach [default: a sample]"
    )
    table.add_argument("--masks", type=Path, metavar="DIR", help="their masks")
    table.add_argument("--save", type=Path, metavar="FILE", help="also write the table as JSON")
    table.add_argument(
        "--quick", action="store_true", help="small tiles and three steps: whether all works"
    )


def run(args: argparse.Namespace) -> int:
    """Print what there is."""
    if args.table:
        from napari_tileseg.cli.model_table import print_table

        return print_table(args)
    given = [name for name in _ONLY_WITH_TABLE if getattr(args, name)]
    if given:
        raise SettingsError(f"--{given[0]} goes together with --table.")
    found = {} if args.names else _bundled()
    if args.json:
        print(json.dumps(found | _architectures(args.names), indent=2))
        return 0
    for name, facts in found.items():
        classes = ", ".join(one["name"] for one in facts["classes"])
        scale = f", {facts['pixel_size_um']:g} µm/px" if facts["pixel_size_um"] else ""
        print(f"{name}\n  reads {', '.join(facts['channels'])}{scale}\n  finds {classes}")
    if args.names:
        _print_arguments(_architectures(args.names))
    else:
        _print_summaries()
    return 0


def _bundled() -> dict[str, Any]:
    from napari_tileseg.cli.facts import checkpoint_facts
    from napari_tileseg.io.checkpoints import bundled_models, load_model

    return {
        name: checkpoint_facts(load_model(name), path) for name, path in bundled_models().items()
    }


def _architectures(names: list[str]) -> dict[str, Any]:
    """Return what can be built and with which arguments, by name."""
    from napari_tileseg.errors import TilesegError
    from napari_tileseg.models.registry import ARCHITECTURES, full_name

    told: dict[str, Any] = {}
    for name in map(full_name, names or ARCHITECTURES):
        family = ARCHITECTURES[name]
        told[name] = {
            "kind": "architecture",
            "summary": family.summary,
            "encoder": family.has_encoder,
        }
        try:
            told[name]["arguments"] = [one.to_json() for one in family.arguments()]
        except TilesegError as error:  # its library is an extra
            told[name] |= {"arguments": None, "unavailable": str(error)}
    return told


def _print_summaries() -> None:
    from napari_tileseg.models.registry import ARCHITECTURES

    width = max(map(len, ARCHITECTURES))
    print("\narchitectures ('tileseg models NAME' tells their arguments):")
    for name, family in ARCHITECTURES.items():
        print(f"  {name:<{width}}  {family.summary}")


def _print_arguments(told: dict[str, Any]) -> None:
    for name, facts in told.items():
        print(f"{name}\n  {facts['summary']}")
        for one in facts["arguments"] or ():
            default = "to be given" if one["required"] else json.dumps(one["default"])
            choices = f" One of {', '.join(map(str, one['choices']))}." if one["choices"] else ""
            print(f"  {one['name']} [{default}]\n      {one['about']}{choices}")
        if "unavailable" in facts:
            print(f"  {facts['unavailable']}")
