"""Small work that must not block the window: one function, one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.viewer import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Tasks:
    """Runs functions in other threads and hands their answers to the GUI thread."""

    def __init__(self) -> None:
        self._jobs: set[jobs.Job] = set()

    def start(
        self,
        work: Callable[[], Any],
        on_done: Callable[[Any], object],
        on_failed: Callable[[BaseException], object],
    ) -> None:
        """Run `work` in another thread, then one of the other two in this one."""

        def stream(_should_stop: Callable[[], bool]) -> Iterator[Any]:
            yield work()

        job = jobs.Job(stream, on_done)

        def on_finished(outcome: jobs.Outcome) -> None:
            self._jobs.discard(job)
            if isinstance(outcome, jobs.Failed):
                on_failed(outcome.error)

        job.finished.connect(on_finished)
        self._jobs.add(job)
        job.start()

    def close(self) -> None:
        """Forget all answers that have not come."""
        while self._jobs:
            self._jobs.pop().close(timeout_s=0.1)
