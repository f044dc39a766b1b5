"""Probabilities and confidence beside the labels of a store, each in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr

from napari_tileseg.errors import OutputError
from napari_tileseg.io.sheets import KEY, confidence_sheet, new_array, probability_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_tileseg.io.sheets import Sheet

PROBABILITIES = "probabilities"
CONFIDENCE = "confidence"
_SHEETS = {PROBABILITIES: probability_sheet, CONFIDENCE: confidence_sheet}
_RUN = "run"


def new_side_sheet(
    kind: str,
    path: Path,
    label_shape: Sequence[int],
    *,
    spatial_dims: int,
    classes: Sequence[str],
    run: str = "",
) -> Sheet:
    """Make an empty folder for what goes beside labels.

    Parameters
    ----------
    kind
        `PROBABILITIES`: (classes, *label shape) float16, which is exact to 0.0005; or
        `CONFIDENCE`: (*label shape) uint8, the highest probability, 255 for 1.
    path
        The folder.
    label_shape
        The shape of the labels in pixels.
    spatial_dims
        How many of its last axes are spatial.
    classes
        Their names.
    run
        Which run fills it; only that one can go on with it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    by_class = kind == PROBABILITIES
    array = new_array(
        path,
        (len(classes), *label_shape) if by_class else label_shape,
        spatial_dims=spatial_dims,
        dtype="float16" if by_class else "uint8",
        fill=0,
        about={KEY: kind, "classes": list(classes), _RUN: run},
    )
    return _SHEETS[kind](path, array)


def new_side_sheets(
    paths: Mapping[str, Path | None], label_shape: Sequence[int], about: Mapping[str, Any]
) -> list[Sheet]:
    """Make what a new store has beside it.

    Raises
    ------
    OutputError
        If a folder exists or cannot be written.
    """
    for kind, path in paths.items():
        if path is not None and path.exists():
            raise OutputError(
                f"'{path}' exists. Choose another --{kind}, or remove it yourself; to go on with "
                "a run that was interrupted, use --resume."
            )
    return [
        new_side_sheet(
            kind,
            path,
            label_shape,
            spatial_dims=about["spatial_dims"],
            classes=[one["name"] for one in about["classes"]],
            run=about[_RUN],
        )
        for kind, path in paths.items()
        if path is not None
    ]


def reopened_side_sheets(
    paths: Mapping[str, Path | None], labels: Path, about: Mapping[str, Any]
) -> list[Sheet]:
    """Open what a store has beside it.

    Raises
    ------
    OutputError
        If something else is asked for than at the start, or a folder is not that of the run.
    """
    sheets = []
    for kind, path in paths.items():
        if (path is not None) != (kind in about["beside"]):
            was = "with" if path is None else "without"
            raise OutputError(
                f"'{labels}' was begun {was} --{kind}. Go on {was} it, or choose another --out."
            )
        if path is None:
            continue
        array = _opened(path)
        if array is None or array.attrs.get(KEY) != kind or array.attrs.get(_RUN) != about[_RUN]:
            raise OutputError(
                f"'{path}' does not hold the {kind} that belong to '{labels}'. Name the folder "
                f"that the run began with by --{kind}, or choose another --out."
            )
        sheets.append(_SHEETS[kind](path, array))
    return sheets


def _opened(path: Path) -> zarr.Array[Any] | None:
    try:
        return zarr.open_array(str(path), mode="r+")
    except (OSError, ValueError, KeyError):
        return None
