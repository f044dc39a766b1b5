"""Labels into a file, in the background: what is in sight is what is saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_tileseg.session import Exported, Severity

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.spec import ClassInfo
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.layers import SegmentationLabels
    from napari_tileseg.viewer.results import Results
    from napari_tileseg.viewer.run import Carried
    from napari_tileseg.viewer.tasks import Tasks

RUNS = "napari-tileseg runs"
"""Where a layer keeps, in its metadata, what its runs were that are still to be seen, the newest
one first."""

_PATIENCE_S = 30
"""A window that closes waits so long for a file that is being written, in seconds."""


class Exports:
    """Writes the labels of one image at a time, and knows where those of each were written.

    Parameters
    ----------
    session
        Who is told.
    tasks
        Where the work is done.
    """

    def __init__(self, session: Session, tasks: Tasks) -> None:
        self._session = session
        self._tasks = tasks
        self._shown: SegmentationLabels | None = None
        self._written: WeakKeyDictionary[SegmentationLabels, Exported] = WeakKeyDictionary()

    def bind(self, results: Results | None) -> None:
        """Tell about these labels from now on."""
        self._shown = None if results is None else results.front
        self._session.show_exported(None if self._shown is None else self._written.get(self._shown))

    def begin(self, results: Results) -> None:
        """Remember on the layers what the run is that begins now."""
        run = provenance(self._session)
        self._written.pop(results.front, None)
        for layer in results.layers:
            before = [one for one in layer.metadata.get(RUNS, ()) if _wish(one) != _wish(run)]
            layer.metadata = layer.metadata | {RUNS: (run, *before)}

    def end(self, results: Results, carried: Carried, *, complete: bool) -> None:
        """Remember on the layers what the run that has ended really was.

        Parameters
        ----------
        results
            Where it was written.
        carried
            What it was.
        complete
            Whether all of the image is of it now, and nothing of earlier runs is left.
        """
        for layer in results.layers:
            run, *before = layer.metadata.get(RUNS, ({},))
            known = run | {"run": carried_out(carried)}
            layer.metadata = layer.metadata | {RUNS: (known, *([] if complete else before))}

    def export(self, results: Results, path: Path) -> None:
        """Write labels as they are shown now."""
        if not self._session.view.can_export or self._session.image is None:
            self._session.tell("Export when the work that goes on has ended.", Severity.WARNING)
            return
        image, labels = self._session.image, snapshot(results)
        front = results.front

        def write() -> Path:
            from napari_tileseg.io.labels import export

            return export(
                labels.pixels,
                path,
                classes=labels.classes,
                pixel_size_um=image.pixel_size_um,
                provenance=labels.provenance,
            )

        def on_done(written: Path) -> None:
            self._written[front] = Exported(written, mixed=labels.mixed)
            shown = front is self._shown
            self._session.export_done(image.name, self._written[front], shown=shown)

        self._session.start_export(path)
        self._tasks.start(write, on_done, self._session.fail_export, patience_s=_PATIENCE_S)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Labels that nobody writes to.

    Attributes
    ----------
    pixels
        uint8, or (classes, ...) bool for a multilabel model.
    classes
        As they are called on the layers.
    provenance
        Where the labels come from: plain values.
    mixed
        Whether some are of an earlier run, which the newest one has not replaced.
    """

    pixels: NDArray[Any]
    classes: tuple[ClassInfo, ...]
    provenance: dict[str, Any]
    mixed: bool


def snapshot(results: Results) -> Snapshot:
    """Copy the labels as they are shown now, for another thread to write."""
    shown = [layer.data.copy() for layer in results.layers]
    mixed = any(
        not np.array_equal(layer.result(), labels)
        for layer, labels in zip(results.layers, shown, strict=True)
    )
    run, *before = results.front.metadata.get(RUNS, ({},))
    corrected = any(layer.vouched.count for layer in results.layers)
    known = {**run, "corrected": corrected}
    return Snapshot(
        np.stack([one == 1 for one in shown]) if results.multilabel else shown[0],
        results.classes,
        known | {"partly from earlier runs": before} if mixed and before else known,
        mixed,
    )


def provenance(session: Session) -> dict[str, Any]:
    """Say of which image, with which model and how the labels of the next run are made."""
    network, plan, image = session.network, session.plan, session.image
    assert network is not None, "a run needs a model"
    assert plan is not None, "a run needs a plan"
    assert image is not None, "a run needs an image"
    return {
        "image": image.name,
        "model": session.view.origin,
        "model sha256": network.provenance.get("sha256"),
        "settings": session.settings.changed(),
        "run": _plain(plan),
    }


def _wish(run: dict[str, Any]) -> dict[str, Any]:
    """Return what was wanted of a run, without how it was done."""
    return {name: value for name, value in run.items() if name != "run"}


def carried_out(carried: Carried) -> dict[str, Any]:
    """Say how a run was done, and how far its tiles disagreed."""
    mismatch = None if carried.meter is None else carried.meter.mismatch
    return _plain(carried.plan) | ({} if mismatch is None else {"tile mismatch": mismatch.share})


def _plain(plan: Plan) -> dict[str, Any]:
    return {
        "mode": plan.mode.value,
        "tile": list(plan.tile),
        "blend": plan.blend.value,
        "precision": plan.precision.value,
    }
