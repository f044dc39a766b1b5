"""`tileseg bench`: what the program promises, measured on this machine."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.bench import BENCHMARKS, ON_REQUEST, measure
from napari_tileseg.bench.setup import Setup
from napari_tileseg.cli.console import note
from napari_tileseg.cli.options import add_command
from napari_tileseg.errors import OutputError, SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from napari_tileseg.bench.figures import Figure
    from napari_tileseg.cli.options import Subparsers

_FAILED = 1


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    width = max(map(len, BENCHMARKS))
    listed = "\n".join(f"  {name:<{width}}  {about}" for name, about in BENCHMARKS.items())
    parser = add_command(
        subparsers,
        "bench",
        run,
        summary="measure speed, memory and exactness on this machine",
        details="Figures are printed with the bars they are held to; the exit code is 1 if one is "
        "missed. What is compared runs in turn, and a ratio is the median over pairs. Let nothing "
        f"else run meanwhile.\n\nbenchmarks:\n{listed}",
        example="tileseg bench --quick\ntileseg bench overhead peers --json figures.json",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which benchmarks [default: all but {' and '.join(ON_REQUEST)}]",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes, a minute or two: whether everything works; bars are shown, not enforced",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--model", default="axon_myelin_sem", metavar="M", help="for real images")
    parser.add_argument("--image", type=Path, help="an image of one channel [default: a sample]")
    parser.add_argument("--images", type=Path, metavar="DIR", help="labelled images, for mIoU")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="their masks")
    parser.add_argument(
        "--pairs", type=int, default=3, metavar="N", help="how often pairs are timed [default: 3]"
    )
    parser.add_argument(
        "--side", type=int, metavar="PX", help="of the larger image of 'memory' [default: 65536]"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of torch [default: its own]")


def run(args: argparse.Namespace) -> int:
    """Measure, and print what is known as soon as it is."""
    names = _names(args)
    from napari_tileseg.bench.figures import machine

    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
        os.environ["OMP_NUM_THREADS"] = str(args.threads)  # for processes of their own
    about = machine()
    note(args, ", ".join(f"{name} {value}" for name, value in about.items() if value))
    found: dict[str, list[Figure]] = {}
    try:
        for name in names:
            found[name] = []
            start = time.monotonic()
            for figure in measure(name, _setup(args)):
                found[name].append(figure)
            note(args, f"{name}: {time.monotonic() - start:.0f} s")
            _print(name, found[name])
    finally:
        if args.json is not None:
            _write(args.json, about, args, found)
    missed = [one for figures in found.values() for one in figures if one.met is False]
    note(args, f"{len(missed)} of the bars {'is' if len(missed) == 1 else 'are'} missed.")
    return _FAILED if missed and not args.quick else 0


def _names(args: argparse.Namespace) -> list[str]:
    for name in args.names:
        if name not in BENCHMARKS:
            raise SettingsError(
                f"There is no benchmark '{name}'. There are: {', '.join(BENCHMARKS)}."
            )
    if args.pairs < 1:
        raise SettingsError("--pairs has to be at least 1.")
    if (args.images is None) != (args.masks is None):
        raise SettingsError("--images and --masks go together: give both folders, or neither.")
    return args.names or [name for name in BENCHMARKS if name not in ON_REQUEST]


def _setup(args: argparse.Namespace) -> Setup:
    return Setup(
        quick=args.quick,
        pairs=1 if args.quick else args.pairs,
        model=args.model,
        image=args.image,
        images=args.images,
        masks=args.masks,
        side=args.side,
    )


def _print(name: str, figures: list[Figure]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=name, title_justify="left", title_style="bold")
    for heading, justify in (
        ("figure", "left"),
        ("value", "right"),
        ("bar", "right"),
        ("", "left"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for one in figures:
        table.add_row(*_row(one))
        if one.note:
            table.add_row(f"  [dim]{one.note}[/dim]")
    Console(width=None).print(table)


def _row(figure: Figure) -> Iterator[str]:
    yield figure.name
    yield "-" if figure.value is None else f"{_short(figure.value)} {figure.unit}".rstrip()
    sign = "≤" if figure.better == "lower" else "≥"
    yield "" if figure.bar is None else f"{sign} {_short(figure.bar)}"
    yield {True: "met", False: "MISSED", None: ""}[figure.met]


def _short(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _write(
    path: Path, about: dict[str, Any], args: argparse.Namespace, found: dict[str, list[Figure]]
) -> None:
    content = {
        "machine": about,
        "quick": args.quick,
        "model": args.model,
        "benchmarks": {name: [one.to_json() for one in ones] for name, ones in found.items()},
    }
    try:
        path.write_text(json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written ({error.strerror}). Choose another --json."
        ) from error
