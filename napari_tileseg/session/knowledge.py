"""What a session knows, the plan that follows from it, and who is told when it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from psygnal import Signal

from napari_tileseg.errors import TilesegError
from napari_tileseg.session.planning import PROBED, channel_misfit, plan_facts, planned
from napari_tileseg.session.view import View, resolve
from napari_tileseg.session.wanted import Wanted

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.spec import ClassInfo
    from napari_tileseg.session.facts import ImageFacts
    from napari_tileseg.settings import Mode, RunSettings


class Knowledge:
    """One value that is replaced, never changed; the view and the plan are made from it.

    Attributes
    ----------
    changed
        Emits the new `View` after every change of it.
    planned
        Emits the plan, or None, whenever there is another one to be estimated.
    source, network, plan
        What the next run is made of; `plan` is None while something is missing or does not fit.
    """

    changed = Signal(View)
    planned = Signal(object)

    def __init__(self) -> None:
        self.source: Source | None = None
        self.network: Network | None = None
        self.plan: Plan | None = None
        self._measured: dict[Mode, WeakSet[Network]] = {mode: WeakSet() for mode in PROBED}
        self._wanted = Wanted()
        self._view = resolve(self._wanted)

    @property
    def view(self) -> View:
        """What the panels show now."""
        return self._view

    @property
    def settings(self) -> RunSettings:
        """What the person asked for."""
        return self._wanted.settings

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes of the labels, with the names a person gave them."""
        return self._wanted.classes

    @property
    def image(self) -> ImageFacts | None:
        """What the chosen image is."""
        return self._wanted.image

    @property
    def hidden(self) -> frozenset[int]:
        """The classes that are not shown."""
        return self._wanted.hidden

    @property
    def selected(self) -> int | None:
        """The class that the brush paints."""
        return self._wanted.selected

    @property
    def needs_measuring(self) -> bool:
        """Whether a plan has to wait until it is known how far the network looks."""
        return self._wanted.measuring

    def context(self) -> dict[str, object]:
        """Return what an error report says about the work."""
        image = self._wanted.image
        return {
            "image": "none" if image is None else image.describe(),
            "model": self._wanted.origin or "none",
            "settings": self.settings,
            "tiles": f"{self._wanted.tiles_done} of {self._wanted.tiles_total}",
        }

    def _reset(self, **changes: Any) -> None:
        """Change what a run is made of: what is known about the last run goes."""
        self._replan(
            phase=None,
            stopping=False,
            pixels=(),
            computed=0,
            tiles_done=0,
            tiles_total=0,
            report=None,
            notice=None,
            **changes,
        )

    def _replan(self, **changes: Any) -> None:
        wanted = replace(self._wanted, **changes)
        self.plan, misfit = None, ""
        mode = wanted.settings.mode
        to_probe = mode in PROBED and self.network not in self._measured[mode]
        measuring = self.network is not None and to_probe
        if self.source is not None and self.network is not None and not measuring:
            try:
                self.plan = planned(self.source, self.network, wanted.settings)
            except TilesegError as error:
                misfit = channel_misfit(self.source, self.network, wanted) or str(error)
        facts = plan_facts(self.plan)
        self._update(
            **changes, plan=facts, cost=None, estimating=False, misfit=misfit, measuring=measuring
        )
        self.planned.emit(self.plan)

    def _update(self, **changes: Any) -> None:
        self._wanted = replace(self._wanted, **changes)
        view = resolve(self._wanted)
        if view != self._view:
            self._view = view
            self.changed.emit(view)
