"""What a run writes beside the labels: probabilities and confidence, each to a zarr folder."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg.cli.output import is_store, try_to_write
from napari_tileseg.errors import OutputError, SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.source import Source
    from napari_tileseg.io.sheets import Sheet

KINDS = {
    "probabilities": "also write how sure the network is of each class, to this zarr folder: "
    "(classes, height, width) float16",
    "confidence": "also write how sure it is of the class that it chose, to this zarr folder: "
    "0 to 255",
}
"""What can be written beside the labels, and the help of the option of the same name."""

_MARK = "tileseg"


class ProbabilityStore:
    """Zarr arrays made from the probabilities of a run, written region by region."""

    def __init__(self, sheets: Sequence[Sheet]) -> None:
        self._sheets = sheets

    def write(self, region: tuple[slice, ...], values: np.ndarray) -> None:
        """Store what follows from (classes, *region) probabilities of a region of the labels."""
        for sheet in self._sheets:
            sheet.write(region, sheet.take(values, values))


def add_sides(parser: argparse.ArgumentParser) -> None:
    """Add the options that ask for more than labels."""
    for kind, text in KINDS.items():
        metavar = f"{kind[0].upper()}.zarr"
        parser.add_argument(f"--{kind}", type=Path, metavar=metavar, help=text)


def sides(args: argparse.Namespace) -> dict[str, Path]:
    """Return where what is asked for besides labels goes."""
    return {kind: getattr(args, kind) for kind in KINDS if getattr(args, kind) is not None}


def check_sides(args: argparse.Namespace, targets: Sequence[Path]) -> None:
    """See that what is asked for besides labels can be written, before any work.

    Raises
    ------
    SettingsError, OutputError
        If it cannot.
    """
    asked = sides(args)
    for kind, path in asked.items():
        if len(args.images) > 1:
            raise SettingsError(f"--{kind} takes one image at a time. Give one, or leave it out.")
        besides = [other for name, other in asked.items() if name != kind]
        require_place(path, [*args.images, Path(args.model), *targets, *besides], kind)
        if is_store(targets[0]) and path.exists() and not args.resume:
            raise OutputError(
                f"'{path}' exists. Go on with it by --resume, or choose another --{kind}."
            )
        if not args.dry_run:
            try_to_write(path, f"--{kind}")


def require_place(path: Path, others: Iterable[Path], kind: str = "probabilities") -> None:
    """See that what goes beside labels may be written to the folder `path`; nothing is touched.

    Parameters
    ----------
    path
        A folder that does not exist, or one of the same kind, which will be replaced.
    others
        What the run reads and writes besides: the folder must have nothing to do with it.
    kind
        One of `KINDS`.

    Raises
    ------
    OutputError
        If it holds, or might hold, anything else.
    """
    if not is_store(path):
        raise OutputError(
            f"The {kind} go to a zarr folder: '{path.name}' has to end in .zarr. Change --{kind}."
        )
    here = path.resolve()
    for other in others:
        there = other.expanduser().resolve()
        if here == there or here in there.parents or (there in here.parents and other.exists()):
            raise OutputError(
                f"The {kind} would be mixed up with '{other}'. Choose another folder with --{kind}."
            )
    _require_ours(path, kind)


def _require_ours(path: Path, kind: str) -> None:
    """Let nothing be replaced but what an earlier run has marked as being of the same kind."""
    import zarr

    if not path.exists() and not path.is_symlink():
        return
    try:
        marks = {} if path.is_symlink() else dict(zarr.open_array(path, mode="r").attrs)
    except (OSError, ValueError, KeyError, TypeError):
        marks = {}
    if marks.get(_MARK) != kind:
        raise OutputError(
            f"'{path}' exists, and is no folder of {kind}, so it is not replaced. "
            f"Choose another name with --{kind}, or remove it yourself."
        )


@contextmanager
def probability_store(
    source: Source, network: Network, paths: Mapping[str, Path]
) -> Iterator[ProbabilityStore | None]:
    """Lend what fills the folders that are asked for, by their kind; None if none is.

    Raises
    ------
    OutputError
        If one cannot be written; what was at its path before is untouched.
    """
    with ExitStack() as open_ones:
        sheets = [
            open_ones.enter_context(_side_sheet(source, network, kind, path))
            for kind, path in paths.items()
        ]
        yield ProbabilityStore(sheets) if sheets else None


@contextmanager
def _side_sheet(source: Source, network: Network, kind: str, path: Path) -> Iterator[Sheet]:
    """Lend a sheet that becomes the folder `path` when all went well."""
    from napari_tileseg.io.side_sheets import new_side_sheet

    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield new_side_sheet(
            kind,
            unfinished,
            source.label_shape,
            spatial_dims=len(source.spatial_shape),
            classes=[one.name for one in network.classes],
        )
        _put_in_place(unfinished, path, kind)
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written ({error.strerror or error}). "
            f"Choose another place with --{kind}."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _put_in_place(unfinished: Path, path: Path, kind: str) -> None:
    """Rename a finished folder to its name; a folder that has the name makes room first."""
    if not path.exists():
        unfinished.rename(path)
        return
    _require_ours(path, kind)
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(old)
    try:
        unfinished.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
