"""Runs of the chosen image, one at a time: when one can begin, and what its end means."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_tileseg.errors import TilesegError
from napari_tileseg.session import Severity, State
from napari_tileseg.viewer.portion import Portion
from napari_tileseg.viewer.run import Run
from napari_tileseg.viewer.targets import target
from napari_tileseg.viewer.viewport import pixels_in_view, why_none

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_tileseg.engine.schedule import Focus
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.chosen import Chosen
    from napari_tileseg.viewer.estimates import Estimates
    from napari_tileseg.viewer.exports import Exports
    from napari_tileseg.viewer.next_place import NextPlace
    from napari_tileseg.viewer.results import Results
    from napari_tileseg.viewer.run import Carried


_ONLY_VIEW = "This run is for what was on screen at the click, and leaves the rest as it is."


class Runs:
    """Begins a run, holds it, ends it.

    Parameters
    ----------
    viewer, session, chosen
        Where, with which model, and which image.
    exports, estimates, places
        Who has to know that labels are other ones, who must not compute meanwhile, and who is told
        where the model is unsure.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        chosen: Chosen,
        exports: Exports,
        estimates: Estimates,
        places: NextPlace,
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._chosen = chosen
        self._exports = exports
        self._estimates = estimates
        self._places = places
        self._run: Run | None = None

    @property
    def is_running(self) -> bool:
        """Whether a run is under way, or paused."""
        return self._run is not None and self._run.is_running

    @property
    def focus(self) -> Focus | None:
        """Where the person looks, as the run that is under way knows it."""
        return self._run.focus if self._run is not None and self.is_running else None

    def use_of(self, layer: object) -> str:
        """Say what a layer is for the run that is under way: "image", "labels", or ""."""
        return self._run.use_of(layer) if self._run is not None and self.is_running else ""

    def start(self, *, only_view: bool = False) -> None:
        """Segment the chosen image; a second run goes to the same layer.

        Parameters
        ----------
        only_view
            Whether only what is on screen now is wanted; other labels stay as they are.
        """
        if self.is_running:
            return
        if self._chosen.is_stale:
            self._chosen.reopen()
        image = self._chosen.layer
        if not self._session.view.can_run or image is None:
            self._session.tell(_what_is_missing(self._session), Severity.WARNING)
            return
        if only_view and pixels_in_view(self._viewer, image) is None:
            self._session.tell(why_none(self._viewer, "The image is"), Severity.WARNING)
            return
        try:
            results, said = target(
                self._viewer, self._session, image, self._chosen.results, only_view=only_view
            )
        except TilesegError as error:
            self._session.report(error)
            return
        region = pixels_in_view(self._viewer, results.front) if only_view else None
        if only_view and region is None:
            self._session.tell(why_none(self._viewer, "The labels are"), Severity.WARNING)
            return
        self._estimates.stop()
        self._run = Run(
            self._viewer,
            self._session,
            image,
            results,
            on_end=partial(self._on_ended, results),
            doubts=self._places.begin(results),
            portion=None if region is None else Portion(region),
            after=self._estimates.last,
        )
        self._chosen.keep(results)
        self._exports.begin(results)
        self._run.start()
        said = " ".join(filter(None, (said, _ONLY_VIEW if only_view else "")))
        if said:
            self._session.tell(said)

    def _on_ended(self, results: Results, carried: Carried, complete: bool) -> None:
        self._exports.end(results, carried, complete=complete)
        # what it says of a pixel is from before the run
        if self._viewer.mouse_over_canvas:
            self._viewer.update_status_from_cursor()
        else:
            self._viewer.status = ""

    def pause(self) -> None:
        """Hold the run."""
        if self._run is not None and self._session.view.can_pause:
            self._run.pause()

    def resume(self) -> None:
        """Let the run go on."""
        if self._run is not None and self._session.view.can_resume:
            self._run.resume()

    def cancel(self) -> None:
        """End the run; what is there stays."""
        if self._run is not None and self._session.view.can_cancel:
            self._run.cancel()

    def drop(self) -> None:
        """Let go of the last run and all it holds; a tile that is being computed ends alone."""
        if self._run is not None:
            self._run.close(timeout_s=0)
            self._run = None

    def close(self) -> None:
        """End for good."""
        if self._run is not None:
            self._run.close()
            self._run = None


def _what_is_missing(session: Session) -> str:
    view = session.view
    if view.loading:
        return "The model is still being loaded."
    missing = {
        State.NO_IMAGE: "Open an image first: drop a file onto napari.",
        State.NO_MODEL: "Choose a model first.",
    }
    return missing.get(view.state, view.misfit or "This cannot run yet.")
