"""The versions of the model in the project of an image, so that they are there the next day."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from napari_tileseg.errors import CheckpointError, TilesegError
from napari_tileseg.session.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_tileseg.engine.network import Network
    from napari_tileseg.io.project import Project
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.history import History
    from napari_tileseg.viewer.image_work import ImageWork
    from napari_tileseg.viewer.tasks import Tasks

VERSIONS, IN_USE = "versions", "version in use"
"""Under which names a project keeps the list of them, and the place in it of the one in use."""
_RETRY_S = 5.0
_PATIENCE_S = 30


@dataclass(frozen=True, eq=False)
class StoredVersions:
    """The versions of a model that a project holds.

    Attributes
    ----------
    versions
        In the order in which they came.
    digests
        The sha256 of each.
    in_use
        The one that was in use last; None if that was none of them, or cannot be read.
    missing
        How many could not be read.
    """

    versions: tuple[Version, ...] = ()
    digests: tuple[str, ...] = ()
    in_use: Version | None = None
    missing: int = 0

    @property
    def note(self) -> str:
        """What the person has to know; empty if all are there."""
        if not self.missing:
            return ""
        which = "One of the models" if self.missing == 1 else f"{self.missing} of the models"
        return f"{which} that were in use here cannot be read any more, and cannot be returned to."


def read_versions(project: Project, known: Mapping[str, Network]) -> StoredVersions:
    """Read the versions that a project holds; what cannot be read is left out. Imports torch.

    Parameters
    ----------
    project
        Which holds them.
    known
        Networks that are in memory, by the sha256 of their files.
    """
    extra = project.facts.get("extra", {})
    entries, in_use = extra.get(VERSIONS, ()), extra.get(IN_USE)
    networks = dict(known)
    versions: dict[int, Version] = {}
    for number, entry in enumerate(entries):
        digest = entry["sha256"]
        try:
            if digest not in networks:
                networks[digest] = project.read_model(digest)
        except TilesegError:
            continue
        versions[number] = _version(number, networks[digest], entry)
    return StoredVersions(
        tuple(versions.values()),
        tuple(entries[number]["sha256"] for number in versions),
        versions.get(in_use),
        len(entries) - len(versions),
    )


def _version(number: int, network: Network, entry: Mapping[str, Any]) -> Version:
    return Version(
        number, network, entry["origin"], entry["root"], entry["note"], int(entry["taught"])
    )


def _write(project: Project, version: Version) -> str:
    """Write a version, and into the history that it came; return the sha256 of its file."""
    about = {"origin": version.origin, "note": version.note, "taught": version.taught}
    sha256 = project.write_model(version.network, about)
    what = "taught" if version.taught else "loaded"
    project.add_history({"what": what, "sha256": sha256, **about})
    return sha256


class KeptVersions:
    """Writes the versions of the model in use into the project of the chosen image.

    A version is written as soon as there is a project; the list of them is one of the facts
    that autosave keeps.

    Parameters
    ----------
    session
        Who is told if that does not work.
    history
        Whose versions.
    tasks
        Where they are written.
    chosen_work
        Tells what is worked on.
    """

    def __init__(
        self,
        session: Session,
        history: History,
        tasks: Tasks,
        chosen_work: Callable[[], ImageWork | None],
    ) -> None:
        self._session = session
        self._history = history
        self._versions = history.versions
        self._tasks = tasks
        self._chosen_work = chosen_work
        self._digests: WeakKeyDictionary[Network, str] = WeakKeyDictionary()
        self._written: dict[Version, str] = {}
        self._hopeless: WeakSet[Network] = WeakSet()
        self._read: WeakSet[Project] = WeakSet()
        self._told: WeakKeyDictionary[Project, Version] = WeakKeyDictionary()
        self._is_busy = False
        self._retry_at = 0.0
        self._versions.changed.connect(self.advance)

    def close(self) -> None:
        """Write what is not written yet, and let go of the history; after all tasks have ended."""
        self._versions.changed.disconnect(self.advance)
        self._note_written()
        work = self._chosen_work()
        project = None if work is None else work.project
        if work is None or project is None or project.read_only or not self._knows(project):
            return
        with suppress(TilesegError):  # nobody is there any more to be told
            for one in self._family():
                if not self._is_saved(one, project) and one.network not in self._hopeless:
                    self._written[one] = _write(project, one)
        self._note_written()
        self._list(work, project)

    def advance(self) -> None:
        """Take the next step towards all versions being saved."""
        work = self._chosen_work()
        project = None if work is None else work.project
        if work is None or project is None or project.read_only:
            return
        self._note_written()
        if self._is_busy or time.monotonic() < self._retry_at:
            return
        if project not in self._read:
            self._read_first(project)
            return
        self._list(work, project)
        missing = next((one for one in self._family() if not self._is_saved(one, project)), None)
        if missing is not None:
            if missing.network not in self._hopeless:
                self._write(project, missing)
        else:
            self._tell(project)

    def _read_first(self, project: Project) -> None:
        """Take up what a project holds already: a dock that was closed may have left it."""
        if self._knows(project):
            self._read.add(project)
            self.advance()
            return

        def bring_back(stored: StoredVersions) -> None:
            self.bring_back(project, stored, in_use=self._session.network is None)

        self._start(partial(read_versions, project, self.known()), bring_back)

    def _knows(self, project: Project) -> bool:
        """Return whether all that a project holds is listed here, or can be listed."""
        known = self.known()
        entries = project.facts.get("extra", {}).get(VERSIONS, ())
        return project in self._read or all(one["sha256"] in known for one in entries)

    def _family(self) -> list[Version]:
        """Return what the version in use goes back to, and all that was taught from it."""
        active = self._versions.active
        if active is None:
            return []
        family = [one for one in self._versions.all if one.root == active.root]
        return family if any(one.taught for one in family) else []

    def _is_saved(self, version: Version, project: Project) -> bool:
        return self._digests.get(version.network) in project.models

    def _list(self, work: ImageWork, project: Project) -> None:
        """Let autosave write down which versions there are."""
        saved = [one for one in self._versions.all if self._is_saved(one, project)]
        places = {one.number: place for place, one in enumerate(saved)}
        work.extra[VERSIONS] = [
            {
                "sha256": self._digests[one.network],
                "origin": one.origin,
                "root": places.get(one.root, place),
                "note": one.note,
                "taught": one.taught,
            }
            for place, one in enumerate(saved)
        ]
        active = self._versions.active
        work.extra[IN_USE] = None if active is None else places.get(active.number)

    def _write(self, project: Project, version: Version) -> None:
        def write() -> None:
            # here and not by an answer: a window that closes meanwhile hears none
            self._written[version] = _write(project, version)

        self._start(write, lambda _: None, version.network)

    def _note_written(self) -> None:
        while self._written:
            version, digest = self._written.popitem()
            self._digests[version.network] = digest

    def _tell(self, project: Project) -> None:
        """Write into the history of the project which version is in use."""
        active = self._versions.active
        if active is None or active not in self._family() or self._told.get(project) is active:
            return
        self._told[project] = active
        entry = {"what": "in use", "origin": active.origin, "sha256": self._digests[active.network]}
        self._start(partial(project.add_history, entry), lambda _: None)

    def _start(
        self,
        do: Callable[[], Any],
        then: Callable[[Any], object],
        network: Network | None = None,
    ) -> None:
        """Do something in another thread; a network that cannot be saved is not tried again."""
        self._is_busy = True

        def on_done(answer: Any) -> None:
            self._is_busy = False
            then(answer)
            self.advance()

        def on_failed(error: BaseException) -> None:
            self._is_busy = False
            self._retry_at = time.monotonic() + _RETRY_S
            if isinstance(error, CheckpointError) and network is not None:
                self._hopeless.add(network)
                self._session.report(error, kept="It can be used until the window is closed.")
            elif not isinstance(error, TilesegError):
                self._session.report(error)
            # what else there is to say autosave says, which writes to the same folder

        self._tasks.start(do, on_done, on_failed, patience_s=_PATIENCE_S)

    # bringing them back

    def known(self) -> dict[str, Network]:
        """Return the networks in memory that are saved somewhere, by the sha256 of their files."""
        return {digest: network for network, digest in self._digests.items()}

    def bring_back(self, project: Project, stored: StoredVersions, *, in_use: bool = True) -> None:
        """List versions that were read, and use the one that was in use if that is wanted."""
        self._read.add(project)
        for one, digest in zip(stored.versions, stored.digests, strict=True):
            self._digests[one.network] = digest
        listed = self._versions.bring_back(stored.versions)
        if stored.in_use is not None and in_use:
            self._history.take_up(listed[stored.versions.index(stored.in_use)])
