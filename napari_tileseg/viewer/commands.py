"""What the menus and the command palette offer; each opens the dock if it is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from napari_tileseg.viewer.hotkeys import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_tileseg.viewer.controller import Controller

PLUGIN = "napari-tileseg"
WIDGET = "Tiled Segmentation"


def controller_in(viewer: napari.Viewer) -> Controller:
    """Return the controller of the dock in a viewer; the dock is opened if it is not there."""
    return cast("Controller", _dock_in(viewer).controller)


def _dock_in(viewer: napari.Viewer) -> Any:
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    return dock


def save_project_as(viewer: napari.Viewer) -> None:
    """Ask where the work on the chosen image is to be saved from now on."""
    dock = _dock_in(viewer)
    if dock.controller.projects.can_save_as():
        dock.project_bar.ask_where()


def _command(name: str) -> Callable[[napari.Viewer], None]:
    _, act = ACTIONS[name]

    def command(viewer: napari.Viewer) -> None:
        act(controller_in(viewer))

    return command


run_or_pause = _command("run_or_pause")
run_view = _command("run_view")
cancel = _command("cancel")
next_place = _command("next_place")
next_class = _command("next_class")
previous_class = _command("previous_class")
toggle_labels = _command("toggle_labels")
mark_view = _command("mark_view")
unmark_view = _command("unmark_view")
mark_region = _command("mark_region")
toggle_overlay = _command("toggle_overlay")
take_labels = _command("take_labels")
