"""A program of its own: sees in another process whether an ONNX network runs, and how it answers.

What a damaged or harmful file does to onnxruntime, it does here, with little time and memory.
Reads a line of JSON (`sizes` to try by the number of axes of its input, the `margin` it may use
up, `channels` if it leaves them open, what it may take: `memory` in bytes and `seconds` of the
processor) and the file from standard input; writes a line of JSON. Whoever works for too long is
ended by the system (SIGXCPU).
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

_SILENT = 4

_MOST_PX = 128**3
_BYTES_A_PX, _PX_A_SECOND = 512, 100_000
"""What more a network may take that reads large tiles only: for so many pixels, and no more."""


def main() -> None:
    """Try a network and say what came of it."""
    wanted = json.loads(sys.stdin.buffer.readline())
    content = sys.stdin.buffer.read()
    try:
        found = tried(content, wanted)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other process has to know
        found = {"error": str(error) or type(error).__name__}
    sys.stdout.write(json.dumps(found))


class _Limits:
    """What this process may take from now on, beyond what it has taken."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._memory, self._seconds = wanted["memory"], wanted["seconds"]
        self._size, self._worked = _size(), time.process_time()

    def set(self, tile_px: int = 0) -> None:
        """Hold this process to them; more for a network that reads tiles of one size only."""
        try:
            import resource
        except ImportError:  # there is none of this on Windows
            return
        px = min(tile_px, _MOST_PX)
        seconds = math.ceil(self._worked + self._seconds + px / _PX_A_SECOND)
        self._change(resource, resource.RLIMIT_CPU, seconds)
        if self._size:
            self._change(resource, resource.RLIMIT_AS, self._size + self._memory + px * _BYTES_A_PX)

    @staticmethod
    def _change(resource: ModuleType, which: int, most: int) -> None:
        hard = resource.getrlimit(which)[1]
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(which, (most, hard))


def _size() -> int:
    """Return the addresses that this process uses, in bytes; 0 where that is not told."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _peak() -> int:
    """Return the most memory that this process has had, in bytes; 0 where that is not told."""
    try:
        told = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) for line in told.splitlines() if "VmHWM" in line) << 10
    except (OSError, StopIteration):
        return 0


def tried(content: bytes, wanted: dict[str, Any]) -> dict[str, Any]:
    """Run a network; return what it declares, and the answer that is as large as it should be.

    Where no answer is, the first one there was; where there was none, the last error.
    """
    import numpy as np
    import onnxruntime

    limits = _Limits(wanted)
    limits.set()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found: dict[str, Any] = {
        "inputs": [[one.name, list(one.shape), one.type] for one in session.get_inputs()],
        "outputs": [[one.name, list(one.shape), one.type] for one in session.get_outputs()],
        "answers": [],
    }
    if len(found["inputs"]) != 1:
        return found
    ((name, shape, kind),) = found["inputs"]
    numbers = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(kind, np.float32)
    fixed = [one for one in shape[2:] if isinstance(one, int)]
    batch = shape[0] if isinstance(shape[0], int) else 1
    if fixed:
        limits.set(batch * fixed[0] ** len(shape[2:]))
    tries = [[fixed[0]] * len(shape[2:])] if fixed else wanted["sizes"].get(str(len(shape)), [])
    for size in tries:
        channels = shape[1] if isinstance(shape[1], int) else wanted["channels"]
        tile = np.random.default_rng(0).random((batch, channels, *size)).astype(numbers)
        before = _peak()
        try:
            answers = session.run(None, {name: tile})
        except Exception as error:  # noqa: BLE001 - another size may do
            found["error"] = str(error)
            continue
        fits = [one - 2 * wanted["margin"] for one in size] == list(np.shape(answers[0]))[2:]
        if fits or not found["answers"]:
            seen = [[list(np.shape(one)), str(np.asarray(one).dtype)] for one in answers]
            bytes_per_px = (_peak() - before) // tile[:, 0].size
            found |= {"answers": seen, "tile": [*tile.shape], "bytes_per_px": bytes_per_px}
        if fits:
            break
    return found


if __name__ == "__main__":
    main()
