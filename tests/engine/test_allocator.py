from __future__ import annotations

import ctypes
import sys

import pytest
import torch

from napari_tileseg.engine import allocator


class Told:
    """Stands for a C library, and remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self.trims = 0

    def mallopt(self, what, value):
        self.calls.append((what, value))

    def malloc_trim(self, _):
        self.trims += 1


@pytest.fixture
def library(monkeypatch):
    told = Told()
    monkeypatch.setattr(allocator, "_c_library", lambda: told)
    return told


CPU = torch.device("cpu")


def test_pages_are_given_back_when_the_last_run_ends(library):
    with allocator.pages_kept(CPU):
        with allocator.pages_kept(CPU):
            pass
        assert library.trims == 0
        assert (allocator._MMAP_MAX, 0) in library.calls
    assert library.trims == 1
    assert (allocator._MMAP_MAX, allocator._USUAL_MMAP_MAX) in library.calls


def test_pages_are_given_back_when_a_run_fails(library):
    with pytest.raises(MemoryError), allocator.pages_kept(CPU):
        raise MemoryError
    assert library.trims == 1


def test_a_gpu_has_an_allocator_of_its_own(library):
    with allocator.pages_kept(torch.device("cuda")):
        assert not library.calls


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux")
def test_the_real_library_understands():
    library = allocator._c_library()
    if library is None:
        pytest.skip("another C library than glibc")
    with allocator.pages_kept(CPU):
        assert library.mallopt(allocator._MMAP_MAX, 0) == 1
    assert isinstance(library, ctypes.CDLL)


class Held:
    """Stands for this process; what it holds is said by the test."""

    def __init__(self) -> None:
        self.rss = 0

    def memory_info(self):
        return self


@pytest.fixture
def gaps(monkeypatch, library):
    held = Held()
    monkeypatch.setattr(allocator.psutil, "Process", lambda: held)
    one = allocator.Gaps(CPU)
    library.trims = 0
    return one, held


def _tiles(gaps, rss, kept=0, count=8):
    one, held = gaps
    held.rss = rss
    for _ in range(count):
        one.close(lambda: kept)


MB = 2**20


def test_what_the_first_tiles_need_is_no_gap(gaps, library):
    _tiles(gaps, 900 * MB)
    assert library.trims == 0


def test_gaps_that_have_opened_since_are_given_back(gaps, library):
    _tiles(gaps, 900 * MB)
    _tiles(gaps, 940 * MB)
    assert library.trims == 0
    _tiles(gaps, 980 * MB)
    assert library.trims == 1


def test_small_tiles_leave_room_for_small_gaps_alone(gaps, library):
    _tiles(gaps, 40 * MB)
    _tiles(gaps, 55 * MB, count=20)
    assert library.trims == 0
    _tiles(gaps, 60 * MB)
    assert library.trims == 1


def test_nothing_is_given_back_of_what_is_little_in_all(gaps, library):
    _tiles(gaps, 10 * MB)
    _tiles(gaps, 45 * MB, count=20)
    assert library.trims == 0
    _tiles(gaps, 50 * MB)
    assert library.trims == 1


def test_gaps_that_open_again_soon_are_given_back_again(gaps, library):
    _, held = gaps
    _tiles(gaps, 40 * MB, count=20)
    library.malloc_trim = lambda _: (setattr(held, "rss", 40 * MB), Told.malloc_trim(library, _))
    for _ in range(40):
        _tiles(gaps, 60 * MB, count=1)
    assert library.trims == 20


def test_pages_are_not_given_back_after_every_tile(gaps, library):
    _, held = gaps
    _tiles(gaps, 900 * MB)
    library.malloc_trim = lambda _: (setattr(held, "rss", 900 * MB), Told.malloc_trim(library, _))
    for _ in range(20):
        _tiles(gaps, 1500 * MB, count=1)
    assert library.trims == 10


def test_what_is_known_to_be_kept_is_no_gap(gaps, library):
    _tiles(gaps, 900 * MB)
    _tiles(gaps, 1200 * MB, kept=290 * MB)
    assert library.trims == 0


def test_what_cannot_be_given_back_is_not_asked_for_again_and_again(gaps, library):
    _tiles(gaps, 900 * MB)
    _tiles(gaps, 1500 * MB, count=100)
    assert library.trims == 1
