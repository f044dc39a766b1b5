from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from napari_tileseg.engine.pipeline import ReadAhead, written_behind
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import Patch, stream_plan
from napari_tileseg.engine.schedule import Focus, Schedule
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.tiles import cut_image
from napari_tileseg.errors import OutputError
from napari_tileseg.settings import RunSettings
from stubs import Counting, Ramp, echo, network

GRID = cut_image((100, 160), (20, 20), (20, 20), stride=1, crop=False)


def _threads() -> set[str]:
    return {one.name for one in threading.enumerate() if one.name.startswith("tileseg")}


def _patch(number: int, final: bool = True) -> Patch:
    labels = np.full((4, 4), number, np.uint8)
    return Patch((slice(0, 4), slice(0, 4)), labels, final, number, 99)


class Kept:
    """Remembers what was written; from one patch on the disk is full."""

    def __init__(self, full_from: int = 999, slow: bool = False) -> None:
        self.written: list[int] = []
        self.full_from = full_from
        self.slow = slow

    def write(self, region, labels, probabilities):
        if self.slow:
            time.sleep(0.002)
        if labels[0, 0] >= self.full_from:
            raise OutputError("the disk is full")
        self.written.append(int(labels[0, 0]))


class Held:
    """Remembers what was written, as soon as it may be."""

    def __init__(self) -> None:
        self.may = threading.Semaphore(0)
        self.written: list[int] = []

    def write(self, region, labels, probabilities):
        assert self.may.acquire(timeout=20)
        self.written.append(int(labels[0, 0]))


def test_every_batch_comes_once_and_in_order():
    with ReadAhead(Schedule([GRID]), lambda batch: batch.numbers, count=3, depth=2) as ahead:
        seen = [number for batch, read in ahead for number in read if read == batch.numbers]
    assert sorted(seen) == list(range(len(GRID)))
    assert seen[:8] == list(range(8))


def test_the_next_batch_is_read_while_this_one_is_computed():
    begun = threading.Semaphore(0)

    def read(batch):
        begun.release()

    with ReadAhead(Schedule([GRID]), read, count=1, depth=2) as ahead:
        next(iter(ahead))
        assert begun.acquire(timeout=5)
        assert begun.acquire(timeout=5)
        assert begun.acquire(timeout=5)
        assert not begun.acquire(timeout=0.05)


def test_what_was_read_ahead_is_given_back_when_the_focus_moves():
    focus = Focus((10, 10))
    schedule = Schedule([GRID], (), focus)
    with ReadAhead(schedule, lambda batch: None, count=1, depth=4) as ahead:
        batches = iter(ahead)
        first, _ = next(batches)
        focus.move((90, 150))
        second, _ = next(batches)
        rest = [number for batch, _ in batches for number in batch.numbers]
    assert first.numbers == (0,)
    assert second.numbers == (len(GRID) - 1,)
    assert sorted([*first.numbers, *second.numbers, *rest]) == list(range(len(GRID)))


def test_an_error_while_reading_ends_the_run_and_its_threads():
    def read(batch):
        if batch.numbers[0] > 4:
            raise OSError("gone")

    with (
        pytest.raises(OSError, match="gone"),
        ReadAhead(Schedule([GRID]), read, count=1, depth=3) as ahead,
    ):
        list(ahead)
    assert not _threads()


@pytest.mark.parametrize("left_after", [1, 5, 10**9])
def test_a_run_leaves_no_thread_behind_however_it_ends(left_after):
    model = network(Ramp(3), outputs=3)
    source = Source(np.zeros((90, 90)))
    patches = stream_plan(make_plan(source, model, RunSettings()), source, model)
    for count, _ in enumerate(patches, 1):
        if count == left_after:
            break
    patches.close()
    assert not _threads()


def test_final_patches_are_written_behind_and_all_are_passed_on():
    sink = Kept(slow=True)
    patches = [_patch(number, final=number % 3 > 0) for number in range(30)]
    assert list(written_behind(patches, sink)) == patches
    assert sink.written == [number for number in range(30) if number % 3]
    assert not _threads()


