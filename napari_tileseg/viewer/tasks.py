"""Small work that must not block the window: one function, one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.viewer import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Tasks:
    """Runs functions in other threads and hands their answers to the GUI thread."""

    def __init__(self) -> None:
        self._jobs: dict[jobs.Job, float] = {}

    def start(
        self,
        work: Callable[[], Any],
        on_done: Callable[[Any], object],
        on_failed: Callable[[BaseException], object],
        *,
        patience_s: float = 0.1,
    ) -> None:
        """Run `work` in another thread, then one of the other two in this one.

        Parameters
        ----------
        work
            Called in another thread; it cannot be stopped.
        on_done, on_failed
            Called in this thread with the answer, or with the error.
        patience_s
            How long `close` waits for it, in seconds: long if it would be missed.
        """

        def stream(_should_stop: Callable[[], bool]) -> Iterator[Any]:
            yield work()

        job = jobs.Job(stream, on_done)

        def on_finished(outcome: jobs.Outcome) -> None:
            self._jobs.pop(job, None)
            if isinstance(outcome, jobs.Failed):
                on_failed(outcome.error)

        job.finished.connect(on_finished)
        self._jobs[job] = patience_s
        job.start()

    def close(self) -> None:
        """Forget all answers that have not come."""
        while self._jobs:
            job, patience_s = self._jobs.popitem()
            job.close(timeout_s=patience_s)
