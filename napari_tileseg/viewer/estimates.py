"""What the next run will cost, found out in the background while nobody runs anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_tileseg.viewer import jobs, loading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_tileseg.engine.estimate import Estimate
    from napari_tileseg.session import Session, View

DELAY_MS = 700
"""Nothing is measured before settings have been left alone for so long."""


class Estimates:
    """Measures what the plan of a session costs, anew whenever there is another plan.

    The work ends as soon as a run begins or the plan changes. A plan that was measured comes
    back settled, so that a run of it begins at once.

    Parameters
    ----------
    session
        Whose plans are measured, and who is told.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._job: jobs.Job | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._begin)
        session.planned.connect(self._on_planned)
        session.changed.connect(self._on_changed)

    @property
    def last(self) -> jobs.Job | None:
        """The newest job; its thread may be busy for a moment after it was stopped."""
        return self._job

    def close(self) -> None:
        """Stop for good."""
        self._session.planned.disconnect(self._on_planned)
        self._session.changed.disconnect(self._on_changed)
        self.stop()

    def stop(self) -> None:
        """End what goes on, without waiting for it."""
        self._timer.stop()
        if self._job is not None and self._job.is_running:
            self._job.close(timeout_s=0)

    def _on_planned(self, plan: object) -> None:
        self.stop()
        if plan is not None:
            self._timer.start(DELAY_MS)

    def _on_changed(self, view: View) -> None:
        if view.busy:
            self.stop()

    def _begin(self) -> None:
        session = self._session
        plan, source, network = session.plan, session.source, session.network
        if plan is None or source is None or network is None or not session.view.can_run:
            return

        def stream(should_stop: Callable[[], bool]) -> Iterator[Estimate]:
            yield loading.estimate(plan, source, network, should_stop)

        self._job = jobs.Job(
            stream,
            lambda found: session.take_estimate(plan, found),
            spare_a_core=True,
            after=self._job,
        )
        # what a run would fail of is said by the run
        self._job.finished.connect(self._on_finished)
        self._job.start()
        session.start_estimate()

    def _on_finished(self, _: jobs.Outcome) -> None:
        self._session.stop_estimate()
