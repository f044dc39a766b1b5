"""Memory that the system's allocator keeps at hand while a network runs on the CPU.

A network asks for and gives back arrays of many megabytes for every tile. The C library of
Linux hands each of them back to the system at once, and gets fresh pages for the next: that
costs as much time as some layers, the more the larger the tiles are. Here it is told to
keep the pages for as long as a run goes on.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of mallopt in glibc
_USUAL_MMAP_MAX = 65536
_LARGEST_THRESHOLD = 32 * 2**20
"""What the library itself raises its thresholds to, with time."""

_FIRST_TILES = 4
_SOON = 1
_FEW_GAPS, _MOST_GAPS, _SHARE = 16 * 2**20, 64 * 2**20, 4
"""What is given back has to be fetched again, so a part of what tiles need may lie in gaps, at
least so much and at most so much, and a tile goes by before pages are given back again."""

_LITTLE = 48 * 2**20
"""What a run may take in all before anything is given back."""

_lock = Lock()
_runs = 0


@contextmanager
def pages_kept(device: torch.device) -> Iterator[None]:
    """Keep freed memory for the next tile while a run on the CPU goes on; then give it back."""
    library = _c_library() if device.type == "cpu" else None
    if library is None:
        yield
        return
    _enter(library)
    try:
        yield
    finally:
        _leave(library)


class Gaps:
    """Gives back what lies free between pages in use, when it gets too much.

    What stays for long between what comes and goes keeps gaps open, and they add up. What the
    first tiles take, and what is known to be kept since, is no gap.

    Parameters
    ----------
    device
        Where the network runs; only the memory of a CPU is looked after.
    """

    def __init__(self, device: torch.device) -> None:
        self._library = _c_library() if device.type == "cpu" else None
        self._process = psutil.Process()
        self._tiles = self._since = 0
        if self._library is not None:
            self._library.malloc_trim(0)
        self._before = self._needed = self._held()

    def close(self, kept_bytes: Callable[[], int]) -> None:
        """Be asked after each tile, and told what is kept; give back pages if far more is held."""
        if self._library is None:
            return
        self._tiles += 1
        self._since += 1
        held = self._held() - kept_bytes()
        if self._tiles <= _FIRST_TILES:
            self._needed = max(self._needed, held)
        elif self._since > _SOON and held > self._most:
            self._library.malloc_trim(0)
            left = self._held() - kept_bytes()
            # what could not be given back is in use: some of the room has to be left beside it
            self._needed = max(self._needed, left - self._room // 2)
            self._since = 0

    @property
    def _most(self) -> int:
        return max(self._needed + self._room, self._before + _LITTLE)

    @property
    def _room(self) -> int:
        return min(max((self._needed - self._before) // _SHARE, _FEW_GAPS), _MOST_GAPS)

    def _held(self) -> int:
        return int(self._process.memory_info().rss)


def _enter(library: ctypes.CDLL) -> None:
    global _runs
    with _lock:
        _runs += 1
        if _runs == 1:
            library.mallopt(_MMAP_MAX, 0)
            library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def _leave(library: ctypes.CDLL) -> None:
    global _runs
    with _lock:
        _runs -= 1
        if _runs == 0:
            library.mallopt(_MMAP_MAX, _USUAL_MMAP_MAX)
            library.mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
            library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD)
            library.malloc_trim(0)


def _c_library() -> ctypes.CDLL | None:
    """Return the C library if it is the one that can be told."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
