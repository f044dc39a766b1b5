"""What a store says about itself, and whether a run may go on with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import zarr

from napari_tileseg.engine.spec import ClassInfo
from napari_tileseg.errors import OutputError
from napari_tileseg.io.atomic import written_beside
from napari_tileseg.io.locks import take_lock
from napari_tileseg.io.sheets import KEY, not_written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

_LOCK = ".lock"
_DESCRIPTION = "zarr.json"
_RUNS = "tileseg runs"


def stored_facts(path: Path) -> dict[str, Any]:
    """Return what a store was made from; nothing if there is no store."""
    about = open_store(path, "r")[1]
    return {} if about is None else dict(about["facts"])


def read_about(
    path: Path,
) -> tuple[zarr.Array[Any], tuple[ClassInfo, ...], float | None] | None:
    """Return the array, classes and pixel size of a store; None if the folder is no store."""
    array, about = open_store(path, "r")
    if about is None:
        return None
    return array, tuple(ClassInfo(**one) for one in about["classes"]), about["pixel_size_um"]


def open_store(path: Path, mode: Literal["r", "r+"]) -> tuple[Any, dict[str, Any] | None]:
    """Return the array in a folder and what it says about itself; None for what there is not."""
    try:
        array = zarr.open_array(str(path), mode=mode)
    except (OSError, ValueError, KeyError):
        return None, None
    about: Any = array.attrs.get(KEY)
    return array, about if isinstance(about, dict) else None


def lock_store(path: Path) -> BinaryIO:
    """Keep others from writing to a store until what is returned is closed.

    Raises
    ------
    OutputError
        If somebody writes to it, or it cannot be written.
    """
    try:
        lock = take_lock(path / _LOCK)
    except OSError as error:
        raise not_written(path, error) from error
    if lock is None:
        raise OutputError(
            f"Another run writes to '{path}' at this moment. Wait until it has ended, "
            "or choose another --out."
        )
    return lock


def add_run(path: Path, run: Mapping[str, Any]) -> None:
    """Write down how a run into a store went; who goes on with it compares nothing of that.

    Raises
    ------
    OutputError
        If the disk refuses; the store is as it was before.
    """
    description = path / _DESCRIPTION
    content = json.loads(description.read_text(encoding="utf-8"))
    content["attributes"].setdefault(_RUNS, []).append(plain(run))
    with written_beside(description) as part:
        part.write_text(json.dumps(content, indent=2), encoding="utf-8")


def plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts as they are after they were stored and read: tuples are lists, and so on."""
    kept: dict[str, Any] = json.loads(json.dumps(dict(facts)))
    return kept


def require_same(path: Path, before: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """See that a store was made from the same facts.

    Raises
    ------
    OutputError
        If not; the message names every difference.
    """
    different = list(_differences("", before, plain(facts)))
    if different:
        raise OutputError(
            f"'{path}' cannot be gone on with, because it was made from something else: "
            f"{'; '.join(different)}. Use the same, or choose another --out."
        )


def _differences(within: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in [*before, *(name for name in now if name not in before)]:
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(f"{within}{name}: ", old, new)
        elif name not in before:
            yield f"{within}{name} was not stored, now {new!r}"
        elif name not in now:
            yield f"{within}{name} was {old!r}, now there is none"
        elif old != new:
            yield f"{within}{name} was {old!r}, now {new!r}"
