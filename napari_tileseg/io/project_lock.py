"""Who may write to a project: one at a time, and only while its folder is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.errors import ProjectError
from napari_tileseg.io.locks import take_lock
from napari_tileseg.io.project_facts import not_saved

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

LOCK = ".lock"


class ProjectInUse(ProjectError):
    """Somebody else writes to a project."""


class ProjectGone(ProjectError):
    """The folder of a project that is open is not there any more."""


def locked(path: Path) -> BinaryIO:
    """Take a project for writing, until what is returned is closed.

    Raises
    ------
    ProjectInUse
        If somebody else has it.
    ProjectError
        If the folder cannot be written to.
    """
    try:
        lock = take_lock(path / LOCK)
    except OSError as error:
        raise not_saved(path, error) from error
    if lock is None:
        raise ProjectInUse(f"Another napari window is working on '{path}'.")
    return lock


def gone(path: Path) -> ProjectGone:
    """Say that a folder vanished, and what becomes of the work."""
    return ProjectGone(
        f"The folder '{path}', in which your work was saved, is not there any more. "
        "The work goes on in memory, and is saved anew as soon as that works."
    )
