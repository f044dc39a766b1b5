"""The models that were in use, one after the other: what was loaded, and what it was taught."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_tileseg.session.teaching import VersionRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_tileseg.engine.network import Network


@dataclass(frozen=True, eq=False)
class Version:
    """A model that is, or was, in use.

    Attributes
    ----------
    number
        Counted from 0 in the order in which they came.
    network, origin
        The model, and what it is called.
    root
        The number of the version that was loaded and that this one goes back to.
    note
        What was found out about it, in few words.
    taught
        How many times the loaded model had been taught by then; 0 for itself.
    """

    number: int
    network: Network
    origin: str
    root: int
    note: str = ""
    taught: int = 0


class Versions:
    """All versions, and the one in use.

    Attributes
    ----------
    added
        Emits a version that was taught, as it is added.
    changed
        Emits after every change of the list, or of the version in use.
    active
        The version in use; None without a model.
    """

    added = Signal(Version)
    changed = Signal()

    def __init__(self) -> None:
        self._all: list[Version] = []
        self._next = 0
        self.active: Version | None = None

    @property
    def all(self) -> tuple[Version, ...]:
        """Every version, in the order in which they came."""
        return tuple(self._all)

    @property
    def base(self) -> Network | None:
        """The network that was loaded, which the one in use goes back to."""
        return None if self.active is None else self.get(self.active.root).network

    def get(self, number: int) -> Version:
        """Return a version by its number."""
        return next(one for one in self._all if one.number == number)

    def follow(self, network: Network | None, origin: str) -> None:
        """Take note of the model in use; one that is not known yet was just loaded."""
        if network is None:
            self._use(None)
            return
        known = self._find(network)
        if known is None:
            known = Version(self._next, network, origin, self._next)
            self._append(known)
        if known is not self.active:
            self._use(known)

    def add(self, network: Network, note: str) -> Version:
        """Add what the version in use has been taught; it is not in use yet."""
        assert self.active is not None, "only a model in use is taught"
        root = self.get(self.active.root)
        taught = 1 + max(one.taught for one in self._all if one.root == root.number)
        origin = f"{root.origin} · taught {taught}"
        version = Version(self._next, network, origin, root.number, note, taught)
        self._append(version)
        self.added.emit(version)
        self.changed.emit()
        return version

    def bring_back(self, versions: Iterable[Version]) -> tuple[Version, ...]:
        """Take up versions of an earlier session, behind those that are there.

        Their numbers change; a network that is there already is not listed twice. None of them
        is in use by that, and `added` is not emitted: they are saved already.

        Parameters
        ----------
        versions
            In the order in which they came. One whose root is not among them becomes its own.

        Returns
        -------
        The same versions, in the same order, as they are listed now.
        """
        numbers: dict[int, int] = {}
        taken = []
        for one in versions:
            known = self._find(one.network)
            number = numbers[one.number] = self._next if known is None else known.number
            if known is None:
                known = replace(one, number=number, root=numbers.get(one.root, number))
                self._append(known)
            taken.append(known)
        self.changed.emit()
        return tuple(taken)

    def _find(self, network: Network) -> Version | None:
        return next((one for one in self._all if one.network is network), None)

    def _append(self, version: Version) -> None:
        self._all.append(version)
        self._next += 1

    def _use(self, version: Version | None) -> None:
        self.active = version
        # models that were only looked at are no history
        kept = {one.root for one in self._all if one.taught}
        self._all = [one for one in self._all if one.root in kept or one is version]
        self.changed.emit()

    def rows(self) -> tuple[VersionRow, ...]:
        """Return a line for each, the newest first; none while nothing has been taught."""
        if not any(one.taught for one in self._all):
            return ()
        return tuple(
            VersionRow(
                one.number,
                one.origin,
                one.note or "as it was loaded",
                in_use=one is self.active,
            )
            for one in reversed(self._all)
        )
