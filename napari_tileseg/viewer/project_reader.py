"""napari's "Open" for project folders: dragged onto the window, or chosen in the menu."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from qtpy.QtCore import QTimer

from napari_tileseg.errors import ProjectError
from napari_tileseg.io.project_place import is_project

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_LAYER = [(None,)]
"""What napari takes for "read, and there is no layer to add"."""


def read_project_folder(path: str | list[str]) -> Callable[[Any], list[Any]] | None:
    """Return what opens a project folder; None if it is none.

    Parameters
    ----------
    path
        The folder; one at a time.
    """
    one = path if isinstance(path, str) else path[0] if len(path) == 1 else None
    return _open if one is not None and is_project(Path(one)) else None


def _open(path: str | list[str]) -> list[Any]:
    """Open the image of a project in the dock, and go on with the work."""
    folder = Path(path if isinstance(path, str) else path[0])
    viewer = napari.current_viewer()
    if viewer is None or not hasattr(viewer, "window"):
        raise ProjectError(f"'{folder.name}' can be opened in a window of napari only.")
    from napari_tileseg.viewer.commands import controller_in

    projects = controller_in(viewer).projects
    # napari is still reading: the image is opened when it has ended
    QTimer.singleShot(0, lambda: projects.open_folder(folder))
    return _NO_LAYER
