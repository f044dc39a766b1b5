"""What `tileseg train` leaves behind: the best model, and the curve of losses and scores."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from napari_tileseg.cli.output import try_to_write
from napari_tileseg.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from napari_tileseg.engine.network import Network
    from napari_tileseg.training.train import TrainReport

_COLUMNS = ("step", "epoch", "seconds", "loss", "miou")


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


class Curve:
    """A table with a line a step, written as CSV whenever there is a score, if it is wanted."""

    def __init__(self, path: Path | None, network: Network, say: Callable[[str], None]) -> None:
        self.file = KeptFile(say)
        self._path = path
        names = (f"iou {one.name}" for one in network.classes)
        self._lines: list[tuple[object, ...]] = [(*_COLUMNS, *names)]

    def add(self, report: TrainReport) -> None:
        """Take down one step."""
        scores: list[str] = []
        if report.validation is not None:
            values = [report.validation.miou, *report.validation.iou]
            scores = [f"{value:.5f}" for value in values]
        seconds, loss = f"{report.seconds:.1f}", f"{report.loss:.5f}"
        self._lines.append((report.step, report.epoch, seconds, loss, *scores))
        if report.validation is not None or report.best is not None:
            self.save()

    def save(self) -> None:
        """Write all lines, if there is any step."""
        path = self._path
        if path is not None and len(self._lines) > 1:
            self.file.write(lambda: _write(path, self._lines))


def check_curve(path: Path, folders: Iterable[Path | None]) -> None:
    """See that a curve can be written, and takes the place of nothing else.

    Parameters
    ----------
    path
        What `--csv` says.
    folders
        Where images and masks are: every file in them counts as one.

    Raises
    ------
    SettingsError
        If it is not named as CSV, or would lie among images or masks.
    OutputError
        If something else is there, or nothing can be written there.
    """
    if path.suffix.lower() != ".csv":
        raise SettingsError(f"The curve is written as .csv, not as '{path.name}': change --csv.")
    if any(folder and path.parent.resolve() == folder.resolve() for folder in folders):
        raise SettingsError(
            f"'{path.name}' would be taken for an image or a mask in '{path.parent}'. "
            "Choose another folder with --csv."
        )
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder. Choose the name of a file with --csv.")
    if _holds_something_else(path):
        raise OutputError(
            f"'{path}' exists, and is not the curve of a training. It stays as it is: choose "
            "another name with --csv."
        )
    try_to_write(path, "--csv")


def _holds_something_else(path: Path) -> bool:
    if not path.exists():
        return False
    header = ",".join(_COLUMNS).encode()
    try:
        with path.open("rb") as stream:
            found = stream.read(len(header))
    except OSError:
        return True
    return found not in (b"", header)


def _write(path: Path, lines: Iterable[tuple[object, ...]]) -> Path:
    from napari_tileseg.io.atomic import written_beside

    with written_beside(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(lines)
    return path
