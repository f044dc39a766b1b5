"""The one place that changes: what was chosen for an image, and what has happened since."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_tileseg.session.knowledge import Knowledge
from napari_tileseg.session.learning import Learning
from napari_tileseg.session.notice import Notice, Severity, notice_of
from napari_tileseg.session.pace import Pace
from napari_tileseg.session.planning import cost_of, plan_facts
from napari_tileseg.session.texts import count
from napari_tileseg.session.wanted import Exported, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_tileseg.engine.estimate import Estimate
    from napari_tileseg.engine.meter import RunReport
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.spec import ClassInfo
    from napari_tileseg.session.facts import ImageFacts
    from napari_tileseg.session.project import Work
    from napari_tileseg.settings import Mode, RunSettings


_SURVEY_STEPS = 1000
"""A survey is told in shares, its pace is counted in steps."""


class Session(Knowledge):
    """The work on one image, in memory: everything that can happen to it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._pace = Pace(0, clock)
        self._survey = Pace(0, clock)
        self._classes_of: Network | None = None
        self._export_notice: Notice | None = None
        self.learning = Learning(
            lambda: self._wanted.teaching, lambda known: self._update(teaching=known)
        )

    # what is chosen

    def set_image(self, source: Source | None, facts: ImageFacts | None) -> None:
        """Choose the image; the result of another one is no longer counted here."""
        self.source = source
        settings = self.settings.but(channels=None)
        fresh = self._fresh_classes(self.network)
        self._reset(image=facts, settings=settings, has_labels=False, exported=None, **fresh)

    def rename_image(self, name: str) -> None:
        """Take over the new name of the layer."""
        if self.image is not None:
            self._update(image=replace(self.image, name=name))

    def start_loading(self, name: str) -> None:
        """Say that a model is being read."""
        self._update(loading=name, notice=None)

    def set_model(self, network: Network | None, origin: str = "") -> None:
        """Choose the model of the next run; not while one is under way."""
        if self.view.busy:
            self._update(loading="")
            self.tell("Cancel the run before choosing another model.", Severity.WARNING)
            return
        self.network = network
        spec, before = None if network is None else network.spec, self._wanted.spec
        alike = spec is not None and before is not None and spec.channels == before.channels
        self._reset(
            spec=spec,
            origin=origin,
            loading="",
            # a version of the same model reads the channels that were chosen for it
            settings=self.settings if alike else self.settings.but(channels=None),
            # labels that are there keep their classes until another run replaces them
            **({} if self._wanted.has_labels else self._fresh_classes(network)),
        )

    def _fresh_classes(self, network: Network | None) -> dict[str, Any]:
        self._classes_of = network
        classes = () if network is None else network.spec.classes
        return {"classes": classes, "hidden": frozenset(), "selected": None}

    def take_classes(self) -> None:
        """Make the classes of the model those of the labels, before a run writes them."""
        if self._classes_of is not self.network:
            self._update(**self._fresh_classes(self.network))

    def keep_classes(self, classes: tuple[ClassInfo, ...]) -> None:
        """Let a run go on with classes as they are called on labels of the same meaning."""
        self._classes_of = self.network
        if classes != self.classes:
            self._update(classes=classes, hidden=frozenset(), selected=None)

    def adopt_labels(
        self,
        classes: tuple[ClassInfo, ...],
        made_by: Network | None,
        pixels: Sequence[int],
        computed: int,
    ) -> None:
        """Say that the chosen image has labels already, of a model that may be another one."""
        self._classes_of = made_by
        self._update(
            classes=classes,
            hidden=frozenset(),
            selected=None,
            has_labels=True,
            pixels=tuple(int(one) for one in pixels),
            computed=int(computed),
        )

    def fail_loading(self, error: BaseException) -> None:
        """Say why a model cannot be used; the one before stays."""
        kept = "" if self.network is None else f"'{self._wanted.origin}' is still chosen."
        self._update(loading="", notice=notice_of(error, kept=kept))

    def set_settings(self, settings: RunSettings) -> None:
        """Choose how the next run is done."""
        if settings == self.settings:
            return
        self._replan(settings=settings)

    def measuring_done(self, network: Network, mode: Mode) -> None:
        """Say that it is known how far a network looks, so that planning is quick again."""
        self._measured[mode].add(network)
        self._replan()

    def start_estimate(self) -> None:
        """Say that the cost of the plan is being measured."""
        self._update(estimating=True)

    def take_estimate(self, of: Plan, estimate: Estimate) -> None:
        """Say what a plan costs; its settled form takes its place, if it is still the plan."""
        if of is self.plan and not self.view.busy:
            self.plan = estimate.plan
            facts = plan_facts(estimate.plan)
            self._update(plan=facts, cost=cost_of(estimate), estimating=False)

    def stop_estimate(self) -> None:
        """Say that nobody measures what the plan costs any more."""
        self._update(estimating=False)

    # the run

    def start(self) -> None:
        """Begin a run of the plan."""
        assert self.plan is not None, "a run needs a plan"
        self._pace = Pace(self.plan.n_tiles, self._clock)
        self._survey = Pace(_SURVEY_STEPS, self._clock)
        self._update(
            phase=State.RUNNING,
            surveyed=None,
            tiles_done=0,
            tiles_total=self.plan.n_tiles,
            seconds_left=None,
            elapsed_s=0.0,
            view_complete=False,
            pixels=(),
            computed=0,
            has_labels=True,
            exported=None,
            notice=None,
            estimating=False,
            report=None,
        )

    def settle(self, plan: Plan) -> None:
        """Say what the run that is under way has decided, measuring on the image."""
        self.plan = plan
        self._pace.total = plan.n_tiles
        self._update(plan=plan_facts(plan), tiles_total=plan.n_tiles)

    def survey(self, share: float) -> None:
        """Say how much of the image the run has gone over, 0 to 1, before the first tile."""
        self._survey.advance(round(_SURVEY_STEPS * share))
        self._update(surveyed=share, seconds_left=self._survey.seconds_left)

    def advance(
        self, tiles_done: int, tiles_total: int | None = None, *, view_complete: bool = False
    ) -> None:
        """Say how far the run is, of how many tiles, and whether all on screen is final."""
        if tiles_total is not None:
            self._pace.total = tiles_total
        self._pace.advance(tiles_done)
        self._update(
            tiles_done=tiles_done,
            tiles_total=self._pace.total,
            tiles_per_s=self._pace.tiles_per_s,
            seconds_left=self._pace.seconds_left,
            elapsed_s=self._pace.elapsed_s,
            view_complete=view_complete,
        )

    def measure(self, report: RunReport) -> None:
        """Say what the run takes: what its time goes to, and memory."""
        self._update(report=report)

    def count_areas(self, pixels: Sequence[int], computed: int) -> None:
        """Say how many pixels each class has, among how many that are computed."""
        self._update(pixels=tuple(int(one) for one in pixels), computed=int(computed))

    def pause(self) -> None:
        """Hold the run."""
        self._pace.pause()
        self._update(phase=State.PAUSED)

    def resume(self) -> None:
        """Let the run go on."""
        self._pace.resume()
        self._update(phase=State.RUNNING)

    def stop(self) -> None:
        """Say that the run is asked to end, which it does after a tile."""
        self._update(stopping=True)

    def cancel(self) -> None:
        """End the run early, as the person wanted."""
        done, total = self._wanted.tiles_done, self._wanted.tiles_total
        kept = f"{done:,} of {count(total, 'tile', 'tiles')} {'is' if done == 1 else 'are'} kept."
        text = f"Cancelled. {kept}" if done else "Cancelled before the first tile was done."
        self._end(State.CANCELLED, Notice(text))

    def finish(self) -> None:
        """End the run as it should."""
        told = self._wanted.notice
        # a warning was about the run that is over now; a plain sentence still holds
        kept = told if told is not None and told.severity is Severity.INFO else None
        self._end(State.FINISHED, kept, tiles_done=self._wanted.tiles_total)

    def fail(self, error: BaseException) -> None:
        """End the run because of a problem."""
        kept = "What was computed by then is kept." if self._wanted.tiles_done else ""
        self._end(State.FAILED, notice_of(error, kept=kept, context=self.context()))

    def _end(self, phase: State, notice: Notice | None, **more: Any) -> None:
        self._update(
            stopping=False, phase=phase, elapsed_s=self._pace.elapsed_s, notice=notice, **more
        )

    # the result

    def set_classes(self, classes: tuple[ClassInfo, ...], hidden: frozenset[int]) -> None:
        """Have other classes, or other names and colours for them, and say which are hidden."""
        chosen = self._wanted.selected
        gone = chosen is not None and chosen >= len(classes)
        self._update(classes=classes, hidden=hidden, selected=None if gone else chosen)

    def count_vouched(self, pixels: Sequence[int]) -> None:
        """Say how many pixels of each class a person vouches for."""
        self._update(vouched=tuple(int(one) for one in pixels))

    def show_class(self, index: int, shown: bool) -> None:
        """Show or hide a class."""
        hidden = self._wanted.hidden
        self._update(hidden=hidden - {index} if shown else hidden | {index})

    def hide_classes(self, indices: frozenset[int]) -> None:
        """Say which classes are hidden, as it is on the canvas."""
        self._update(hidden=indices)

    def select_class(self, index: int | None) -> None:
        """Choose the class that the brush paints."""
        self._update(selected=index)

    def lose_labels(self) -> None:
        """Say that the result was removed by the person."""
        self._reset(has_labels=False, exported=None, **self._fresh_classes(self.network))

    def show_exported(self, exported: Exported | None) -> None:
        """Say where the labels of the chosen image were written last, if they were."""
        self._update(exported=exported)

    def start_export(self, path: Path) -> None:
        """Say that labels are being written."""
        answered = self._wanted.notice is self._export_notice
        self._update(exporting=path, **({"notice": None} if answered else {}))

    def export_done(self, image: str, exported: Exported, *, shown: bool) -> None:
        """Say where labels were written.

        Parameters
        ----------
        image
            Whose labels they are.
        exported
            Where they are.
        shown
            Whether it is still the image that is chosen; else the status area says it.
        """
        if shown:
            self._update(exporting=None, exported=exported)
        elif self._wanted.notice is None:
            text = f"The labels of '{image}' were saved as {exported.path}."
            self._update(exporting=None, notice=Notice(text))
        else:
            self._update(exporting=None)

    def fail_export(self, error: BaseException) -> None:
        """Say why labels could not be written."""
        kept = "The labels are still in napari."
        self._export_notice = notice_of(error, kept=kept, context=self.context())
        self._update(exporting=None, notice=self._export_notice)

    def show_work(self, work: Work) -> None:
        """Say where the work on the chosen image is kept."""
        self._update(work=work)

    def tell(self, text: str, severity: Severity = Severity.INFO) -> None:
        """Put a sentence into the status area."""
        self._update(notice=Notice(text, severity))

    def report(self, error: BaseException, kept: str = "") -> None:
        """Put a failure that is not one of a run into the status area."""
        self._update(notice=notice_of(error, kept=kept, context=self.context()))

    def dismiss(self) -> None:
        """Clear the status area."""
        self._update(notice=None)
