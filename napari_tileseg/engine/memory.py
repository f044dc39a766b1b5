"""Memory that a run takes: of the GPU, or of this program where the CPU computes."""

from __future__ import annotations

import sys
import time
from functools import cache

import psutil
import torch

_SAMPLE_EVERY_S = 0.05


class PeakMemory:
    """Watches the memory of one run.

    A GPU keeps count of its own peak. On the CPU it is the memory of this whole program: what
    the operating system remembers as the highest of all times if that rose during the run, else
    the highest that was seen when asked.

    Parameters
    ----------
    device
        Where the run computes; its peak is counted from now on.

    Attributes
    ----------
    before
        What this program held when the run began, in bytes; 0 on a GPU.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        if self._device.type == "cuda":
            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(self._device)
        self._on_cpu = self._device.type not in ("cuda", "mps")
        self._of_all_times = highest_ever() if self._on_cpu else 0
        self._highest = self.now
        self._sampled_at = time.monotonic()
        self.before = self._highest if self._on_cpu else 0

    @property
    def now(self) -> int:
        """What is in use now, in bytes."""
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        if self._device.type == "mps":
            return torch.mps.driver_allocated_memory()
        return _this_program().memory_info().rss

    @property
    def peak(self) -> int:
        """The most that was in use, in bytes."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        self._highest = max(self._highest, self.now)
        ever = highest_ever() if self._on_cpu else 0
        return max(self._highest, ever) if ever > self._of_all_times else self._highest

    def sample(self) -> None:
        """Look how much is in use, if that was not done a moment ago."""
        if self._device.type == "cuda" or time.monotonic() - self._sampled_at < _SAMPLE_EVERY_S:
            return
        self._highest = max(self._highest, self.now)
        self._sampled_at = time.monotonic()


def highest_ever() -> int:
    """Return the most memory this program ever held, in bytes; 0 if nobody knows."""
    if sys.platform == "win32":
        return int(getattr(_this_program().memory_info(), "peak_wset", 0))
    import resource

    counted = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(counted) if sys.platform == "darwin" else int(counted) * 1024


@cache
def _this_program() -> psutil.Process:
    return psutil.Process()
