"""The table that `tileseg train` prints: a line an epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.engine.network import Network
    from napari_tileseg.training.metrics import Confusion
    from napari_tileseg.training.train import TrainReport

_HEADING = f"{'epoch':>5} {'steps':>6} {'minutes':>8} {'loss':>7}"
_SCORES = f" {'val mIoU':>9} {'val Dice':>9}   weakest class (IoU)"


class EpochTable:
    """Turns reports of steps into lines of a table, a line an epoch.

    Parameters
    ----------
    network
        What is trained; its classes are named.
    validated
        Whether there will be scores.
    """

    def __init__(self, network: Network, *, validated: bool) -> None:
        self._names = [one.name for one in network.classes]
        self._validated = validated
        self._losses: list[float] = []
        self._last: TrainReport | None = None
        self._score: Confusion | None = None
        self._best = False

    @property
    def heading(self) -> str:
        """The names of the columns."""
        return _HEADING + (_SCORES if self._validated else "")

    def add(self, report: TrainReport) -> Iterator[str]:
        """Take down a step; give the line of the last epoch if this step begins another one."""
        if self._last is not None and report.epoch > self._last.epoch:
            yield from self.rest()
        self._last = report
        if math.isfinite(report.loss):
            self._losses.append(report.loss)
        if report.validation is not None:
            self._score = report.validation
            self._best = report.best is not None

    def rest(self) -> Iterator[str]:
        """Give the line of the epoch that is not over, if there is one."""
        if self._last is None:
            return
        loss = sum(self._losses) / len(self._losses) if self._losses else math.nan
        last = self._last
        line = f"{last.epoch:>5} {last.step:>6} {last.seconds / 60:>8.1f} {loss:>7.4f}"
        yield line + (self._shown_score() if self._validated else "")
        self._losses, self._last, self._score = [], None, None

    def _shown_score(self) -> str:
        score = self._score
        if score is None:
            return f" {'-':>9} {'-':>9}"
        known = [(iou, name) for iou, name in zip(score.iou, self._names, strict=True) if iou >= 0]
        weakest = "   {1} ({0:.4f})".format(*min(known)) if known else ""
        best = "   best so far" if self._best else ""
        return f" {score.miou:>9.4f} {score.mean_dice:>9.4f}{weakest}{best}"
