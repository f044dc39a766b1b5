"""Keys for what is done often; napari does not read them from the manifest."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.components import ViewerModel

    from napari_tileseg.viewer.controller import Controller

KEYS = {
    "run_or_pause": "Control-Shift-R",
    "cancel": "Control-Shift-X",
    "next_class": "Control-Shift-D",
    "previous_class": "Control-Shift-A",
    "toggle_labels": "Control-Shift-L",
}
"""What napari calls Control is the command key on a Mac."""


@contextmanager
def bind_hotkeys(viewer: ViewerModel, controller: Controller) -> Iterator[None]:
    """Bind the keys to a controller for as long as the context lasts."""
    actions: dict[str, Callable[[], object]] = {
        "run_or_pause": controller.run_or_pause,
        "cancel": controller.cancel,
        "next_class": controller.classes.select_next,
        "previous_class": controller.classes.select_previous,
        "toggle_labels": controller.classes.toggle_labels,
    }
    for name, key in KEYS.items():
        viewer.bind_key(key, _ignoring_viewer(actions[name]), overwrite=True)
    try:
        yield
    finally:
        for key in KEYS.values():
            viewer.bind_key(key, None)


def _ignoring_viewer(action: Callable[[], object]) -> Callable[[Any], None]:
    def act(_viewer: Any) -> None:
        action()

    return act
