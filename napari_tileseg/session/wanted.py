"""All that the session knows, as one value that does not change."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from napari_tileseg.session.project import Work
from napari_tileseg.session.teaching import TeachState
from napari_tileseg.settings import RunSettings

if TYPE_CHECKING:
    from pathlib import Path

    from napari_tileseg.engine.meter import RunReport
    from napari_tileseg.engine.spec import ClassInfo, ModelSpec
    from napari_tileseg.session.facts import ImageFacts
    from napari_tileseg.session.notice import Notice


class State(StrEnum):
    """Where the work on an image stands."""

    NO_IMAGE = "no image"
    NO_MODEL = "no model"
    MISFIT = "misfit"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class PlanFacts:
    """What a run will do: tiles in all, the size of one, how they are merged, and what to know."""

    tiles: int
    tile: tuple[int, ...]
    whole: bool = False
    blend: str = ""
    batch: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a run will cost: seconds, and memory in words."""

    seconds: float
    memory: str


@dataclass(frozen=True)
class ClassRow:
    """One line of the class list.

    `share` is of the area computed so far, 0 to 1; a person vouches for `vouched` of its pixels.
    """

    index: int
    name: str
    colour: str
    share: float | None = None
    area: str = ""
    vouched: int = 0
    shown: bool = True
    selected: bool = False


@dataclass(frozen=True)
class Exported:
    """A file that labels were written to; `mixed`: some of them are of an earlier run."""

    path: Path
    mixed: bool = False


@dataclass(frozen=True)
class Wanted:
    """All that the session knows, as one value that does not change."""

    image: ImageFacts | None = None
    spec: ModelSpec | None = None
    origin: str = ""
    loading: str = ""
    classes: tuple[ClassInfo, ...] = ()
    settings: RunSettings = field(default_factory=RunSettings)
    plan: PlanFacts | None = None
    cost: Cost | None = None
    estimating: bool = False
    misfit: str = ""
    measuring: bool = False
    phase: State | None = None
    stopping: bool = False
    surveyed: float | None = None
    tiles_done: int = 0
    tiles_total: int = 0
    seconds_left: float | None = None
    tiles_per_s: float = 0.0
    report: RunReport | None = None
    elapsed_s: float = 0.0
    view_complete: bool = False
    pixels: tuple[int, ...] = ()
    computed: int = 0
    vouched: tuple[int, ...] = ()
    hidden: frozenset[int] = frozenset()
    selected: int | None = None
    has_labels: bool = False
    exported: Exported | None = None
    exporting: Path | None = None
    teaching: TeachState = field(default_factory=TeachState)
    work: Work = field(default_factory=Work)
    notice: Notice | None = None
