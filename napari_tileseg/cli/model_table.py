"""`tileseg models --table`: what each architecture costs, and whether it works."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_tileseg.cli.console import note
from napari_tileseg.errors import OutputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_FAILED = 1
_WIDE = 160
"""Columns in a file, so that no cell is cut off."""

_HEADINGS = (
    "architecture",
    "weights",
    "for upsampling",
    "stride",
    "sees",
    "auto",
    "exact with",
    "250 × 190",
    "saved = loaded",
    "learns",
    "ONNX",
    "ms",
    "MB",
)


def print_table(args: argparse.Namespace) -> int:
    """Measure, print the table, and write it if that was asked for."""
    from napari_tileseg.bench.figures import machine
    from napari_tileseg.bench.model_table import entries, table

    wanted = entries(args.names)
    rows: list[dict[str, Any]] = []
    try:
        for row in table(wanted, args.images, args.masks, quick=args.quick):
            rows.append(row)
            note(args, f"{len(rows)}/{len(wanted)}  {row['label']}  {_verdict(row)}")
    finally:
        content = {"machine": machine(), "quick": args.quick, "models": rows}
        if args.save is not None:
            _write(args, content)
    if args.json:
        print(json.dumps(content, indent=2))
    else:
        _print(rows)
    return _FAILED if any(map(_wrong, rows)) else 0


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    made = Table(title="architectures", title_justify="left", title_style="bold")
    for heading in _HEADINGS:
        made.add_column(heading, justify="left" if heading == _HEADINGS[0] else "right")
    for row in rows:
        made.add_row(*_cells(row))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    console.print(made)
    for row in rows:
        for what in _remarks(row):
            console.print(f"{row['label']}: {what}", markup=False, highlight=False)


def _cells(row: dict[str, Any]) -> Iterator[str]:
    yield row["label"]
    if "failed" in row:
        yield from ["-"] * (len(_HEADINGS) - 1)
        return
    yield _millions(row["parameters"])
    yield _millions(row["upsampling_parameters"])
    yield f"{row['stride']} px"
    sees = row["receptive_field"]
    yield sees if sees == "global" else f"± {sees} px"
    yield row["mode"]
    yield "-" if row["exact_halo"] is None else f"{row['exact_halo']} px"
    yield _yes(row["odd_size"])
    yield _yes(row["same_after_saving"])
    yield _yes(row["learns"])
    yield row["onnx"].partition(":")[0]
    yield f"{row['ms']:,.0f}"
    yield f"{row['peak_mb']:,.0f}"


def _remarks(row: dict[str, Any]) -> Iterator[str]:
    if "failed" in row:
        yield row["failed"]
        return
    if row["learns"] is None:
        yield row["why_not"]
    if ":" in row["onnx"]:
        yield f"ONNX: {row['onnx']}"


def _verdict(row: dict[str, Any]) -> str:
    return "WRONG" if _wrong(row) else "works"


def _wrong(row: dict[str, Any]) -> bool:
    if "failed" in row:
        return True
    right = row["odd_size"] and row["same_after_saving"] and row["learns"] is not False
    return not right


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "NO", None: "-"}[value]


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f} M" if count else "0"


def _write(args: argparse.Namespace, content: dict[str, Any]) -> None:
    try:
        args.save.write_text(json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise OutputError(
            f"'{args.save}' cannot be written ({error.strerror}). Choose another --save."
        ) from error
