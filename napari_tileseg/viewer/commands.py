"""What the menus and the command palette offer; each opens the dock if it is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import napari

    from napari_tileseg.viewer.controller import Controller

PLUGIN = "napari-tileseg"
WIDGET = "Tiled Segmentation"


def controller_in(viewer: napari.Viewer) -> Controller:
    """Return the controller of the dock in a viewer; the dock is opened if it is not there."""
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    return cast("Controller", cast("Any", dock).controller)


def run_or_pause(viewer: napari.Viewer) -> None:
    """Run, pause or resume."""
    controller_in(viewer).run_or_pause()


def cancel(viewer: napari.Viewer) -> None:
    """End the run; what is there stays."""
    controller_in(viewer).cancel()


def next_class(viewer: napari.Viewer) -> None:
    """Paint the next class in the list."""
    controller_in(viewer).classes.select_next()


def previous_class(viewer: napari.Viewer) -> None:
    """Paint the class before."""
    controller_in(viewer).classes.select_previous()


def toggle_labels(viewer: napari.Viewer) -> None:
    """Hide all labels, or show them again."""
    controller_in(viewer).classes.toggle_labels()
