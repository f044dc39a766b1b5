"""What is done with project folders in another thread: made, set aside, moved, written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import ProjectError
from napari_tileseg.io.project import Project
from napari_tileseg.io.project_facts import not_saved
from napari_tileseg.io.project_lock import ProjectInUse
from napari_tileseg.io.project_place import free_name, is_project, user_folder
from napari_tileseg.viewer.restoring import earlier_work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_tileseg.io.project_labels import Chunk
    from napari_tileseg.io.project_place import ImageIdentity
    from napari_tileseg.session.project import Offer


def places_for(image: ImageIdentity, chosen: Path | None) -> list[Path]:
    """Return where a project may be made, the best place first."""
    if chosen is not None:
        return [chosen]
    return [path for path in (image.beside, image.in_user_folder) if path is not None]


def find_out(
    identify: Callable[[], ImageIdentity], folder: Path | None
) -> tuple[ImageIdentity, Project | None, Offer | None, ProjectError | None]:
    """Find out what an image is known by, and what there is from before.

    Parameters
    ----------
    identify
        Tells what the image is known by.
    folder
        Where labels that are in the viewer are saved; None if they are nowhere yet.

    Returns
    -------
    What it is known by; the project of `folder`, or else earlier work; and why either of them
    cannot be read, if that is so.

    Raises
    ------
    OSError
        If the image is not there any more.
    """
    image = identify()
    try:
        if folder is not None and is_project(folder):
            return image, opened(folder), None, None
        return image, None, earlier_work(image), None
    except ProjectError as error:
        return image, None, None, error


def opened(path: Path) -> Project:
    """Open a project, read-only if somebody else writes to it; ProjectError if it cannot be."""
    try:
        return Project.open(path)
    except ProjectInUse:
        return Project.open(path, read_only=True)


def make_project(places: Sequence[Path], facts: Mapping[str, Any]) -> tuple[Project, Path | None]:
    """Make a project at the first place where that is possible.

    Returns
    -------
    The project, and where earlier work that was in its place is now, if there was some.

    Raises
    ------
    ProjectInUse
        If somebody else works on a project there.
    ProjectError
        If it can be made nowhere; the reason is that of the last place.
    """
    problem: ProjectError | None = None
    for path in places:
        try:
            _make_user_folder(path)
            aside = _set_aside(path)
            return Project.create(path, facts), aside
        except ProjectInUse:
            raise
        except ProjectError as error:
            problem = error
    assert problem is not None, "there is always a place"
    raise problem


def _make_user_folder(path: Path) -> None:
    if path.parent == user_folder():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_saved(path, error) from error


def _set_aside(path: Path) -> Path | None:
    """Rename earlier work, so that new work can take its place."""
    if not is_project(path):
        return None
    _require_free(path)
    other = free_name(path)
    try:
        path.rename(other)
    except OSError as error:
        raise ProjectError(
            f"Earlier work in '{path}' cannot be set aside ({error.strerror or error}), so what "
            "you do now is not saved there. Save the project under another name."
        ) from error
    return other


def _require_free(path: Path) -> None:
    """Raise `ProjectInUse` if somebody works on a project, whatever state it is in."""
    try:
        Project.open(path).close()
    except ProjectInUse:
        raise
    except ProjectError:
        return  # what cannot be read nobody works on


def save(project: Project, facts: Mapping[str, Any], chunks: Sequence[Chunk]) -> None:
    """Write facts and labels; ProjectError if that does not work."""
    project.set_facts(facts)
    if chunks:
        project.write(chunks)


def save_as(path: Path, facts: Mapping[str, Any], former: Project | None) -> Project:
    """Make a project under another name, with the models and the history of the former one.

    Raises
    ------
    ProjectError
        If there is something already, or it cannot be written.
    """
    project = Project.create(path, facts)
    try:
        if former is not None:
            project.take_along(former)
    except ProjectError:
        project.close()
        raise
    return project
