"""One run: a job that computes, layers that show it, a focus that follows the view."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_tileseg.engine.schedule import Focus
from napari_tileseg.viewer import jobs
from napari_tileseg.viewer.coverage import Coverage
from napari_tileseg.viewer.viewport import ViewportWatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_tileseg.annotation.doubts import DoubtMap
    from napari_tileseg.engine.meter import Meter
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.predict import Patch
    from napari_tileseg.engine.source import Source
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.portion import Portion
    from napari_tileseg.viewer.results import Results

_SURVEY_MS = 250
"""So often it is asked how far a run is that goes over the whole image before the first tile."""

_TELL_EVERY_S = 0.2
"""Progress and areas are told so often; more would only flicker."""


@dataclass
class Carried:
    """The plan as it is carried out, and what measures it once it is begun."""

    plan: Plan
    meter: Meter | None = None


class Run:
    """Binds session, layers and job for as long as a run goes on, and lets go of them after.

    Parameters
    ----------
    viewer
        Where it is shown; its camera says which tiles come first.
    session
        What to do, and who is told how far it is.
    image
        The layer that is segmented.
    results
        The layers that are written.
    on_end
        Called when it has ended, with what it was, and whether all of the image is of it now.
    doubts
        Where it is written down how sure the model is.
    portion
        The part of the image that it is for; None for all of it.
    after
        A job that has to have ended before.

    Attributes
    ----------
    focus
        Where the person looks; the tiles near it come first.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        image: Layer,
        results: Results,
        on_end: Callable[[Carried, bool], object],
        doubts: DoubtMap,
        portion: Portion | None = None,
        after: jobs.Job | None = None,
    ) -> None:
        assert session.plan is not None
        assert session.source is not None
        assert session.network is not None
        self._session = session
        self._image = image
        self._results = results
        self._doubts = doubts
        self._portion = portion
        self.focus = Focus()
        self._spatial_dims = len(session.source.spatial_shape)
        self._seen = Coverage()
        self._tiles_done = 0
        self._tiles_total: int | None = None
        self._told_at = 0.0
        self._paused_at = 0.0
        self._on_end = on_end
        self._carried = Carried(session.plan)
        self._is_settled = session.plan.settled
        self._bound = ExitStack()
        self._job = jobs.Job(
            _stream(self._carried, session.source, session.network, self.focus, portion),
            self._on_patch,
            spare_a_core=True,
            after=after,
        )
        self._job.finished.connect(self._on_finished)
        self._survey_timer = QTimer()
        self._survey_timer.setInterval(_SURVEY_MS)
        self._survey_timer.timeout.connect(self._tell_survey)
        self._bound.callback(self._survey_timer.stop)
        self._watcher = ViewportWatcher(viewer, results.front, self._on_view_moved)
        self._bound.callback(self._watcher.close)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended; a paused run is running."""
        return self._job.is_running

    def use_of(self, layer: object) -> str:
        """Say what a layer is for this run: "image", "labels", or "" for nothing."""
        if layer is self._image:
            return "image"
        return "labels" if layer in self._results.layers else ""

    def start(self) -> None:
        """Begin."""
        self._session.start()
        self._survey_timer.start()
        self._job.start()

    def pause(self) -> None:
        """Hold the run after the tile that is being computed."""
        self._job.pause()
        self._paused_at = time.monotonic()
        self._session.pause()

    def resume(self) -> None:
        """Let the run go on."""
        self._session.resume()
        if self._carried.meter is not None:
            self._carried.meter.leave_out(time.monotonic() - self._paused_at)
        self._job.resume()

    def cancel(self) -> None:
        """Ask the run to end; it says when it has."""
        self._session.stop()
        self._job.cancel()

    def close(self, timeout_s: float = 2.0) -> None:
        """Let go of everything at once; nothing more is written or told.

        Parameters
        ----------
        timeout_s
            How long to wait for the tile that is being computed; the window stands still then.
        """
        self._job.close(timeout_s=timeout_s)
        self._bound.close()
        self._results.settle()

    def _tell_survey(self) -> None:
        meter = self._carried.meter
        if meter is not None and meter.surveyed is not None:
            self._session.survey(meter.surveyed)

    def _on_patch(self, patch: Patch) -> None:
        self._survey_timer.stop()
        shown = patch if self._portion is None else self._portion.cut(patch)
        if shown is not None:
            self._results.write(shown)
            if shown.doubt is not None:
                self._doubts.add(shown.region, shown.doubt)
            if shown.final:
                self._seen.add(shown.region)
        self._tiles_done, self._tiles_total = patch.tiles_done, patch.tiles_total
        now = time.monotonic()
        if now - self._told_at >= _TELL_EVERY_S or patch.tiles_done == 1:
            self._told_at = now
            self._tell()

    def _tell(self) -> None:
        region = self._watcher.region
        complete = region is not None and self._seen.covers(region)
        if not self._is_settled and self._carried.plan.settled:
            self._is_settled = True
            self._session.settle(self._carried.plan)
        self._session.advance(self._tiles_done, self._tiles_total, view_complete=complete)
        if self._carried.meter is not None:
            self._session.measure(self._carried.meter.report())
        self._session.count_areas(*self._results.areas())

    def _on_view_moved(self, point: tuple[float, ...], extent: tuple[float, ...] | None) -> None:
        self.focus.move(point, None if extent is None else extent[-self._spatial_dims :])

    def _on_finished(self, outcome: jobs.Outcome) -> None:
        self._bound.close()
        self._results.settle()
        self._tell()
        complete = self._portion is None and isinstance(outcome, jobs.Finished)
        self._on_end(self._carried, complete)
        if isinstance(outcome, jobs.Failed):
            self._session.fail(outcome.error)
        elif isinstance(outcome, jobs.Cancelled):
            self._session.cancel()
        else:
            self._session.finish()


def _stream(
    carried: Carried, source: Source, network: Network, focus: Focus, portion: Portion | None
) -> Callable[[Callable[[], bool]], Iterator[Patch]]:
    """Say how to make the stream; it is made in the thread of the job."""

    def patches(should_stop: Callable[[], bool]) -> Iterator[Patch]:
        from napari_tileseg.engine.estimate import settled
        from napari_tileseg.engine.meter import Meter
        from napari_tileseg.engine.predict import stream_plan

        carried.plan = settled(carried.plan, source, network, should_stop, watched=True)
        carried.meter = Meter(carried.plan.device)
        wanted = None
        if portion is not None:
            wanted = partial(portion.tiles, leading_shape=carried.plan.leading_shape)
        yield from stream_plan(
            carried.plan,
            source,
            network,
            focus=focus,
            should_stop=should_stop,
            wanted=wanted,
            doubts=True,
            meter=carried.meter,
        )

    return patches
