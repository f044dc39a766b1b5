"""What the panels show, worked out from what is wanted and what has happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from napari_tileseg.engine.amounts import duration
from napari_tileseg.session.facts import ImageFacts, scale_note
from napari_tileseg.settings import RunSettings

if TYPE_CHECKING:
    from pathlib import Path

    from napari_tileseg.engine.spec import ClassInfo, ModelSpec
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
class ClassRow:
    """One line of the class list; `share` is of the area computed so far, 0 to 1."""

    index: int
    name: str
    colour: str
    share: float | None = None
    area: str = ""
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
    misfit: str = ""
    measuring: bool = False
    phase: State | None = None
    stopping: bool = False
    tiles_done: int = 0
    tiles_total: int = 0
    seconds_left: float | None = None
    elapsed_s: float = 0.0
    view_complete: bool = False
    pixels: tuple[int, ...] = ()
    computed: int = 0
    hidden: frozenset[int] = frozenset()
    selected: int | None = None
    has_labels: bool = False
    exported: Exported | None = None
    exporting: Path | None = None
    notice: Notice | None = None


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
    view_complete: bool
    can_run: bool
    can_pause: bool
    can_resume: bool
    can_cancel: bool
    can_export: bool
    export_line: str
    export_result: str
    classes: tuple[ClassRow, ...]
    notice: Notice | None

    @property
    def busy(self) -> bool:
        """Whether a run is under way, so that what it was made from must not change."""
        return self.state in (State.RUNNING, State.PAUSED)


def resolve(wanted: Wanted) -> View:
    """Work out everything the panels show. Pure: equal input gives an equal answer."""
    state = _state(wanted)
    busy = state in (State.RUNNING, State.PAUSED)
    return View(
        state=state,
        image=wanted.image,
        image_line=_image_line(wanted.image),
        spec=wanted.spec,
        origin=wanted.origin,
        loading=wanted.loading,
        model_line=_model_line(wanted),
        model_note=_model_note(wanted),
        channel_rows=_channel_rows(wanted),
        settings=wanted.settings,
        automatic=_automatic(wanted),
        run_line=_run_line(state, wanted),
        estimate=_estimate(wanted),
        plan_note="" if wanted.plan is None else " ".join(wanted.plan.notes),
        misfit=wanted.misfit,
        progress=_progress(wanted),
        progress_text=_progress_text(state, wanted),
        view_complete=wanted.view_complete and busy,
        can_run=not busy and wanted.plan is not None and not wanted.misfit and not wanted.loading,
        can_pause=state is State.RUNNING and not wanted.stopping,
        can_resume=state is State.PAUSED and not wanted.stopping,
        can_cancel=busy and not wanted.stopping,
        can_export=wanted.has_labels and not busy and wanted.exporting is None,
        export_line=_export_line(wanted),
        export_result=_export_result(wanted),
        classes=_class_rows(wanted),
        notice=wanted.notice,
    )


def _state(wanted: Wanted) -> State:
    if wanted.phase is not None:
        return wanted.phase
    if wanted.image is None:
        return State.NO_IMAGE
    if wanted.spec is None:
        return State.NO_MODEL
    return State.MISFIT if wanted.misfit else State.READY


def _image_line(image: ImageFacts | None) -> str:
    return "none chosen" if image is None else f"{image.name} · {image.size}"


def _model_line(wanted: Wanted) -> str:
    if wanted.loading:
        return f"loading {wanted.loading} …"
    if wanted.spec is None:
        return "none chosen"
    return f"{wanted.origin} · {count(len(wanted.spec.classes), 'class', 'classes')}"


def _model_note(wanted: Wanted) -> str:
    if wanted.image is None or wanted.spec is None:
        return ""
    return scale_note(wanted.image.pixel_size_um, wanted.spec.pixel_size_um)


def _channel_rows(wanted: Wanted) -> tuple[tuple[str, int], ...]:
    """Pair each channel the model reads with the image channel it gets; () if no choice."""
    if wanted.image is None or wanted.spec is None:
        return ()
    names, available = wanted.spec.channels, len(wanted.image.channels)
    chosen = wanted.settings.channels or tuple(range(len(names)))
    obvious = available == len(names) and wanted.image.kind in ("RGB", "grey")
    if wanted.settings.channels is None and obvious:
        return ()
    return tuple(zip(names, _within(chosen, available), strict=True))


def _within(chosen: tuple[int, ...], available: int) -> tuple[int, ...]:
    return tuple(min(index, available - 1) for index in chosen)


def _automatic(wanted: Wanted) -> dict[str, str]:
    """Say what the settings left to the program stand for, here and now."""
    if wanted.spec is None:
        return {"tile": "by model"}
    known = {"tile": f"{wanted.spec.tile:,} px"}
    if wanted.plan is not None:
        known |= {
            "blend": wanted.plan.blend,
            "batch": count(wanted.plan.batch, "tile", "tiles"),
        }
    return known


def _run_line(state: State, wanted: Wanted) -> str:
    if state in (State.NO_IMAGE, State.NO_MODEL):
        return {"no image": "needs an image", "no model": "needs a model"}[state]
    if state is State.MISFIT:
        return "cannot run yet"
    if state is State.READY:
        return _estimate(wanted)
    return _progress_text(state, wanted)


def _estimate(wanted: Wanted) -> str:
    if wanted.measuring:
        return "Measuring how far the network looks …"
    plan = wanted.plan
    if plan is None:
        return ""
    if plan.whole:
        return (
            "The whole image at once" if plan.tiles == 1 else f"{plan.tiles:,} planes, each whole"
        )
    size = " × ".join(f"{length:,}" for length in reversed(plan.tile))
    return f"{count(plan.tiles, 'tile', 'tiles')} of {size} px"


def _progress(wanted: Wanted) -> float | None:
    if wanted.phase is None or not wanted.tiles_total:
        return None
    return wanted.tiles_done / wanted.tiles_total


def _progress_text(state: State, wanted: Wanted) -> str:
    percent = f"{int(100 * (_progress(wanted) or 0))} %"
    if wanted.stopping:
        return f"{percent} · stopping after this tile …"
    if state is State.RUNNING:
        if wanted.tiles_done == 0:
            return "starting …"
        left = wanted.seconds_left
        return percent if left is None else f"{percent} · {duration(left)} left"
    if state is State.PAUSED:
        return f"{percent} · paused"
    if state is State.CANCELLED:
        return f"{percent} · cancelled"
    if state is State.FAILED:
        return f"{percent} · stopped by a problem"
    return f"done in {duration(wanted.elapsed_s)}" if state is State.FINISHED else ""


def _export_result(wanted: Wanted) -> str:
    if wanted.exporting is not None:
        return f"Saving {wanted.exporting} …"
    if wanted.exported is None:
        return ""
    told = f"Saved as {wanted.exported.path}"
    return f"{told} · part of it is from an earlier run" if wanted.exported.mixed else told


def _export_line(wanted: Wanted) -> str:
    if wanted.exporting is not None:
        return f"saving {wanted.exporting.name} …"
    if wanted.exported is not None:
        return wanted.exported.path.name
    return "not yet" if wanted.has_labels else "nothing to export yet"


def _class_rows(wanted: Wanted) -> tuple[ClassRow, ...]:
    return tuple(
        ClassRow(
            index=index,
            name=one.name,
            colour=one.colour,
            share=_share(wanted, index),
            area=_area(wanted, index),
            shown=index not in wanted.hidden,
            selected=index == wanted.selected,
        )
        for index, one in enumerate(wanted.classes)
    )


def _share(wanted: Wanted, index: int) -> float | None:
    if not wanted.computed or index >= len(wanted.pixels):
        return None
    return wanted.pixels[index] / wanted.computed


def _area(wanted: Wanted, index: int) -> str:
    if not wanted.computed or index >= len(wanted.pixels):
        return "not computed yet"
    pixels = wanted.pixels[index]
    text = f"{pixels:,} px"
    size = wanted.image.pixel_size_um if wanted.image else None
    return text if size is None else f"{text} · {square(pixels * size**2)}"


def square(um2: float) -> str:
    """Write an area in the unit that reads best."""
    return f"{um2 / 1e6:,.3g} mm²" if um2 >= 1e5 else f"{um2:,.4g} µm²"


def count(number: int, one: str, many: str) -> str:
    """Write a number with its noun: "1 tile", "2,310 tiles"."""
    return f"{number:,} {one if number == 1 else many}"
