"""Autosave: what is done in a window goes to its folder, a little at a time, all the time."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_tileseg.errors import ProjectError, TilesegError
from napari_tileseg.io.project_lock import ProjectGone, ProjectInUse
from napari_tileseg.viewer.identity import identify, images
from napari_tileseg.viewer.image_work import ImageWork
from napari_tileseg.viewer.project_files import find_out, make_project, places_for, save
from napari_tileseg.viewer.restoring import offer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_tileseg.io.project import Project
    from napari_tileseg.io.project_place import ImageIdentity
    from napari_tileseg.session.project import Offer
    from napari_tileseg.viewer.tasks import Tasks

LOOK_EVERY_MS = 400
_COPY_EVERY_MS = 15
_COPY_S = 0.004
"""So long the thread of the window copies at a time."""
_MOST = 256
"""Chunks that are written at once: 16 MB, and up to four times that where a person painted."""
_RETRY_S = 5.0
_PATIENCE_S = 30


class Autosave:
    """Saves the work on every image of a viewer.

    Parameters
    ----------
    viewer
        Whose labels layers are saved.
    tasks
        Where folders are read and written.
    shape_of
        Tells the shape of the labels on an image layer; None if that is not known.
    choice_of
        Tells with which model and settings an image is worked on.
    on_change
        Called with the work on an image when something is to be said about it.
    on_error
        Called when earlier work cannot be read.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        tasks: Tasks,
        *,
        shape_of: Callable[[Image], tuple[int, ...] | None],
        choice_of: Callable[[Image], dict[str, Any]],
        on_change: Callable[[ImageWork], object],
        on_error: Callable[[BaseException], object],
    ) -> None:
        self._viewer = viewer
        self._tasks = tasks
        self._shape_of = shape_of
        self._choice_of = choice_of
        self._on_change = on_change
        self._on_error = on_error
        self._works: dict[str, ImageWork] = {}
        self._made: dict[ImageWork, tuple[Project, Path | None]] = {}
        self._copying: list[ImageWork] = []
        self._look_timer = _timer(LOOK_EVERY_MS, self.look)
        self._copy_timer = _timer(_COPY_EVERY_MS, self._copy)

    def start(self) -> None:
        """Begin to save."""
        self._look_timer.start()

    def work_on(self, image: Image) -> ImageWork:
        """Return the work on an image."""
        return self._works.setdefault(str(image.unique_id), ImageWork(image))

    def look(self) -> None:
        """Find out what is to be saved, and begin with that."""
        for image in images(self._viewer):
            self.work_on(image)
        for key, work in list(self._works.items()):
            image = work.image
            if image is not None:
                work.chosen.update(self._choice_of(image))
            work.look(self._viewer)
            self._advance(work)
            is_done = image not in self._viewer.layers and not work.layers and not work.is_dirty
            # what an image was that is not there any more cannot be found out
            if is_done or (image is None and work.identity is None):
                self._let_go(key, work)

    def _let_go(self, key: str, work: ImageWork) -> None:
        if not work.is_busy:
            del self._works[key]
            work.close()

    def _advance(self, work: ImageWork) -> None:
        """Take the next step towards all of it being saved."""
        if work.is_busy or work.is_read_only or time.monotonic() < work.retry_at:
            return
        if work.identity is None:
            self._find_out(work)
        elif work.project is None:
            if work.is_dirty:
                self._make(work, work.identity)
        elif work.is_dirty or work.has_news():
            work.is_busy = True
            self._copying.append(work)
            self._copy_timer.start()

    def _start(self, work: ImageWork, do: Callable[[], Any], then: Callable[[Any], object]) -> None:
        """Do something for the work on an image in another thread."""
        work.is_busy = True

        def on_done(answer: Any) -> None:
            work.is_busy = False
            then(answer)
            self._on_change(work)

        def on_failed(error: BaseException) -> None:
            work.is_busy = False
            self._fail(work, error)
            self._on_change(work)

        self._tasks.start(do, on_done, on_failed, patience_s=_PATIENCE_S)

    def _fail(self, work: ImageWork, error: BaseException) -> None:
        work.not_saved()
        if isinstance(error, ProjectInUse):
            work.is_blocked = True
            return
        if isinstance(error, ProjectGone):
            work.lose()
        work.problem = str(error)
        work.retry_at = time.monotonic() + _RETRY_S
        if not isinstance(error, TilesegError):
            self._on_error(error)

    # what there is from before

    def _find_out(self, work: ImageWork) -> None:
        """Find out what an image is known by, and whether it was worked on before."""
        knows = self._identify(work)
        if knows is not None:
            do = partial(find_out, knows, work.folder)
            self._start(work, do, partial(self._on_found_out, work))

    def _identify(self, work: ImageWork) -> Callable[[], ImageIdentity] | None:
        image = work.image
        shape = work.label_shape
        if image is not None and shape is None:
            shape = self._shape_of(image)
        if image is None or shape is None:
            return None
        return identify(self._viewer, image, shape)

    def _on_found_out(
        self,
        work: ImageWork,
        found: tuple[ImageIdentity, Project | None, Offer | None, ProjectError | None],
    ) -> None:
        work.identity, project, work.offer, error = found
        if project is not None:
            work.adopt(project)
        if error is not None:
            self._on_error(error)

    # making a project

    def _make(self, work: ImageWork, identity: ImageIdentity) -> None:
        places, facts = places_for(identity, work.path), work.facts()

        def make() -> None:
            # here and not by an answer: a window that closes meanwhile hears none
            self._made[work] = make_project(places, facts)

        self._start(work, make, lambda _: self._on_made(work))

    def _on_made(self, work: ImageWork) -> None:
        project, aside = self._made.pop(work)
        work.adopt(project)
        work.offer = None
        if aside is not None and work.identity is not None:
            with suppress(ProjectError):  # nobody can go on with what cannot be read
                work.offer = offer_of(aside, work.identity, aside=True)
        work.look(self._viewer)

    def _make_now(self, work: ImageWork) -> None:
        knows = self._identify(work)
        if work.identity is None and knows is not None:
            self._on_found_out(work, find_out(knows, work.folder))
        if work.project is None and work.identity is not None:
            self._made[work] = make_project(places_for(work.identity, work.path), work.facts())
            self._on_made(work)

    # saving

    def _copy(self) -> None:
        """Copy for a few milliseconds; hand over what was copied when that is enough."""
        until = time.perf_counter() + _COPY_S
        for work in list(self._copying):
            work.in_flight += work.copy(until, _MOST - len(work.in_flight))
            if len(work.in_flight) >= _MOST or not work.is_dirty:
                self._copying.remove(work)
                self._write(work)
        if not self._copying:
            self._copy_timer.stop()

    def _write(self, work: ImageWork) -> None:
        assert work.project is not None, "copies are made for a project"
        do = partial(save, work.project, work.facts(), work.in_flight)
        self._start(work, do, lambda _: self._on_written(work))

    def _on_written(self, work: ImageWork) -> None:
        work.saved()
        if work.is_dirty:
            self._advance(work)

    def settle(self) -> None:
        """Give all work that is to be saved its project; after all tasks have ended."""
        for work in self._works.values():
            with suppress(TilesegError, OSError):  # nobody is there any more to be told
                self._settle(work)

    def _settle(self, work: ImageWork) -> None:
        if work in self._made:
            self._on_made(work)
        if work.image is not None:
            work.chosen.update(self._choice_of(work.image))
        work.not_saved()
        work.look(self._viewer)
        if work.project is None and work.is_dirty and not work.is_read_only:
            self._make_now(work)

    def close(self) -> None:
        """Save all that is not saved yet, and let go of everything; after all tasks have ended."""
        for timer in (self._look_timer, self._copy_timer):
            with suppress(RuntimeError):  # Python may clear it away before the window
                timer.stop()
        self.settle()
        for work in self._works.values():
            with suppress(TilesegError, OSError):  # nobody is there any more to be told
                self._save_all(work)
            work.close()
        self._works.clear()

    def _save_all(self, work: ImageWork) -> None:
        if work.project is None or work.is_read_only:
            return
        while work.is_dirty:
            save(work.project, work.facts(), work.copy(float("inf"), _MOST))
        work.saved()
        save(work.project, work.facts(final=True), ())


def _timer(every_ms: int, do: Callable[[], object]) -> QTimer:
    timer = QTimer()
    timer.setInterval(every_ms)
    timer.timeout.connect(do)
    return timer