def test_what_was_handed_over_is_written_although_nobody_asks_any_more():
    sink = Kept(slow=True)
    patches = written_behind((_patch(number) for number in range(30)), sink)
    for _ in range(10):
        next(patches)
    patches.close()
    assert sink.written == list(range(10))
    assert not _threads()


def test_what_was_handed_over_is_written_although_the_run_fails():
    def failing():
        yield from (_patch(number) for number in range(10))
        raise MemoryError

    sink = Kept(slow=True)
    with pytest.raises(MemoryError):
        list(written_behind(failing(), sink))
    assert sink.written == list(range(10))


@pytest.mark.parametrize("full_from", [0, 3, 29])
def test_a_full_disk_is_said_and_nothing_is_written_after_it(full_from):
    sink = Kept(full_from)
    with pytest.raises(OutputError, match="full"):
        list(written_behind((_patch(number) for number in range(30)), sink))
    assert sink.written == list(range(full_from))
    assert not _threads()


def test_results_wait_for_a_slow_disk_in_bounded_memory(monkeypatch):
    monkeypatch.setattr("napari_tileseg.engine.pipeline._MOST_WAITING", 3 * 16)
    sink, most = Kept(slow=True), 0
    for patch in written_behind((_patch(number) for number in range(40)), sink):
        most = max(most, patch.tiles_done + 1 - len(sink.written))
    assert most <= 3 + 1


def test_the_next_tile_is_computed_while_a_large_result_is_written(monkeypatch):
    monkeypatch.setattr("napari_tileseg.engine.pipeline._MOST_WAITING", 1)
    sink = Held()
    stream = written_behind((_patch(number) for number in range(3)), sink)
    next(stream)  # does not wait for the disk
    assert sink.written == []
    sink.may.release()
    next(stream)
    assert sink.written == [0]
    sink.may.release(2)
    list(stream)
    assert sink.written == [0, 1, 2]


def test_batches_always_have_the_same_number_of_tiles():
    module = Counting(Ramp(3))
    model = network(module, outputs=3)
    source = Source(np.random.default_rng(0).random((100, 130)))
    plan = make_plan(source, model, RunSettings(batch=5))
    assert plan.n_tiles % 5
    for _ in stream_plan(plan, source, model):
        pass
    assert {shape[0] for shape in module.shapes} == {5}


def test_tiles_of_one_value_are_computed_once():
    image = np.zeros((200, 200), np.float32)
    image[:60, :60] = np.random.default_rng(0).random((60, 60))
    plain, watched = Ramp(3), Counting(Ramp(3))
    source = Source(image)
    model = network(watched, outputs=3)
    plan = make_plan(source, model, RunSettings())
    found = np.full(image.shape, 255, np.uint8)
    for patch in stream_plan(plan, source, model, provisional=False):
        found[patch.region] = patch.labels
    assert len(watched.shapes) < plan.n_tiles / 2
    # noise too faint to change a label keeps all tiles apart
    noisy = Source(image + np.random.default_rng(1).random(image.shape).astype(np.float32) * 1e-6)
    expected = np.full(image.shape, 255, np.uint8)
    for patch in stream_plan(plan, noisy, network(plain, outputs=3), provisional=False):
        expected[patch.region] = patch.labels
    assert (found == expected).mean() > 0.999


def test_the_labels_of_a_plane_in_sections_are_those_of_the_whole_plane(monkeypatch):
    image = np.random.default_rng(0).random((3, 70, 500)).astype(np.float32)
    model = echo(3)
    source = Source(image, axes="CYX")
    plan = make_plan(source, model, RunSettings(blend="gaussian"))

    def labels():
        found, times = np.full(source.label_shape, 255, np.uint8), np.zeros(source.label_shape, int)
        for patch in stream_plan(plan, source, model, provisional=False):
            found[patch.region] = patch.labels
            times[patch.region] += 1
        assert (times == 1).all()
        return found

    whole = labels()
    monkeypatch.setattr("napari_tileseg.engine.sections.WIDEST_PX", 100)
    monkeypatch.setattr("napari_tileseg.engine.sections._FEWEST_TILES", 2)
    np.testing.assert_array_equal(labels(), whole)
