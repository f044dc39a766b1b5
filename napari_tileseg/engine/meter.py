"""What the time of a run goes to, and how much memory it takes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from napari_tileseg.engine.amounts import rate, size_of
from napari_tileseg.engine.memory import PeakMemory

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import torch

StageName = Literal["read", "network", "merge", "write"]

_SAID: dict[StageName, str] = {
    "network": "network",
    "read": "reading",
    "merge": "merging",
    "write": "writing",
}


class Mismatch(Protocol):
    """How far neighbouring tiles disagree, in a number and in a sentence."""

    @property
    def share(self) -> float | None:
        """The share of labels, 0 to 1; None if nothing was compared."""

    @property
    def sentence(self) -> str:
        """The same for a person."""


_WORTH_SAYING = 0.005


@dataclass(frozen=True)
class RunReport:
    """What a run took.

    Attributes
    ----------
    seconds
        By stage ("read", "network", "merge", "write"). Stages go on at the same time in
        different threads, so that they may add up to more than the whole.
    wall_s
        From the beginning of the first stage to the end of the last one, in seconds.
    tiles
        How many were computed.
    memory_peak
        Most bytes of the GPU; where the CPU computes, most bytes of this whole program.
    memory_before
        What of that was taken before the run began.
    on_gpu
        Whether it is the memory of a GPU.
    mismatch
        How far tiles disagreed where they overlap; None if it was not measured.
    """

    seconds: dict[StageName, float]
    wall_s: float
    tiles: int
    memory_peak: int
    memory_before: int = 0
    on_gpu: bool = False
    mismatch: Mismatch | None = None

    @property
    def tiles_per_s(self) -> float:
        """Tiles in a second, waiting included."""
        return self.tiles / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def memory_of_run(self) -> int:
        """The most that this run took, in bytes, without what was there before it."""
        return max(0, self.memory_peak - self.memory_before)

    def share(self, stage: StageName) -> float:
        """Return during which share of the run a stage was going on, 0 to 1."""
        return min(1.0, self.seconds[stage] / self.wall_s) if self.wall_s > 0 else 0.0

    @property
    def what_takes_time(self) -> str:
        """The stages by name, with their share of the time: "network 91 %, reading 6 %"."""
        return ", ".join(text for _, text in self._shares)

    @property
    def slowest(self) -> str:
        """The stage that goes on for most of the time: "network 94 %"."""
        return max(self._shares, default=(0.0, ""))[1]

    @property
    def _shares(self) -> list[tuple[float, str]]:
        shares = [(self.share(stage), name) for stage, name in _SAID.items()]
        said = [(share, name) for share, name in shares if share >= _WORTH_SAYING]
        return [(share, f"{name} {100 * share:.0f} %") for share, name in said]

    @property
    def memory(self) -> str:
        """How much memory the run took, for a person."""
        return f"{size_of(self.memory_of_run)} of {'GPU ' if self.on_gpu else ''}memory"

    @property
    def sentence(self) -> str:
        """The whole run in one line: "12 tiles/s; network 91 %, ...; 1.2 GB of memory at most"."""
        parts = [rate(self.tiles_per_s), self.what_takes_time, f"{self.memory} at most"]
        return "; ".join(part for part in parts if part)

    @property
    def facts(self) -> dict[str, Any]:
        """The same for another program, in values that JSON can hold."""
        return {
            "tiles": self.tiles,
            "seconds": round(self.wall_s, 3),
            "seconds by stage": {name: round(spent, 3) for name, spent in self.seconds.items()},
            "memory bytes": self.memory_of_run,
            "tile mismatch": None if self.mismatch is None else self.mismatch.share,
        }

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that there is to say: the run, and how far tiles disagree."""
        mismatch = () if self.mismatch is None else (self.mismatch.sentence,)
        return (self.sentence, *mismatch)


class Meter:
    """Measures one run; every thread may use it.

    Parameters
    ----------
    device
        Where the network runs; None is the CPU.
    clock
        Gives seconds; replaced in tests.
    on_survey
        Told how far the survey is, see `surveyed`, in the thread that computes.

    Attributes
    ----------
    mismatch
        What the run found out; handed on with the report.
    surveyed
        0 to 1: how much of a plane was gone over before its first tile is computed, in modes
        that have to know all of it first; None before anything was.
    """

    def __init__(
        self,
        device: torch.device | None = None,
        clock: Callable[[], float] = time.perf_counter,
        on_survey: Callable[[float], object] | None = None,
    ) -> None:
        self.surveyed: float | None = None
        self._on_survey = on_survey
        self.mismatch: Mismatch | None = None
        self._clock = clock
        self._lock = threading.Lock()
        self._seconds: dict[StageName, float] = dict.fromkeys(_SAID, 0.0)
        self._tiles = 0
        self._began: float | None = None
        self._ended = 0.0
        self._left_out = 0.0
        self._on_gpu = device is not None and device.type != "cpu"
        self._memory = PeakMemory(device)

    def stage(self, name: StageName) -> _Stage:
        """Return a context: what happens in it counts as this stage."""
        return _Stage(self, name)

    def add(self, name: StageName, seconds: float) -> None:
        """Count seconds that were measured elsewhere, as by a GPU, up to now."""
        now = self._clock()
        self._count(name, now - seconds, now, seconds)

    def tiles(self, count: int) -> None:
        """Count tiles that are done."""
        with self._lock:
            self._tiles += count
        self._memory.sample()

    def survey(self, share: float) -> None:
        """Say how much of a plane was gone over, 0 to 1."""
        self.surveyed = share
        if self._on_survey is not None:
            self._on_survey(share)

    def leave_out(self, seconds: float) -> None:
        """Take a pause out of the time of the run."""
        with self._lock:
            self._left_out += seconds

    def report(self) -> RunReport:
        """Return what the run took so far."""
        with self._lock:
            seconds, tiles = dict(self._seconds), self._tiles
            wall_s = 0.0 if self._began is None else self._ended - self._began - self._left_out
        return RunReport(
            seconds=seconds,
            wall_s=wall_s,
            tiles=tiles,
            memory_peak=self._memory.peak,
            memory_before=self._memory.before,
            on_gpu=self._on_gpu,
            mismatch=self.mismatch,
        )

    def _count(self, name: StageName, start: float, end: float, seconds: float) -> None:
        with self._lock:
            self._seconds[name] += seconds
            if self._began is None or start < self._began:
                self._began = start
            self._ended = max(self._ended, end)


class _Stage:
    """One stretch of time in one thread."""

    __slots__ = ("_meter", "_name", "_start")

    def __init__(self, meter: Meter, name: StageName) -> None:
        self._meter = meter
        self._name = name

    def __enter__(self) -> None:
        self._start = self._meter._clock()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        end = self._meter._clock()
        self._meter._count(self._name, self._start, end, end - self._start)
