"""What the panels say, in the words that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.engine.amounts import duration, rate, size_of, tile_size
from napari_tileseg.session.facts import scale_note
from napari_tileseg.session.wanted import ClassRow, State

if TYPE_CHECKING:
    from napari_tileseg.session.facts import ImageFacts
    from napari_tileseg.session.wanted import PlanFacts, Wanted


def state_of(wanted: Wanted) -> State:
    """Say where the work stands."""
    if wanted.phase is not None:
        return wanted.phase
    if wanted.image is None:
        return State.NO_IMAGE
    if wanted.spec is None:
        return State.NO_MODEL
    return State.MISFIT if wanted.misfit else State.READY


def image_line(image: ImageFacts | None) -> str:
    """Name the image."""
    return "none chosen" if image is None else f"{image.name} · {image.size}"


def model_line(wanted: Wanted) -> str:
    """Name the model."""
    if wanted.loading:
        return f"loading {wanted.loading} …"
    if wanted.spec is None:
        return "none chosen"
    return f"{wanted.origin} · {count(len(wanted.spec.classes), 'class', 'classes')}"


def model_note(wanted: Wanted) -> str:
    """Warn if the image is at another scale than the model knows."""
    if wanted.image is None or wanted.spec is None:
        return ""
    return scale_note(wanted.image.pixel_size_um, wanted.spec.pixel_size_um)


def channel_rows(wanted: Wanted) -> tuple[tuple[str, int], ...]:
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


def automatic(wanted: Wanted) -> dict[str, str]:
    """Say what the settings left to the program stand for, here and now."""
    if wanted.spec is None:
        return {"tile": "by model"}
    if wanted.plan is None:
        return {"tile": f"{wanted.spec.tile:,} px"}
    return {
        "tile": f"{wanted.spec.tile if wanted.plan.whole else max(wanted.plan.tile):,} px",
        "blend": wanted.plan.blend,
        "batch": count(wanted.plan.batch, "tile", "tiles"),
    }


def run_line(state: State, wanted: Wanted) -> str:
    """Say in a line how far the run is, or what it waits for."""
    if state in (State.NO_IMAGE, State.NO_MODEL):
        return {"no image": "needs an image", "no model": "needs a model"}[state]
    if state is State.MISFIT:
        return "cannot run yet"
    if state is State.READY:
        return _short_estimate(wanted)
    return progress_text(state, wanted)


def estimate(wanted: Wanted) -> str:
    """Say what a run will cost, as far as that is known."""
    if wanted.measuring:
        return "Measuring how far the network looks …"
    plan, cost = wanted.plan, wanted.cost
    if plan is None:
        return ""
    if cost is None:
        return f"{_tiles(plan)} · measuring the time …" if wanted.estimating else _tiles(plan)
    if plan.whole:
        return f"{_tiles(plan)} · about {duration(cost.seconds)} · {cost.memory}"
    return f"About {_tiles(plan)} · {duration(cost.seconds)} · {cost.memory}"


def _short_estimate(wanted: Wanted) -> str:
    """Say it in a line that is half as wide."""
    plan, cost = wanted.plan, wanted.cost
    if plan is None:
        return "measuring …" if wanted.measuring else ""
    tiles = "whole image" if plan.whole else count(plan.tiles, "tile", "tiles")
    return tiles if cost is None else f"{tiles} · about {duration(cost.seconds)}"


def _tiles(plan: PlanFacts) -> str:
    """Say what the network will see: "2,310 tiles of 512 px"."""
    if plan.whole:
        one = plan.tiles == 1
        return "The whole image at once" if one else f"{plan.tiles:,} planes, each as a whole"
    return f"{count(plan.tiles, 'tile', 'tiles')} of {tile_size(plan.tile)}"


def pace_line(wanted: Wanted) -> str:
    """Say how quick the run is, what its time goes to, and how much memory it takes."""
    if wanted.report is None or not wanted.tiles_done:
        return ""
    parts = [rate(wanted.tiles_per_s)] if wanted.tiles_per_s else []
    parts += [wanted.report.slowest, f"{size_of(wanted.report.memory_of_run)}"]
    return " · ".join(part for part in parts if part)


def report_lines(state: State, wanted: Wanted) -> tuple[str, ...]:
    """Say what a run that has ended took."""
    ended = state in (State.FINISHED, State.CANCELLED, State.FAILED)
    return wanted.report.sentences if ended and wanted.report is not None else ()


def progress_of(wanted: Wanted) -> float | None:
    """Return the share of the tiles that is done; None if there is no run."""
    if wanted.phase is None or not wanted.tiles_total:
        return None
    return wanted.tiles_done / wanted.tiles_total


def progress_text(state: State, wanted: Wanted) -> str:
    """Say how far the run is."""
    percent = f"{int(100 * (progress_of(wanted) or 0))} %"
    if wanted.stopping:
        return f"{percent} · stopping after this tile …"
    if state is State.RUNNING:
        if wanted.tiles_done == 0:
            return "starting …" if wanted.surveyed is None else _survey(wanted)
        return percent + _left(wanted)
    if state is State.PAUSED:
        return f"{percent} · paused"
    if state is State.CANCELLED:
        return f"{percent} · cancelled"
    if state is State.FAILED:
        return f"{percent} · stopped by a problem"
    return f"done in {duration(wanted.elapsed_s)}" if state is State.FINISHED else ""


def _survey(wanted: Wanted) -> str:
    """Say how far a run is that has to know the whole image before it can begin."""
    percent = f"{int(100 * (wanted.surveyed or 0))} %"
    return f"first pass · {percent}{_left(wanted)}"


def _left(wanted: Wanted) -> str:
    left = wanted.seconds_left
    return "" if left is None else f" · {duration(left)} left"


def export_result(wanted: Wanted) -> str:
    """Say where labels were written."""
    if wanted.exporting is not None:
        return f"Saving {wanted.exporting} …"
    if wanted.exported is None:
        return ""
    told = f"Saved as {wanted.exported.path}"
    return f"{told} · part of it is from an earlier run" if wanted.exported.mixed else told


def export_line(wanted: Wanted) -> str:
    """Say in a line where labels were written."""
    if wanted.exporting is not None:
        return f"saving {wanted.exporting.name} …"
    if wanted.exported is not None:
        return wanted.exported.path.name
    return "not yet" if wanted.has_labels else "nothing to export yet"


def class_rows(wanted: Wanted) -> tuple[ClassRow, ...]:
    """Return a line for each class."""
    return tuple(
        ClassRow(
            index=index,
            name=one.name,
            colour=one.colour,
            share=_share(wanted, index),
            area=_area(wanted, index),
            vouched=wanted.vouched[index] if index < len(wanted.vouched) else 0,
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


def brief(number: int) -> str:
    """Write a number in at most five signs: "1,204", "12 k", "3.4 M"."""
    if number < 10_000:
        return f"{number:,}"
    if number < 1_000_000:
        return f"{number // 1_000} k"
    millions = number / 1e6
    return f"{millions:.1f} M" if millions < 10 else f"{int(millions):,} M"


def square(um2: float) -> str:
    """Write an area in the unit that reads best."""
    return f"{um2 / 1e6:,.3g} mm²" if um2 >= 1e5 else f"{um2:,.4g} µm²"


def count(number: int, one: str, many: str) -> str:
    """Write a number with its noun: "1 tile", "2,310 tiles"."""
    return f"{number:,} {one if number == 1 else many}"
