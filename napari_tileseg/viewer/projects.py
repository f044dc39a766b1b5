"""The work on disk as a person meets it: offered again, opened, saved under another name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import TilesegError
from napari_tileseg.session import Severity
from napari_tileseg.session.project import Work
from napari_tileseg.viewer.autosave import Autosave
from napari_tileseg.viewer.kept_versions import KeptVersions
from napari_tileseg.viewer.opening import layer_of, named, open_image_of
from napari_tileseg.viewer.project_files import save_as
from napari_tileseg.viewer.restoring import (
    Restored,
    add_layers,
    model_of,
    read_project,
    settings_of,
    teach_settings_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_tileseg.io.project import Project
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.chosen import Chosen
    from napari_tileseg.viewer.history import History
    from napari_tileseg.viewer.image_work import ImageWork
    from napari_tileseg.viewer.kept_versions import StoredVersions
    from napari_tileseg.viewer.tasks import Tasks

_PATIENCE_S = 30


class Projects:
    """Binds autosave to a session, and brings saved work back.

    Parameters
    ----------
    viewer, session, chosen, tasks
        Where, who is told, which image it is about, and where folders are read.
    is_running
        Tells whether labels are being computed, which must not be exchanged meanwhile.
    history
        The versions of the model.
    load_model
        Loads a model by its name or path, and calls back when it has.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        chosen: Chosen,
        tasks: Tasks,
        *,
        history: History,
        is_running: Callable[[], bool],
        load_model: Callable[[str, Callable[[], object]], object],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._chosen = chosen
        self._tasks = tasks
        self._is_running = is_running
        self._load_model = load_model
        self._versions = history.versions
        self._kept = KeptVersions(session, history, tasks, lambda: self._work)
        self._expected: tuple[Image, Path] | None = None
        self._to_save_as: tuple[ImageWork, str] | None = None
        self._autosave = Autosave(
            viewer,
            tasks,
            shape_of=self._shape_of,
            choice_of=self._choice_of,
            on_change=self._on_change,
            on_error=session.report,
        )

    def start(self) -> None:
        """Begin to save, and to look for earlier work."""
        self._autosave.start()

    def close(self) -> None:
        """Save what is not saved; after all tasks have ended."""
        self._autosave.settle()  # what was taught is written to a project, which may not be there
        self._kept.close()
        self._autosave.close()

    # what others ask for

    @property
    def project(self) -> Project | None:
        """Where the work on the chosen image is saved; None while it is nowhere."""
        work = self._work
        return None if work is None else work.project

    @property
    def _work(self) -> ImageWork | None:
        image = self._chosen.layer
        return None if image is None else self._autosave.work_on(image)

    def bind(self, results: object) -> None:
        """Tell about the image that is chosen now."""
        self._kept.advance()
        self._show()

    # what autosave asks for

    def _shape_of(self, image: Image) -> tuple[int, ...] | None:
        source = self._session.source
        if image is not self._chosen.layer or source is None:
            return None
        return tuple(source.label_shape)

    def _choice_of(self, image: Image) -> dict[str, Any]:
        if image is not self._chosen.layer:
            return {}
        teach = self._session.view.teach.settings
        choice = {"settings": self._session.settings.changed(), "teach": teach.changed()}
        active = self._versions.active
        if active is not None:
            # what was taught is kept as a version; this is the model that it goes back to
            root = self._versions.get(active.root)
            sha256 = root.network.provenance.get("sha256")
            choice["model"] = {"origin": root.origin, "sha256": sha256}
        return choice

    def _on_change(self, work: ImageWork) -> None:
        if self._expected is not None and work.image is self._expected[0] and work.identity:
            _, path = self._expected
            self._expected = None
            self._read(work, path)
        if self._to_save_as is not None and work is self._to_save_as[0] and not work.is_busy:
            _, name = self._to_save_as
            self._to_save_as = None
            self.save_as(name)
        self._kept.advance()
        self._show()

    def _show(self) -> None:
        self._session.show_work(Work() if self._work is None else self._work.work)

    # bringing work back

    def go_on(self) -> None:
        """Bring back the earlier work that is offered."""
        if self._work is not None and self._work.offer is not None:
            self._read(self._work, self._work.offer.path)

    def decline(self) -> None:
        """Leave earlier work where it is; it is set aside as soon as there is new work."""
        if self._work is not None:
            self._work.offer = None
            self._show()

    def _read(self, work: ImageWork, path: Path) -> None:
        shape = None if work.image is None else self._shape_of(work.image)
        if self._is_running() or work.is_busy or shape is None:
            self._session.tell(
                "Wait until the work that goes on has ended, then open it again.", Severity.WARNING
            )
            return
        own = work.project
        work.is_busy = work.is_opening = True
        self._show()

        known = self._kept.known()

        def read() -> Restored:
            restored = read_project(path, shape, known)
            if own is not None and not own.read_only:
                own.take_along(restored.project)
            return restored

        self._tasks.start(
            read,
            partial(self._on_read, work),
            partial(self._on_not_read, work),
            patience_s=_PATIENCE_S,
        )

    def _on_not_read(self, work: ImageWork, error: BaseException) -> None:
        work.is_busy = work.is_opening = False
        self._session.report(error)
        self._show()

    def _on_read(self, work: ImageWork, restored: Restored) -> None:
        work.is_busy = work.is_opening = False
        image, facts, project = work.image, self._session.image, restored.project
        if image is None or image is not self._chosen.layer or facts is None:
            project.close()
            return
        is_own = work.project is None
        if is_own:
            work.adopt(project)
        work.offer = None
        layers = add_layers(self._viewer, image, facts.channel_axis, restored, own=is_own)
        if not is_own:
            project.close()
        work.look(self._viewer)
        self._take_up(project, restored.versions)
        self._chosen.reopen()
        if layers:
            self._viewer.layers.selection.active = layers[-1]
        if restored.note:
            self._session.tell(restored.note, Severity.WARNING)
        self._show()

    def _take_up(self, project: Project, stored: StoredVersions) -> None:
        """Choose the model and the settings as they were."""
        self._kept.bring_back(project, stored)
        teach = teach_settings_of(project)
        if teach is not None:
            self._session.learning.set_settings(teach)
        origin, sha256 = model_of(project)
        network = self._session.network
        has_it = network is not None and network.provenance.get("sha256") == sha256
        if stored.in_use is not None or has_it or not origin:
            self._take_settings(project)
            return

        def on_loaded() -> None:
            self._take_settings(project)
            now = self._session.network
            if sha256 and now is not None and now.provenance.get("sha256") != sha256:
                self._session.tell(
                    f"The model '{origin}' is not the one this work was begun with: its file was "
                    "changed since. Another run may give other labels.",
                    Severity.WARNING,
                )

        self._load_model(origin, on_loaded)

    def _take_settings(self, project: Project) -> None:
        """Do the next run as the last one; after the model, which would change the channels."""
        settings = settings_of(project)
        if settings is not None:
            self._session.set_settings(settings)

    # files

    def can_save_as(self) -> bool:
        """Return whether there is something to save under another name, and say if there is not."""
        if self._session.view.work.can_save_as:
            return True
        self._session.tell("There is nothing to save under another name yet.", Severity.WARNING)
        return False

    def save_as(self, path: str) -> None:
        """Save all of the work on the chosen image in another folder from now on."""
        work = self._work
        if work is None or not self.can_save_as():
            return
        if work.is_busy or work.identity is None:
            self._to_save_as = (work, path)
            return
        folder = named(path)
        work.is_busy = True

        def on_saved(project: Project) -> None:
            work.is_busy = work.is_blocked = False
            work.move(project)
            work.look(self._viewer)
            self._show()

        def on_failed(error: BaseException) -> None:
            work.is_busy = False
            self._session.report(error, kept="The work is saved where it was.")

        self._tasks.start(
            partial(save_as, folder, work.facts(), work.project),
            on_saved,
            on_failed,
            patience_s=_PATIENCE_S,
        )

    def open_folder(self, path: Path) -> None:
        """Open the image that a project is about, if it is not open, and go on with the work."""
        if self._is_running():
            self._session.tell("Cancel the run before opening other work.", Severity.WARNING)
            return
        try:
            image = layer_of(self._viewer, path) or open_image_of(self._viewer, path)
        except TilesegError as error:
            self._session.report(error)
            return
        self._chosen.choose(image)
        self._chosen.refresh()
        self._expected = (image, path)
        work = self._autosave.work_on(image)
        if work.identity is not None:
            self._on_change(work)
