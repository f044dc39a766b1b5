"""The work on one image in a folder: labels, what a person said, classes, models, history.

Facts are small files that are replaced in one step; labels are records that are appended. So
the folder can be read whatever moment the program ends at, and costs what was touched.
"""

from __future__ import annotations

import time
from threading import RLock
from typing import TYPE_CHECKING, Any, Self

from napari_tileseg.errors import ProjectError
from napari_tileseg.io.project_facts import (
    not_saved,
    read_facts,
    read_history,
    write_facts,
    write_history,
)
from napari_tileseg.io.project_labels import StoredLabels
from napari_tileseg.io.project_lock import LOCK, ProjectInUse, gone, locked
from napari_tileseg.io.project_models import (
    MODELS,
    clear_up,
    copy_model,
    load_stored,
    model_file,
    store_model,
)
from napari_tileseg.io.project_place import FACTS, LABELS, ImageIdentity, is_project

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from napari_tileseg.annotation.model_sheet import Words
    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.engine.network import Network
    from napari_tileseg.io.project_labels import Chunk


class Project:
    """One project folder that is open; made by `create` or `open`.

    Any thread may call its methods.

    Attributes
    ----------
    path
        The folder.
    read_only
        Whether nothing is ever written to it.
    """

    def __init__(self, path: Path, lock: BinaryIO | None) -> None:
        self.path = path
        self.read_only = lock is None
        self._lock = lock
        self._busy = RLock()
        self._facts = read_facts(path)
        self._history = read_history(path)
        self._labels = StoredLabels(path / LABELS, writable=lock is not None)
        # what was being renumbered when the program ended counts as before
        self._labels.keep_only({one["id"] for one in self.sheets})
        if lock is not None:
            clear_up(path / MODELS)

    @classmethod
    def create(cls, path: Path, facts: Mapping[str, Any]) -> Self:
        """Make a project in a folder that is not there, or is empty, and open it.

        Raises
        ------
        ProjectInUse
            If somebody else is making one there.
        ProjectError
            If there is something else, or it cannot be written.
        """
        if is_project(path):
            raise ProjectError(f"'{path}' holds saved work already. Choose another name.")
        try:
            for folder in (path, path / LABELS, path / MODELS):
                # a folder of a disk that is not connected must not be made on another one
                folder.mkdir(exist_ok=True)
        except OSError as error:
            raise not_saved(path, error) from error
        if {one.name for one in path.iterdir()} - {LABELS, MODELS, LOCK}:
            raise ProjectError(f"'{path}' holds other files. Choose another name.")
        lock = locked(path)
        try:
            write_facts(path, {"created": _now(), **facts})
            return cls(path, lock)
        except (ProjectError, OSError):
            lock.close()
            raise

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Open a project.

        Raises
        ------
        ProjectInUse
            If somebody else writes to it; it can be opened read-only.
        ProjectError
            If there is none, it is damaged or of a newer version, or cannot be read or written.
        """
        read_facts(path)  # what it is comes before who uses it
        lock = None if read_only else locked(path)
        try:
            return cls(path, lock)
        except (ProjectError, OSError) as error:
            if lock is not None:
                lock.close()
            if isinstance(error, OSError):
                raise ProjectError(
                    f"'{path}' cannot be read ({error.strerror or error}). "
                    "Check that you may read it, and that the disk is connected."
                ) from error
            raise

    def close(self) -> None:
        """Let others write to the folder."""
        with self._busy:
            self._labels.close()
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    # facts

    @property
    def facts(self) -> dict[str, Any]:
        """What the project says about itself; a copy."""
        return dict(self._facts)

    @property
    def image(self) -> ImageIdentity:
        """The image that it is about."""
        try:
            return ImageIdentity.from_facts(self._facts["image"])
        except (KeyError, TypeError) as error:
            raise ProjectError(
                f"'{self.path / FACTS}' is damaged: it does not say which image it is about. "
                "Put the file back from a copy of the folder."
            ) from error

    def set_facts(self, facts: Mapping[str, Any]) -> None:
        """Replace some of the facts; the others stay.

        Raises
        ------
        ProjectError
            If they cannot be written; then the former ones hold.
        """
        with self._busy:
            changed = {**self._facts, **facts}
            if changed != self._facts:
                self._require_writable()
                write_facts(self.path, changed)
                self._facts = changed
                self._labels.keep_only(self._known_sheets())

    # labels

    @property
    def sheets(self) -> list[dict[str, Any]]:
        """What is known about each layer: its "id", its "shape", and more; copies."""
        return [dict(one) for one in self._facts.get("sheets", ())]

    def _known_sheets(self) -> set[int]:
        numbers = [one.get(name) for one in self.sheets for name in ("id", "next")]
        return {number for number in numbers if number is not None}

    @property
    def damaged(self) -> int:
        """How many chunks were found damaged so far; an earlier state takes their place."""
        return self._labels.damaged

    def places(self, sheet: int, shape: Sequence[int]) -> list[tuple[int, ...]]:
        """Return which chunks of a layer are saved."""
        return self._labels.places(sheet, shape)

    def write(self, chunks: Iterable[Chunk]) -> None:
        """Save chunks, and wait until they would outlast a loss of power.

        Raises
        ------
        ProjectError
            If they cannot be written; then none of them counts.
        """
        self._require_writable()
        self._labels.write(chunks)

    def read(self, sheet: int, shape: Sequence[int]) -> Iterator[tuple[Region, Words]]:
        """Yield what was said about the chunks of a layer; see `StoredLabels.read`."""
        return self._labels.read(sheet, shape)

    # models and history

    def write_model(self, network: Network, facts: Mapping[str, Any]) -> str:
        """Save a network, and a few facts about it, under the digest of its file.

        Returns
        -------
        The sha256 of the file, as hexadecimal digits.

        Raises
        ------
        CheckpointError
            If the network does not know how to be built again.
        ProjectError
            If it cannot be written.
        """
        self._require_writable()
        sha256 = store_model(self.path / MODELS, network)
        with self._busy:
            self.set_facts({"models": {**self._facts.get("models", {}), sha256: dict(facts)}})
        return sha256

    def read_model(self, sha256: str) -> Network:
        """Load a network that was saved here.

        Raises
        ------
        ProjectError
            If it is not there, or is not any more what was saved.
        CheckpointError
            If it cannot be used.
        """
        return load_stored(self.model_path(sha256), sha256)

    def model_path(self, sha256: str) -> Path:
        """Return where a model is kept, whether it is there or not."""
        return model_file(self.path / MODELS, sha256)

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The facts about the models that were saved here, by their digests."""
        return dict(self._facts.get("models", {}))

    @property
    def history(self) -> list[dict[str, Any]]:
        """What happened, the oldest first; copies of what was added."""
        return list(self._history)

    def add_history(self, entry: Mapping[str, Any]) -> None:
        """Write down that something happened, with the time ("at") if it does not say one.

        Raises
        ------
        ProjectError
            If it cannot be written; then it is not in the history.
        """
        with self._busy:
            self._require_writable()
            history = [*self._history, {"at": _now(), **entry}]
            write_history(self.path, history)
            self._history = history

    def take_along(self, other: Project) -> None:
        """Copy the models of another project, and put its history before the own.

        Raises
        ------
        ProjectError
            If they cannot be read or written.
        """
        with self._busy:
            for sha256 in other.models:
                copy_model(other.model_path(sha256), self.model_path(sha256))
            history = other.history + self.history
            write_history(self.path, history)
            self._history = history
            self.set_facts({"models": {**other.models, **self.models}})

    # what keeps it whole

    def _require_writable(self) -> None:
        if self.read_only:
            raise ProjectInUse(f"'{self.path}' is open read-only here.")
        if self._lock is None:
            raise ProjectError(f"'{self.path}' was closed: the work is saved elsewhere now.")
        if not (self.path / FACTS).is_file() or not self._labels.is_there():
            raise gone(self.path)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")
