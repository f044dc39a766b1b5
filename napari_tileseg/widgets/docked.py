"""What all docks of ours have in common: they let go of everything when they are closed."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import partial

from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QWidget


class Docked(QWidget):
    """A widget that napari docks.

    Attributes
    ----------
    connected
        What is to be closed with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.connected = ExitStack()
        self._was_docked = False
        end = partial(close_late, self.connected)
        self.destroyed.connect(end)  # the window may go with all that is in it
        app = QCoreApplication.instance()
        assert app is not None, "a widget needs an application"
        app.aboutToQuit.connect(end)  # the program may end before its windows go
        self.connected.callback(app.aboutToQuit.disconnect, end)

    def changeEvent(self, event: QEvent | None) -> None:
        """End all work when the dock is closed: napari takes the widget out and forgets it."""
        super().changeEvent(event)
        if event is None or event.type() != QEvent.Type.ParentChange:
            return
        if self.parent() is not None:
            self._was_docked = True
        elif self._was_docked:
            self.connected.close()
            self.deleteLater()


def close_late(connected: ExitStack) -> None:
    """Close what a widget held that Qt destroys, or has destroyed already."""
    # where Python clears a whole window away, its timers may have gone first
    with suppress(RuntimeError):
        connected.close()
