"""What the step "Correct & teach" shows, worked out from what is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg.engine.amounts import duration
from napari_tileseg.session.teaching import Phase

if TYPE_CHECKING:
    from napari_tileseg.session.teaching import Finding, Point, TeachState, VersionRow
    from napari_tileseg.session.wanted import Wanted
    from napari_tileseg.settings import TeachSettings

_READ_ONLY = (
    "Another window works on this image. Here it can be looked at; close the other window to "
    "correct and teach here."
)
_NOTHING = "Paint over what is wrong, or mark a region that is right as reviewed."


@dataclass(frozen=True)
class TeachView:
    """What the panel shows; every text is final, every flag is the state of a control."""

    phase: Phase
    settings: TeachSettings
    line: str
    readiness: str
    is_ready: bool
    problem: str
    can_mark: bool
    can_teach: bool
    can_stop: bool
    teaching: bool
    progress: float
    progress_text: str
    points: tuple[Point, ...]
    finding: Finding | None
    can_use: bool
    changed: str
    preview: bool
    changes: bool
    versions: tuple[VersionRow, ...]
    can_return: bool
    can_save: bool


def resolve_teaching(wanted: Wanted) -> TeachView:
    """Work out what the panel shows. Pure: equal input gives an equal answer."""
    known = wanted.teaching
    read_only = _READ_ONLY if wanted.work.read_only else ""
    teaching = known.phase is Phase.TEACHING
    ready = known.readiness is not None and known.readiness.can_teach
    problem = read_only or ("" if wanted.spec is None or not ready else known.why_not)
    free = wanted.spec is not None and not wanted.loading and not read_only
    return TeachView(
        phase=known.phase,
        settings=known.settings,
        line=_line(wanted),
        readiness=_readiness(known),
        is_ready=ready and bool(known.readiness and known.readiness.can_prove),
        problem=problem,
        can_mark=wanted.has_labels and not read_only,
        can_teach=free and ready and not problem and not teaching,
        can_stop=teaching and not known.stopping,
        teaching=teaching,
        progress=known.progress,
        progress_text=_progress_text(known) if teaching else "",
        points=known.points,
        finding=known.finding if known.phase is Phase.DECIDING else None,
        can_use=free,
        changed=_changed(known),
        preview=known.preview,
        changes=known.changes,
        versions=known.versions,
        can_return=free and known.phase is Phase.IDLE,
        can_save=wanted.spec is not None and not known.saving,
    )


def _line(wanted: Wanted) -> str:
    """Say the state of the step in one line."""
    known = wanted.teaching
    if known.phase is Phase.TEACHING:
        return _progress_text(known)
    if known.phase is Phase.DECIDING and known.finding is not None:
        return f"{known.finding.outcome}: use it?"
    n_regions = 0 if known.readiness is None else known.readiness.regions
    regions = "region" if n_regions == 1 else "regions"
    if known.corrected and n_regions:
        return f"{known.corrected:,} px · {n_regions} {regions}"  # no more fits into a narrow dock
    if known.corrected:
        return f"{known.corrected:,} px corrected"
    if n_regions:
        return f"{n_regions} reviewed {regions}"
    return "nothing corrected yet" if wanted.has_labels else "needs labels"


def _readiness(known: TeachState) -> str:
    if known.readiness is None or not known.readiness.can_teach:
        return _NOTHING
    return known.readiness.text


def _progress_text(known: TeachState) -> str:
    if known.stopping:
        return "stopping: comparing old and new …"
    if known.progress >= 1:
        return "comparing old and new …"
    if not known.progress:
        return "starting …"
    left = known.seconds * (1 - known.progress) / known.progress
    return f"{int(100 * known.progress)} % · {duration(left)} left"


def _changed(known: TeachState) -> str:
    if known.changed is None:
        return ""
    percent = 100 * known.changed
    shown = "less than 0.1" if 0 < percent < 0.1 else f"{percent:.1f}"
    return f"Show what would change: {shown} %"
