"""What the panels show, worked out from what is wanted and what has happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg.session import texts
from napari_tileseg.session.project import WorkView, work_view
from napari_tileseg.session.teach_view import TeachView, resolve_teaching
from napari_tileseg.session.wanted import State

if TYPE_CHECKING:
    from napari_tileseg.engine.spec import ModelSpec
    from napari_tileseg.session.facts import ImageFacts
    from napari_tileseg.session.notice import Notice
    from napari_tileseg.session.wanted import ClassRow, Wanted
    from napari_tileseg.settings import RunSettings


@dataclass(frozen=True)
class View:
    """What the panels show; every text is final, every flag is the state of a control."""

    state: State
    image: ImageFacts | None
    image_line: str
    spec: ModelSpec | None
    origin: str
    loading: str
    model_line: str
    model_note: str
    channel_rows: tuple[tuple[str, int], ...]
    settings: RunSettings
    automatic: dict[str, str]
    run_line: str
    estimate: str
    plan_note: str
    misfit: str
    progress: float | None
    progress_text: str
    pace_line: str
    report_lines: tuple[str, ...]
    view_complete: bool
    can_run: bool
    can_pause: bool
    can_resume: bool
    can_cancel: bool
    can_export: bool
    export_line: str
    export_result: str
    teach: TeachView
    classes: tuple[ClassRow, ...]
    work: WorkView
    notice: Notice | None

    @property
    def busy(self) -> bool:
        """Whether a run is under way, so that what it was made from must not change."""
        return self.state in (State.RUNNING, State.PAUSED)


def resolve(wanted: Wanted) -> View:
    """Work out everything the panels show. Pure: equal input gives an equal answer."""
    state = texts.state_of(wanted)
    busy = state in (State.RUNNING, State.PAUSED)
    return View(
        state=state,
        image=wanted.image,
        image_line=texts.image_line(wanted.image),
        spec=wanted.spec,
        origin=wanted.origin,
        loading=wanted.loading,
        model_line=texts.model_line(wanted),
        model_note=texts.model_note(wanted),
        channel_rows=texts.channel_rows(wanted),
        settings=wanted.settings,
        automatic=texts.automatic(wanted),
        run_line=texts.run_line(state, wanted),
        estimate=texts.estimate(wanted),
        plan_note="" if wanted.plan is None else " ".join(wanted.plan.notes),
        misfit=wanted.misfit,
        progress=texts.progress_of(wanted),
        progress_text=texts.progress_text(state, wanted),
        pace_line=texts.pace_line(wanted) if busy else "",
        report_lines=texts.report_lines(state, wanted),
        view_complete=wanted.view_complete and busy,
        can_run=not busy and wanted.plan is not None and not wanted.misfit and not wanted.loading,
        can_pause=state is State.RUNNING and not wanted.stopping,
        can_resume=state is State.PAUSED and not wanted.stopping,
        can_cancel=busy and not wanted.stopping,
        can_export=wanted.has_labels and not busy and wanted.exporting is None,
        export_line=texts.export_line(wanted),
        export_result=texts.export_result(wanted),
        teach=resolve_teaching(wanted),
        classes=texts.class_rows(wanted),
        work=work_view(wanted.work, has_labels=wanted.has_labels),
        notice=wanted.notice,
    )
