"""The small facts about saved work: one JSON file, replaced in one step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import OutputError, ProjectError
from napari_tileseg.io.atomic import written_beside
from napari_tileseg.io.project_place import FACTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = "tileseg project"
VERSION = 1
_HISTORY = "history.json"


def read_facts(folder: Path) -> dict[str, Any]:
    """Read what a project says about itself.

    Raises
    ------
    ProjectError
        If the folder is no project, is damaged, or was written by a newer version.
    """
    if not folder.is_dir():
        raise ProjectError(f"There is no folder '{folder}'. Check the name and where it is.")
    if not (folder / FACTS).is_file():
        raise ProjectError(
            f"'{folder}' is no saved work of this program: it has no {FACTS}. Choose a folder "
            "whose name ends in .tileseg."
        )
    facts = _read(folder / FACTS)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise _damaged(folder / FACTS)
    version = facts.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise ProjectError(
            f"'{folder.name}' was saved by a newer version of this program (its format is "
            f"{version}; this one reads {VERSION}). It was left as it is. Update: "
            "pip install --upgrade napari-tileseg"
        )
    return facts


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what a project says about itself; on failure the former file is untouched.

    Raises
    ------
    ProjectError
        If it cannot be written.
    """
    _write(folder / FACTS, {"format": FORMAT, "version": VERSION, **facts})


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Read what happened, the oldest first; nothing if nothing did.

    Raises
    ------
    ProjectError
        If the file is damaged.
    """
    path = folder / _HISTORY
    history = _read(path) if path.is_file() else []
    if not isinstance(history, list):
        raise _damaged(path)
    return history


def write_history(folder: Path, history: list[dict[str, Any]]) -> None:
    """Write what happened; on failure the former file is untouched.

    Raises
    ------
    ProjectError
        If it cannot be written.
    """
    _write(folder / _HISTORY, history)


def not_saved(folder: Path, error: OSError) -> ProjectError:
    """Say that a disk refused, and what becomes of the work."""
    return ProjectError(
        f"Your work cannot be saved in '{folder}' ({error.strerror or error}). It goes on in "
        "memory, and is saved as soon as that works again: make room, or connect the disk."
    )


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(
            f"'{path}' cannot be read ({error.strerror or error}). Check that you may read it."
        ) from error
    except ValueError as error:
        raise _damaged(path) from error


def _write(path: Path, value: Any) -> None:
    try:
        with written_beside(path) as part:
            part.write_text(json.dumps(value, indent=1), encoding="utf-8")
    except OutputError as error:
        reason = error.__cause__
        raise (
            not_saved(path.parent, reason)
            if isinstance(reason, OSError)
            else ProjectError(str(error))
        ) from error


def _damaged(path: Path) -> ProjectError:
    return ProjectError(
        f"'{path}' is damaged, so the work saved there cannot be opened. Nothing was changed. "
        "Put the file back from a copy of the folder; the labels beside it are still there."
    )
