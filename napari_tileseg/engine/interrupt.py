"""Stopping a run at once: before a tile is read, and between any two layers of a network."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock, get_ident
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
        Asked often, from every thread that computes but never from two at a time; None never
        stops.
    """

    def __init__(self, should_stop: Callable[[], bool] | None = None) -> None:
        self._should_stop = should_stop or (lambda: False)
        self._listening: set[int] = set()
        self._abandoned = False
        self._asking = Lock()

    def abandon(self) -> None:
        """Stop whatever is still being computed: nobody wants it any more."""
        self._abandoned = True

    def check(self) -> None:
        """Raise `Cancelled` if the run is to stop."""
        with self._asking:
            stop = self._abandoned or self._should_stop()
        if stop:
            raise Cancelled("Stopped. What was finished is kept.")

    @contextmanager
    def within(self, module: nn.Module) -> Iterator[None]:
        """Let a network be stopped while this run computes with it; others may share it."""

        def ask(*_: object) -> None:
            if get_ident() in self._listening:
                self.check()

        hooks = [part.register_forward_pre_hook(ask) for part in module.modules()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Mark what this run computes, in this thread; others may compute for it too."""
        self.check()
        self._listening.add(get_ident())
        try:
            yield
        finally:
            self._listening.discard(get_ident())
