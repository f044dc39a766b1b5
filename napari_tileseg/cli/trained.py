"""What `tileseg train` leaves behind: the best model; losses and scores as table and picture."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from napari_tileseg.cli.output import try_to_write
from napari_tileseg.errors import OutputError, SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from napari_tileseg.training.metrics import Confusion
    from napari_tileseg.training.train import TrainReport
    from napari_tileseg.training_job import TrainJob

_COLUMNS = ("step", "epoch", "seconds", "loss", "miou")

_MARK = "tileseg train --curve"
_MARK_WITHIN = 200
"""Written into each picture, near its beginning, so that only these are replaced."""


class KeptFile:
    """A file written now and then: what fails is said, and made good later.

    Attributes
    ----------
    path
        Where it is; None before it was written for the first time.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.path: Path | None = None
        self._say = say
        self._pending: Callable[[], Path] | None = None
        self._problem: OutputError | None = None

    def write(self, how: Callable[[], Path]) -> None:
        """Call `how`, which writes the file and returns where; it takes the place of the last."""
        self._pending = how
        self.retry()

    def retry(self) -> None:
        """Write what could not be written before, if there is such."""
        if self._pending is None:
            return
        try:
            self.path = self._pending()
        except OutputError as error:
            self._problem = error
            self._say(f"{error} This will be tried again.")
        else:
            self._pending = self._problem = None

    def require(self) -> None:
        """Raise the `OutputError` of the last attempt, if it failed."""
        if self._problem is not None:
            raise self._problem


class Record:
    """The losses and scores of all steps: as a table and a picture, where they are wanted.

    Both are written whenever there is a score, and at the end.
    """

    def __init__(self, args: argparse.Namespace, job: TrainJob, say: Callable[[str], None]) -> None:
        self._table = KeptFile(say)
        self._picture = KeptFile(say)
        self._csv: Path | None = args.csv
        self._png: Path | None = args.curve
        self._job = job
        self._classes = job.network.classes
        names = (f"iou {one.name}" for one in self._classes)
        self._lines: list[tuple[object, ...]] = [(*_COLUMNS, *names)]
        self._losses: list[float] = []
        self._scores: list[tuple[int, Confusion]] = []

    def add(self, report: TrainReport) -> None:
        """Take down one step."""
        scores: list[str] = []
        if report.validation is not None:
            values = [report.validation.miou, *report.validation.iou]
            scores = [f"{value:.5f}" for value in values]
            self._scores.append((report.step, report.validation))
        seconds, loss = f"{report.seconds:.1f}", f"{report.loss:.5f}"
        self._lines.append((report.step, report.epoch, seconds, loss, *scores))
        self._losses.append(report.loss)
        if report.validation is not None or report.best is not None:
            self.save()

    def save(self) -> None:
        """Write what there is, if there is any step."""
        table, picture = self._csv, self._png
        if not self._losses:
            return
        if table is not None:
            self._table.write(lambda: _write_table(table, self._lines))
        if picture is not None:
            self._picture.write(lambda: self._write_picture(picture))

    def require(self) -> None:
        """Raise the `OutputError` of the last attempt to write, if it failed."""
        self._table.require()
        self._picture.require()

    def _write_picture(self, path: Path) -> Path:
        from PIL.PngImagePlugin import PngInfo

        from napari_tileseg.io.atomic import written_beside
        from napari_tileseg.training.curve import Score, draw_curve

        drawn = draw_curve(
            self._losses,
            [Score(step, found.miou, tuple(found.iou)) for step, found in self._scores],
            self._classes,
            title=self._job.network.spec.name,
            loss_name=self._job.settings.loss,
        )
        mark = PngInfo()
        mark.add_text("Software", _MARK)
        with written_beside(path) as part:
            drawn.save(part, format="PNG", pnginfo=mark)
        return path


def check_places(args: argparse.Namespace) -> None:
    """See that table and picture can be written, and take the place of nothing else.

    Raises
    ------
    SettingsError
        If a name has another suffix, or would lie among images or masks.
    OutputError
        If something else is there, or nothing can be written there.
    """
    folders = [args.images, args.masks, args.val_images, args.val_masks]
    for option, path, suffix in (("--csv", args.csv, ".csv"), ("--curve", args.curve, ".png")):
        if path is not None:
            _check(path, option, suffix, [one for one in folders if one])


def _check(path: Path, option: str, suffix: str, folders: list[Path]) -> None:
    if path.suffix.lower() != suffix:
        raise SettingsError(
            f"The curve is written as {suffix}, not as '{path.name}': change {option}."
        )
    if any(path.parent.resolve() == folder.resolve() for folder in folders):
        raise SettingsError(
            f"'{path.name}' would be taken for an image or a mask in '{path.parent}'. "
            f"Choose another folder with {option}."
        )
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder. Choose the name of a file with {option}.")
    if path.exists() and not _is_a_curve(path, suffix):
        raise OutputError(
            f"'{path}' exists, and is not the curve of a training. It stays as it is: choose "
            f"another name with {option}."
        )
    try_to_write(path, option)


def _is_a_curve(path: Path, suffix: str) -> bool:
    """Whether a file is empty, or begins as those that were written here."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if suffix == ".png":
        return not content or _MARK.encode() in content[:_MARK_WITHIN]
    return not content or content.startswith(",".join(_COLUMNS).encode())


def _write_table(path: Path, lines: Iterable[tuple[object, ...]]) -> Path:
    from napari_tileseg.io.atomic import written_beside

    with written_beside(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(lines)
    return path
