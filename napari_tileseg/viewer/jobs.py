"""The one door to the other thread: long work there, its results here, and always an end.

A `Job` runs a stream in a worker thread and hands every item to the GUI thread, in order.
The worker waits when the GUI lags, so that neither memory nor the event loop runs full.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from qtpy.QtCore import QObject, QTimer, Signal

from napari_tileseg import errors

T = TypeVar("T")
ShouldStop = Callable[[], bool]
MakeStream = Callable[[ShouldStop], Iterator[T]]

_POLL_S = 0.05


@dataclass(frozen=True)
class Finished:
    """The stream came to its own end."""


@dataclass(frozen=True)
class Cancelled:
    """Somebody asked to stop before the end; what was delivered by then is whole."""


@dataclass(frozen=True)
class Failed:
    """The stream, or who took its items, raised an error."""

    error: BaseException
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """Describe an error that has just been caught."""
        return cls(error, "".join(traceback.format_exception(error)))


Outcome = Finished | Cancelled | Failed


class _Worker(Generic[T]):
    """The side of the other thread: it knows no Qt object, so it can outlive them all."""

    def __init__(
        self,
        make_stream: MakeStream[T],
        queue_size: int,
        spare_a_core: bool,
        after: threading.Thread | None,
    ) -> None:
        self._make_stream = make_stream
        self._spare_a_core = spare_a_core
        self._after = after
        self.items: queue.Queue[T | _End] = queue.Queue(maxsize=queue_size)
        self.stop = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._abandoned = threading.Event()
        self.thread = threading.Thread(target=self._run, name="tileseg-job", daemon=True)

    def abandon(self) -> None:
        """End soon, and hand over nothing more: nobody is there to take it."""
        self._abandoned.set()
        self.stop.set()
        self.may_go_on.set()

    def _run(self) -> None:
        outcome: Outcome = Cancelled()
        while self._after is not None and self._after.is_alive() and not self.stop.is_set():
            self._after.join(_POLL_S)
        try:
            with _one_core_left() if self._spare_a_core else nullcontext():
                outcome = self._work()
        except errors.Cancelled:
            outcome = Cancelled()
        except BaseException as error:  # noqa: BLE001 - the one door: whatever it is, it is told
            outcome = Failed.of(error)
        finally:
            self._put(_End(outcome))

    def _work(self) -> Outcome:
        stream = self._make_stream(self.stop.is_set)
        try:
            while self._go_on():
                try:
                    item = next(stream)
                except StopIteration:
                    return Finished()
                self._put(item)
            return Cancelled()
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()

    def _go_on(self) -> bool:
        while not self.stop.is_set() and not self.may_go_on.wait(_POLL_S):
            pass
        return not self.stop.is_set()

    def _put(self, item: T | _End) -> None:
        while not self._abandoned.is_set():
            try:
                self.items.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return


@dataclass(frozen=True)
class _End:
    outcome: Outcome


class Job(QObject):
    """Runs a stream in one worker thread and hands its items to the GUI thread, in order.

    Parameters
    ----------
    make_stream
        Called in the worker thread with a function that says whether to stop; returns an
        iterator, a generator for preference. It is closed in that thread, however it ends.
    on_item
        Called in the GUI thread with every item. If it raises, the job fails with that error.
    budget_ms
        For how long items are handed over at a time, in milliseconds (at least one is).
    interval_ms
        How often, in milliseconds.
    queue_size
        How many items may wait before the worker has to.
    spare_a_core
        Whether torch leaves one processor core to the window while the job runs.
    after
        A job that was cancelled or closed, whose thread is waited for: in this job's own thread.

    Notes
    -----
    `finished` is emitted exactly once for every job that was started and not closed, after the
    last item was handed over.
    """

    started = Signal()
    paused = Signal()
    resumed = Signal()
    finished = Signal(object)

    def __init__(
        self,
        make_stream: MakeStream[Any],
        on_item: Callable[[Any], object],
        *,
        budget_ms: float = 10,
        interval_ms: int = 33,
        queue_size: int = 32,
        spare_a_core: bool = False,
        after: Job | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        before = None if after is None else after._worker.thread
        self._worker: _Worker[Any] = _Worker(make_stream, queue_size, spare_a_core, before)
        self._on_item = on_item
        self._budget_s = budget_ms / 1000
        self._outcome: Outcome | None = None
        self._failure: Failed | None = None
        self._handing_over = False
        self._timer = QTimer(self)
        self._timer.setInterval(interval_ms)
        self._timer.timeout.connect(self._on_timer)
        # a job that Qt deletes without close() must not leave its thread waiting for ever
        self.destroyed.connect(self._worker.abandon)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None before it has."""
        return self._outcome

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended (a paused job is running)."""
        return self._timer.isActive()

    @property
    def is_paused(self) -> bool:
        """Whether the stream is not asked for more at the moment."""
        return self.is_running and not self._worker.may_go_on.is_set()

    def start(self) -> None:
        """Begin; a job begins once."""
        assert self._outcome is None, "a job that has ended is not started again"
        self._worker.thread.start()
        self._timer.start()
        self.started.emit()

    def pause(self) -> None:
        """Ask the stream for nothing more until `resume`; what it works on now still comes.

        After `cancel` it does nothing: the end is on its way.
        """
        if self.is_running and not self.is_paused and not self._worker.stop.is_set():
            self._worker.may_go_on.clear()
            self.paused.emit()

    def resume(self) -> None:
        """Go on after `pause`."""
        if self.is_paused:
            self._worker.may_go_on.set()
            self.resumed.emit()

    def cancel(self) -> None:
        """Stop as soon as the stream heeds it; what it has given by then is handed over."""
        self._worker.stop.set()
        self._worker.may_go_on.set()

    def close(self, timeout_s: float = 2.0) -> bool:
        """End now: no item and no signal comes after this.

        The job lets go of who takes its items, so that layers and windows can be freed at once.

        Parameters
        ----------
        timeout_s
            For how long the caller waits for the thread, in seconds. 0: not at all; the window
            stays quick however slow the stream is, and the thread ends by itself.

        Returns
        -------
        Whether the thread has ended within `timeout_s`; if not, it ends on its own as soon as
        what it is computing returns.
        """
        self._worker.abandon()
        self._timer.stop()
        if self._outcome is None:
            self._outcome = Cancelled()
        self._on_item = _nobody
        if self._worker.thread.ident is not None:
            self._worker.thread.join(timeout_s)
        return not self._worker.thread.is_alive()

    def _on_timer(self) -> None:
        # who takes an item may run the event loop (a message box), and with it this timer
        if self._handing_over:
            return
        self._handing_over = True
        try:
            self._hand_over()
        finally:
            self._handing_over = False

    def _hand_over(self) -> None:
        deadline = time.perf_counter() + self._budget_s
        while self._outcome is None:
            try:
                item = self._worker.items.get_nowait()
            except queue.Empty:
                return
            if isinstance(item, _End):
                self._end(item.outcome)
                return
            self._take(item)
            if time.perf_counter() >= deadline:
                return

    def _take(self, item: Any) -> None:
        if self._failure is not None:
            return
        try:
            self._on_item(item)
        except Exception as error:  # noqa: BLE001 - told through `finished`, like any failure
            self._failure = Failed.of(error)
            self.cancel()

    def _end(self, outcome: Outcome) -> None:
        self._timer.stop()
        self._outcome = self._failure or outcome
        self._worker.thread.join()
        self.finished.emit(self._outcome)


def _nobody(item: object) -> None:
    """Take the items of a job that has been closed: there are none."""


@contextmanager
def _one_core_left() -> Iterator[None]:
    """Keep torch, in this thread, off one core, so that the window stays quick."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, (os.cpu_count() or 1) - 1)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
