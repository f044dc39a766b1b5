"""What each damaged or hostile checkpoint costs: seconds and memory.

python tests/benchmarks/hostile_checkpoints.py
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile import WITNESS, hostile_files
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io.checkpoints import bundled_models, load_model
from napari_tileseg.models.libraries import import_monai_nets

_TRIAL = b"napari_tileseg.models.onnx_trial"


def _peak_mb(process: str = "self") -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(one.split()[1]) for one in lines if one.startswith("VmHWM")) / 1024


class _Others:
    """Sees how much memory the processes have had that try a file for this one."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> _Others:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.002):
            for children in Path("/proc/self/task").glob("*/children"):
                with suppress(OSError, StopIteration):
                    self._ask(children.read_text().split())

    def _ask(self, processes: list[str]) -> None:
        for process in processes:
            # until it runs its own program, it is a copy of this one
            if _TRIAL in Path(f"/proc/{process}/cmdline").read_bytes():
                self.peak_mb = max(self.peak_mb, _peak_mb(process))


def _load(path: Path) -> tuple[str, float, float]:
    """Return how it ended, the seconds it took, and by how much memory rose, in MB.

    All of the memory counts that a process takes which tries the file for this one.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from what is in use now
    before, start = _peak_mb(), time.perf_counter()
    with _Others() as others:
        try:
            load_model(path)
            ended = "loaded"
        except CheckpointError as error:
            ended = "refused" if path.name in str(error) else f"unnamed: {error}"
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            ended = f"crashed: {error!r}"
        seconds = time.perf_counter() - start
    return ended, seconds, _peak_mb() - before + others.peak_mb


def main() -> int:
    """Print the worst, and whether all were refused in time."""
    load_model(next(iter(bundled_models())))  # what is imported once is not theirs
    import_monai_nets()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [(path.name, *_load(path)) for path in hostile_files(folder)]
        ran = (folder / WITNESS).exists()
    ends = Counter(end.partition(":")[0] for _, end, _, _ in found)
    for path, end, seconds, megabytes in found:
        if end != "refused" or seconds > 2 or megabytes > 300:
            sys.stdout.write(f"{path}: {end[:200]} {seconds:.2f} s {megabytes:.0f} MB\n")
    sys.stdout.write(
        f"{len(found)} files: {dict(ends)}; one ran: {ran}; "
        f"slowest {max(one[2] for one in found):.2f} s, "
        f"most memory {max(one[3] for one in found):.0f} MB\n"
    )
    fine = set(ends) == {"refused"} and not ran
    return 0 if fine and all(s <= 5 and m <= 1024 for _, _, s, m in found) else 1


if __name__ == "__main__":
    sys.exit(main())
