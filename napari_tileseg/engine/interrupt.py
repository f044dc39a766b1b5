"""Stopping a run at once: before a tile is read, and between any two layers of a network."""

from __future__ import annotations

from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING

from napari_tileseg.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn


class Interrupt:
    """Asks whether to stop; raises `Cancelled` when the answer is yes.

    Parameters
    ----------
    should_stop
        Asked often, from the thread of the run; None never stops.
    """

    def __init__(self, should_stop: Callable[[], bool] | None = None) -> None:
        self._should_stop = should_stop or (lambda: False)
        self._listening: int | None = None

    def check(self) -> None:
        """Raise `Cancelled` if the run is to stop."""
        if self._should_stop():
            raise Cancelled("Stopped. What was finished is kept.")

    @contextmanager
    def within(self, module: nn.Module) -> Iterator[None]:
        """Let a network be stopped while this run computes with it; others may share it."""

        def ask(*_: object) -> None:
            if self._listening == get_ident():
                self.check()

        hooks = [part.register_forward_pre_hook(ask) for part in module.modules()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Mark what this run computes, in this thread."""
        self.check()
        self._listening = get_ident()
        try:
            yield
        finally:
            self._listening = None
