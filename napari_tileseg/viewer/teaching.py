"""Teaching the model what a person vouched for: a job, a look at the view, a decision."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import cycle
from typing import TYPE_CHECKING

from napari_tileseg.session import Severity
from napari_tileseg.session.teaching import Phase
from napari_tileseg.viewer import jobs
from napari_tileseg.viewer.history import History
from napari_tileseg.viewer.lesson_job import Assignment, Look, Wishes, lesson
from napari_tileseg.viewer.previews import Previews
from napari_tileseg.viewer.readiness import ReadinessWatch
from napari_tileseg.viewer.viewport import ViewportWatcher, look_at, pixels_in_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.session import Session
    from napari_tileseg.session.versions import Version
    from napari_tileseg.settings import TeachSettings
    from napari_tileseg.training.fine_tune import TeachReport
    from napari_tileseg.training.held_out import Split
    from napari_tileseg.training.proof import Verdict
    from napari_tileseg.viewer.chosen import Chosen
    from napari_tileseg.viewer.models import Models
    from napari_tileseg.viewer.results import Results
    from napari_tileseg.viewer.runs import Runs
    from napari_tileseg.viewer.tasks import Tasks

_LOOK_PX = 512
"""Of the view, at most a square of this size in its middle is looked at while a model learns."""


class Teaching:
    """Teaches, shows how it goes, and takes what was learnt into use if a person wants it.

    Parameters
    ----------
    viewer, session
        Where it is shown, and who is told.
    chosen, runs, models, tasks
        The images, who computes their labels, who measures, and where small work is done.

    Attributes
    ----------
    history
        The versions of the model.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        chosen: Chosen,
        runs: Runs,
        models: Models,
        tasks: Tasks,
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._chosen = chosen
        self.history = History(session, chosen, runs, models, tasks)
        self._readiness = ReadinessWatch(session, chosen, tasks)
        self._previews = Previews(viewer)
        self._job: jobs.Job | None = None
        self._wishes = Wishes()
        self._results: Results | None = None
        self._given: Assignment | None = None
        self._split: Split | None = None
        self._learnt: Version | None = None
        self._held_out: Iterator[Region] | None = None
        self._bound = ExitStack()
        self.history.versions.changed.connect(self._readiness.again)

    @property
    def is_teaching(self) -> bool:
        """Whether a model is learning."""
        return self._job is not None and self._job.is_running

    def bind(self, results: Results | None) -> None:
        """Work on these labels from now on."""
        self._readiness.bind(results)

    def close(self) -> None:
        """End all work and let go of the viewer."""
        self._bound.close()
        if self._job is not None:
            self._job.close()
        self._previews.close()
        self._readiness.close()
        self.history.close()

    def forget(self, removed: object) -> None:
        """Let go of a layer that was removed from the viewer."""
        self._previews.forget(removed)

    # settings

    def choose_settings(self, settings: TeachSettings) -> None:
        """Teach the next model like this."""
        self._session.learning.set_settings(settings)

    def show_layers(self, preview: bool, changes: bool) -> None:
        """Show or hide what the model that learns thinks, and what it would change."""
        self._session.learning.show_layers(preview=preview, changes=changes)
        self._previews.set_shown(preview=preview, changes=changes)

    # learning

    def start(self) -> None:
        """Teach the model what is vouched for in all images of the viewer."""
        given = self._assignment()
        if given is None or self.is_teaching:
            return
        self.discard()
        results = self._chosen.results
        assert results is not None, "there is something to learn from in it"
        self._results, self._given, self._split = results, given, None
        self._wishes = Wishes()
        self._held_out = None
        watcher = ViewportWatcher(self._viewer, results.front, self._on_view_moved)
        self._bound.callback(watcher.close)
        self._job = jobs.Job(lesson(given, self._wishes), self._on_item)
        self._job.finished.connect(self._on_finished)
        self._session.learning.start()
        self._job.start()

    def _assignment(self) -> Assignment | None:
        """Return what is to be learnt; None, and a sentence, if that cannot be."""
        view = self._session.view.teach
        active, base = self._session.network, self.history.versions.base
        shown = self._readiness.shown()
        examples = self._readiness.examples()
        if not examples or shown is None or active is None or base is None or view.problem:
            self._session.tell(view.problem or view.readiness, Severity.WARNING)
            return None
        results = self._chosen.results
        assert results is not None, "there is something to learn from in it"
        return Assignment(
            base,
            active,
            shown,
            tuple(examples),
            view.settings,
            results.classes,
            meaning=results.meaning_for(active),
            base_meaning=results.meaning_for(base),
        )

    def _on_view_moved(self, *_: object) -> None:
        if self._results is None:
            return
        whole = pixels_in_view(self._viewer, self._results.front)
        # a stack that is cut along other axes shows no plane that the model could read
        is_plane = whole is not None and all(at.stop - at.start == 1 for at in whole[:-2])
        self._wishes.region = _middle(whole) if whole is not None and is_plane else None

    def _on_item(self, item: TeachReport | Look) -> None:
        if isinstance(item, Look):
            self._on_look(item)
            return
        self._split = item.split or self._split
        self._session.learning.advance(item)
        if item.verdict is not None:
            # it is kept before anybody has decided: a window may be closed without an answer
            verdict = item.verdict
            self._learnt = self.history.versions.add(verdict.candidate, _note(verdict))
            self._session.learning.decide(verdict)

    def _on_look(self, look: Look) -> None:
        results = self._results
        if results is None or results.front not in self._viewer.layers:
            return
        if look.final:
            self._previews.drop_thought()
            share = self._previews.show_changes(results, look.region, look.labels)
            self._session.learning.show_changed(share)
        else:
            self._previews.show_thought(results, look.region, look.labels)

    def _on_finished(self, outcome: jobs.Outcome) -> None:
        self._bound.close()
        self._previews.drop_thought()
        if isinstance(outcome, jobs.Failed):
            self._session.report(outcome.error, kept="The model in use is as it was.")
        if self._session.learning.known.phase is Phase.DECIDING:
            return
        self._learnt = None
        self._previews.close()
        self._session.learning.end()

    def stop(self) -> None:
        """End the learning early; what was learnt by then is compared with the model in use."""
        if self.is_teaching:
            self._wishes.stop = True
            self._session.learning.stop()

    # deciding

    def use(self) -> None:
        """Take what was learnt into use: the view is segmented again first, then the rest."""
        learnt = self._learnt
        if learnt is None:
            return
        self.discard()
        self.history.use(learnt)

    def discard(self) -> None:
        """Leave what was learnt in the history; the model in use stays."""
        self._learnt = None
        self._held_out = None
        if self._job is not None:
            self._job.close(timeout_s=0)
        self._bound.close()
        self._previews.close()
        self._session.learning.end()

    def show_place(self) -> None:
        """Go to the next of the places that were set aside to judge by."""
        results, given, split = self._results, self._given, self._split
        if results is None or given is None or split is None:
            return
        if self._held_out is None:
            self._held_out = cycle(_judged(given, split) or [_everything(results)])
        region = next(self._held_out)
        look_at(self._viewer, results.front, region)


def _judged(given: Assignment, split: Split) -> list[Region]:
    """Return the places of the image on screen that are judged by."""
    from napari_tileseg.annotation.places import places

    pairs = zip(given.examples, split.held_out, strict=True)
    held = [part for one, part in pairs if one.source is given.shown.source]
    return [box for part in held for place in places(part) for box in place.boxes[:1]]


def _middle(region: Region) -> Region:
    """Return the middle of a region, small enough to be looked at at once."""
    cut = []
    for axis in region[-2:]:
        spare = max(0, axis.stop - axis.start - _LOOK_PX)
        low = axis.start + spare // 2
        cut.append(slice(low, min(axis.stop, low + _LOOK_PX)))
    return (*region[:-2], *cut)


def _everything(results: Results) -> Region:
    return tuple(slice(0, size) for size in results.front.data.shape)


def _note(verdict: Verdict) -> str:
    if verdict.before is None or verdict.after is None:
        return "not proven"
    return f"Dice {verdict.before.dice_of_true:.3f} → {verdict.after.dice_of_true:.3f}"
