"""Choosing a model: what there is, loading in the background, measuring how far it looks."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from weakref import WeakSet

from psygnal import Signal

from napari_tileseg.errors import NotTrustedError
from napari_tileseg.settings import Mode
from napari_tileseg.viewer import loading
from napari_tileseg.viewer.recent import recent_models, remember_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.spec import Architecture
    from napari_tileseg.models.recognised import Recognised
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.tasks import Tasks


class Models:
    """Loads models for a session, never in the way of the window.

    Parameters
    ----------
    session
        What is told about the model.
    tasks
        Where the work is done.

    Attributes
    ----------
    listed
        Emits the names of the bundled models, and the paths used lately.
    looked
        Emits a path, and what its bare weights may belong to; None if it says so itself.
    distrusted
        Emits a path, and why it is not opened before somebody says that it is to be trusted.
    """

    listed = Signal(object, object)
    looked = Signal(str, object)
    distrusted = Signal(str, str)

    def __init__(self, session: Session, tasks: Tasks) -> None:
        self._session = session
        self._tasks = tasks
        self._measuring: dict[Mode, WeakSet[Network]] = defaultdict(WeakSet)
        self._newest_load = 0
        self._looking = ""

    def refresh(self) -> None:
        """List the models again."""
        self.listed.emit(loading.bundled_names(), recent_models())

    def load(
        self,
        source: str,
        architecture: Architecture | None,
        classes: Sequence[str] | None,
        on_chosen: Callable[[], object],
        *,
        trust: bool = False,
    ) -> None:
        """Load a bundled model, a file or a folder, and make it the model of the session.

        Parameters
        ----------
        source
            A bundled name, or a path.
        architecture, classes
            What bare weights belong to; None for files that say it themselves.
        on_chosen
            Called when the session has the model; not if it cannot be loaded.
        trust
            Whether a person said that the file may run code.
        """
        self._session.start_loading(source)
        self._newest_load += 1
        self._looking = ""
        number = self._newest_load

        def on_loaded(network: Network) -> None:
            if number != self._newest_load:
                return
            if source not in loading.bundled_names():
                remember_model(source)
                self.refresh()
            self._session.set_model(network, source)
            on_chosen()
            assumed = loading.assumptions(network)
            if assumed:
                self._session.tell(assumed)
            self.measure_if_needed()

        def on_failed(error: BaseException) -> None:
            if number != self._newest_load:
                return
            self._session.fail_loading(error)
            if isinstance(error, NotTrustedError):
                self.distrusted.emit(source, str(error))

        self._tasks.start(
            lambda: loading.model(source, architecture, classes, trust), on_loaded, on_failed
        )

    def look(self, path: str) -> None:
        """Find out in the background what bare weights belong to, to ask for the rest only.

        Nothing comes of it once another model is asked for, or it was left.
        """
        self._looking = path

        def on_looked(found: list[Recognised] | None) -> None:
            if path == self._looking:
                self._looking = ""
                self.looked.emit(path, found)

        def on_failed(error: BaseException) -> None:
            if path != self._looking:
                return
            if isinstance(error, NotTrustedError):
                self.distrusted.emit(path, str(error))
            else:
                self._session.report(error)

        self._tasks.start(lambda: loading.look(path), on_looked, on_failed)

    def leave(self) -> None:
        """Forget the file that is being looked into."""
        self._looking = ""

    def measure_if_needed(self) -> None:
        """Find out how far the network looks, if a plan waits for it; it can take a minute."""
        network, mode = self._session.network, self._session.settings.mode
        if network is None or not self._session.needs_measuring:
            return
        if network in self._measuring[mode]:
            return
        self._measuring[mode].add(network)

        def on_measured(_: object) -> None:
            self._measuring[mode].discard(network)
            self._session.measuring_done(network, mode)

        def on_not_measured(error: BaseException) -> None:
            self._measuring[mode].discard(network)
            settings = self._session.settings
            if self._session.network is network and settings.mode is mode:
                self._session.set_settings(settings.but(mode=Mode.AUTO))
                self._session.report(error)

        self._tasks.start(lambda: loading.probe(network, mode), on_measured, on_not_measured)
