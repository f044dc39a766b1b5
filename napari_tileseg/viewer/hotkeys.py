"""What is done often: its name, its key, and what it does; napari reads no keys from manifests."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari.utils.key_bindings import coerce_keybinding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.components import ViewerModel

    from napari_tileseg.viewer.controller import Controller

ACTIONS: dict[str, tuple[str, Callable[[Controller], object]]] = {
    "run_or_pause": ("Control-Shift-R", lambda controller: controller.run_or_pause()),
    "run_view": ("Control-Shift-E", lambda controller: controller.run_view()),
    "cancel": ("Control-Shift-X", lambda controller: controller.cancel()),
    "next_place": ("Control-Shift-N", lambda controller: controller.places.go()),
    "next_class": ("Control-Shift-D", lambda controller: controller.classes.select_next()),
    "previous_class": ("Control-Shift-A", lambda controller: controller.classes.select_previous()),
    "toggle_labels": ("Control-Shift-L", lambda controller: controller.classes.toggle_labels()),
    "mark_view": ("Control-Shift-V", lambda controller: controller.review.mark_view()),
    "unmark_view": ("Control-Shift-U", lambda controller: controller.review.unmark_view()),
    "mark_region": ("Control-Shift-M", lambda controller: controller.review.mark_region()),
    "toggle_overlay": ("Control-Shift-O", lambda controller: controller.review.overlay.toggle()),
    "take_labels": ("Control-Shift-T", lambda controller: controller.review.take_selected_layer()),
}
"""What napari calls Control is the command key on a Mac."""


@contextmanager
def bind_hotkeys(viewer: ViewerModel, controller: Controller) -> Iterator[None]:
    """Bind the keys to a controller for as long as the context lasts."""
    bindings = [_Binding(viewer, controller, name) for name in ACTIONS]
    try:
        yield
    finally:
        for binding in bindings:
            binding.release()


class _Binding:
    """One key that does one thing, and what it did before."""

    def __init__(self, viewer: ViewerModel, controller: Controller, name: str) -> None:
        key, act = ACTIONS[name]
        # napari asks every binding for the name that a function has
        self.__name__ = name
        self._viewer = viewer
        self._key = coerce_keybinding(key)
        self._do: Callable[[], object] | None = lambda: act(controller)
        self._before = viewer.keymap.get(self._key)
        viewer.bind_key(self._key, self, overwrite=True)

    def __call__(self, _viewer: Any) -> None:
        if self._do is not None:
            self._do()

    def release(self) -> None:
        """Give the key back, unless somebody has taken it meanwhile."""
        self._do = None
        if self._viewer.keymap.get(self._key) is not self:
            return
        before = self._before
        # docks close in any order, and what a closed one did is not to come back
        while isinstance(before, _Binding) and before._do is None:
            before = before._before
        self._viewer.bind_key(self._key, before, overwrite=True)
