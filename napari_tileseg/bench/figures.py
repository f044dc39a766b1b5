"""A measured figure and its bar, and the machine it was measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes
    ----------
    name
        What was measured.
    value
        The number; None if it could not be measured.
    unit
        "" for ratios.
    bar
        What the number is held to; None if it is only told.
    better
        Whether lower or higher numbers are better; the bar itself is good enough.
    note
        What a reader should know: sizes, counts, the spread, or why there is no number.
    """

    name: str
    value: float | None
    unit: str = ""
    bar: float | None = None
    better: Literal["lower", "higher"] = "lower"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without a bar or a number."""
        if self.value is None or self.bar is None:
            return None
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "met": self.met}


def skipped(name: str, reason: str) -> Figure:
    """Return a figure that could not be measured here."""
    return Figure(name, None, note=f"skipped: {reason}")


def machine() -> dict[str, Any]:
    """Say what the figures were measured on, as plain values."""
    import psutil
    import torch

    import napari_tileseg

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "napari-tileseg": napari_tileseg.__version__,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": gpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _cpu_name() -> str:
    told = Path("/proc/cpuinfo")
    if told.is_file():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
