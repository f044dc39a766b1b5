"""Measuring in a process of its own, whose peak of memory is nobody else's."""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from napari_tileseg.errors import TilesegError

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class BenchError(TilesegError):
    """A measurement could not be made."""


def in_fresh_process(function: str, **arguments: Any) -> dict[str, Any]:
    """Call "module:function" of this package in a new process.

    Parameters
    ----------
    function
        It takes plain values and returns a dict of plain values.
    **arguments
        What it is called with.

    Raises
    ------
    BenchError
        If it fails; the message has the last lines that it printed.
    """
    command = [sys.executable, "-m", __name__, function, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = "\n".join(done.stderr.splitlines()[-4:]) or f"exit code {done.returncode}"
        raise BenchError(f"The measurement '{function}' failed: {why}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def resident_mb() -> float:
    """Return the memory this process holds now, in MB."""
    return float(psutil.Process().memory_info().rss) / 1e6


def forget_peak() -> None:
    """Give memory back that is kept for later, and let the peak begin anew, where that works."""
    gc.collect()
    with suppress(OSError, AttributeError):  # only the GNU C library has it
        ctypes.CDLL(None).malloc_trim(0)
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def peak_mb() -> float:
    """Return the most memory this process has held since `forget_peak`, in MB."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM"):
                return float(line.split()[1]) * 1024 / 1e6
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def _main(name: str, arguments: str) -> None:
    module, _, function = name.partition(":")
    answer = getattr(import_module(f"napari_tileseg.bench.{module}"), function)(
        **json.loads(arguments)
    )
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
