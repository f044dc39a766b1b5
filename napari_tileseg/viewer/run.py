"""One run: a job that computes, layers that show it, a focus that follows the view."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.schedule import Focus
from napari_tileseg.viewer import jobs
from napari_tileseg.viewer.coverage import Coverage
from napari_tileseg.viewer.viewport import ViewportWatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_tileseg.engine.predict import Patch
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.results import Results

_TELL_EVERY_S = 0.2
"""Progress and areas are told so often; more would only flicker."""


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

    Attributes
    ----------
    focus
        Where the person looks; the tiles near it come first.
    """

    def __init__(
        self, viewer: ViewerModel, session: Session, image: Layer, results: Results
    ) -> None:
        assert session.plan is not None
        assert session.source is not None
        assert session.network is not None
        self._session = session
        self._image = image
        self._results = results
        self.focus = Focus()
        self._spatial_dims = len(session.source.spatial_shape)
        self._seen = Coverage()
        self._tiles_done = 0
        self._told_at = 0.0
        self._bound = ExitStack()
        self._job = jobs.Job(
            _stream(session.plan, session.source, session.network, self.focus),
            self._on_patch,
            spare_a_core=True,
        )
        self._job.finished.connect(self._on_finished)
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
        self._job.start()

    def pause(self) -> None:
        """Hold the run after the tile that is being computed."""
        self._job.pause()
        self._session.pause()

    def resume(self) -> None:
        """Let the run go on."""
        self._session.resume()
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

    def _on_patch(self, patch: Patch) -> None:
        self._results.write(patch)
        if patch.final:
            self._seen.add(patch.region)
        self._tiles_done = patch.tiles_done
        now = time.monotonic()
        if now - self._told_at >= _TELL_EVERY_S or patch.tiles_done == 1:
            self._told_at = now
            self._tell()

    def _tell(self) -> None:
        region = self._watcher.region
        complete = region is not None and self._seen.covers(region)
        self._session.advance(self._tiles_done, view_complete=complete)
        self._session.count_areas(*self._results.areas())

    def _on_view_moved(self, point: tuple[float, ...], extent: tuple[float, ...] | None) -> None:
        self.focus.move(point, None if extent is None else extent[-self._spatial_dims :])

    def _on_finished(self, outcome: jobs.Outcome) -> None:
        self._bound.close()
        self._results.settle()
        self._tell()
        if isinstance(outcome, jobs.Failed):
            self._session.fail(outcome.error)
        elif isinstance(outcome, jobs.Cancelled):
            self._session.cancel()
        else:
            self._session.finish()


def _stream(
    plan: Any, source: Any, network: Any, focus: Focus
) -> Callable[[Callable[[], bool]], Iterator[Patch]]:
    """Say how to make the stream; it is made in the thread of the job."""

    def make(should_stop: Callable[[], bool]) -> Iterator[Patch]:
        from napari_tileseg.engine.predict import stream_plan

        return stream_plan(plan, source, network, focus=focus, should_stop=should_stop)

    return make
