"""The one door to the other thread: everything arrives, in order, and it always ends."""

import gc
import itertools
import threading
import time
import weakref

import pytest

from napari_tileseg import errors
from napari_tileseg.viewer.jobs import Cancelled, Failed, Finished, Job

pytestmark = pytest.mark.usefixtures("qtbot")

FAST = {"interval_ms": 1}


def _threads():
    return [t for t in threading.enumerate() if t.name == "tileseg-job"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    deadline = time.monotonic() + 5
    while _threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _threads()


class Run:
    """A job with a record of everything it said."""

    def __init__(self, stream, on_item=None, **options):
        self.items, self.ends, self.log = [], [], []
        take = on_item or (lambda item: None)
        self.job = Job(stream, lambda item: (self.items.append(item), take(item)), **FAST | options)
        self.job.finished.connect(self.ends.append)
        for name in ("started", "paused", "resumed"):
            getattr(self.job, name).connect(lambda name=name: self.log.append(name))
        self.job.start()

    def wait(self, qtbot):
        qtbot.waitUntil(lambda: bool(self.ends), timeout=10_000)
        return self.ends[0]


def _count_to(n):
    return lambda should_stop: iter(range(n))


def test_all_items_arrive_in_order_and_then_the_end(qtbot):
    run = Run(_count_to(500))
    assert run.wait(qtbot) == Finished()
    assert run.items == list(range(500))
    assert run.log == ["started"]
    assert run.job.outcome == Finished()
    assert not run.job.is_running


def test_a_slow_window_makes_the_worker_wait_and_loses_nothing(qtbot):
    ahead, taken = [], []

    def stream(should_stop):
        for index in range(40):
            ahead.append(index - len(taken))
            yield index

    def take(item):
        time.sleep(0.003)
        taken.append(item)

    run = Run(stream, take, queue_size=4, budget_ms=5)
    assert run.wait(qtbot) == Finished()
    assert run.items == list(range(40))
    # four in the queue, one in the worker's hand and one being taken are out of its hands
    assert max(ahead) <= 6


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA error"), StopIteration(3), MemoryError(), KeyError("x"), SystemExit(1)],
)
def test_whatever_the_stream_raises_is_told(qtbot, error):
    def generator(should_stop):
        yield 1
        yield 0
        raise error

    run = Run(generator)
    outcome = run.wait(qtbot)
    assert isinstance(outcome, Failed)
    # a StopIteration inside a generator becomes a RuntimeError in Python itself
    assert error in (outcome.error, outcome.error.__cause__)
    assert type(error).__name__ in outcome.traceback
    assert run.items == [1, 0]


def test_an_error_before_the_first_item_is_told(qtbot):
    def make(should_stop):
        raise StopIteration

    outcome = Run(make).wait(qtbot)
    assert isinstance(outcome, Failed)


def test_an_error_of_who_takes_the_items_ends_the_job_with_it(qtbot):
    def refuse(item):
        if item == 3:
            raise ValueError("the layer is gone")

    run = Run(lambda should_stop: itertools.count(), refuse)
    outcome = run.wait(qtbot)
    assert isinstance(outcome, Failed)
    assert "the layer is gone" in str(outcome.error)
    assert run.items == [0, 1, 2, 3]


def test_cancel_ends_within_one_item_and_closes_the_stream_in_its_own_thread(qtbot):
    made, closed_in = [], []

    def stream(should_stop):
        try:
            for index in itertools.count():
                made.append(index)
                yield index
                time.sleep(0.005)
        finally:
            closed_in.append(threading.current_thread().name)

    run = Run(stream)
    qtbot.waitUntil(lambda: len(run.items) >= 3, timeout=5000)
    run.job.cancel()
    so_far = len(made)
    assert run.wait(qtbot) == Cancelled()
    assert len(made) <= so_far + 1
    assert run.items == made
    assert closed_in == ["tileseg-job"]


def test_a_stream_is_told_to_stop_in_the_middle_of_an_item(qtbot):
    def stream(should_stop):
        yield 0
        while not should_stop():
            time.sleep(0.001)
        raise errors.Cancelled("stopped inside the network")

    run = Run(stream)
    qtbot.waitUntil(lambda: run.items == [0], timeout=5000)
    run.job.cancel()
    assert run.wait(qtbot) == Cancelled()


def test_a_paused_job_asks_for_nothing_and_goes_on_where_it_was(qtbot):
    run = Run(lambda should_stop: iter(range(10_000)), budget_ms=0)
    qtbot.waitUntil(lambda: len(run.items) >= 2, timeout=5000)
    run.job.pause()
    assert run.job.is_paused
    qtbot.wait(200)
    settled = len(run.items)
    qtbot.wait(100)
    assert len(run.items) == settled < 10_000
    assert not run.ends
    run.job.resume()
    qtbot.waitUntil(lambda: len(run.items) > settled, timeout=5000)
    run.job.cancel()
    run.wait(qtbot)
    assert run.items == list(range(len(run.items)))
    assert run.log == ["started", "paused", "resumed"]


def test_a_paused_job_can_be_cancelled(qtbot):
    run = Run(lambda should_stop: itertools.count())
    run.job.pause()
    run.job.cancel()
    assert run.wait(qtbot) == Cancelled()


def test_a_pause_after_a_cancel_does_not_keep_the_job_from_ending(qtbot):
    gate = threading.Event()

    def stream(should_stop):
        yield 0
        gate.wait(10)
        yield from itertools.repeat(1)

    run = Run(stream)
    qtbot.waitUntil(lambda: run.items == [0], timeout=5000)
    run.job.cancel()
    run.job.pause()
    assert not run.job.is_paused
    gate.set()
    assert run.wait(qtbot) == Cancelled()
    assert run.log == ["started"]


@pytest.mark.parametrize("paused", [False, True])
def test_closing_during_a_run_leaves_no_thread_and_nothing_comes_after(qtbot, paused):
    run = Run(lambda should_stop: itertools.count(), queue_size=2)
    qtbot.waitUntil(lambda: len(run.items) >= 2, timeout=5000)
    if paused:
        run.job.pause()
    assert run.job.close()
    assert not _threads()
    taken = len(run.items)
    qtbot.wait(100)
    assert len(run.items) == taken
    assert run.ends == []
    assert run.job.outcome == Cancelled()


def test_closing_waits_only_so_long_for_a_stream_that_does_not_heed(qtbot):
    gate = threading.Event()

    def stream(should_stop):
        yield 0
        gate.wait(10)

    run = Run(stream)
    qtbot.waitUntil(lambda: run.items == [0], timeout=5000)
    assert not run.job.close(timeout_s=0.05)
    gate.set()


def test_an_abandoned_job_says_nothing_frees_who_took_its_items_and_its_thread_ends(qtbot):
    gate, closed = threading.Event(), threading.Event()

    class Taker:
        def take(self, item):
            seen.append(item)

    def stream(should_stop):
        try:
            yield 0
            gate.wait(10)
            yield 1
        finally:
            closed.set()

    seen, ends = [], []
    taker = Taker()
    job = Job(stream, taker.take, **FAST)
    job.finished.connect(ends.append)
    job.start()
    qtbot.waitUntil(lambda: seen == [0], timeout=5000)
    assert not job.close(timeout_s=0)
    assert len(_threads()) == 1
    gone = weakref.ref(taker)
    del taker
    gc.collect()
    assert gone() is None
    gate.set()
    assert closed.wait(5)
    qtbot.wait(50)
    assert seen == [0]
    assert ends == []
    assert job.outcome == Cancelled()


def test_closing_twice_or_before_the_start_does_no_harm(qtbot):
    job = Job(_count_to(3), lambda item: None)
    assert job.close()
    assert job.close()


def test_closing_while_an_item_is_taken_stops_right_there(qtbot):
    run = Run(_count_to(10), lambda item: run.job.close())
    qtbot.waitUntil(lambda: bool(run.items), timeout=5000)
    qtbot.wait(50)
    assert run.items == [0]
    assert run.ends == []


def test_a_job_that_is_deleted_without_being_closed_lets_its_thread_go(qtbot):
    run = Run(lambda should_stop: itertools.count(), queue_size=1)
    qtbot.waitUntil(lambda: len(run.items) >= 1, timeout=5000)
    run.job.deleteLater()
    qtbot.waitUntil(lambda: not _threads(), timeout=5000)


def test_an_event_loop_inside_the_taker_does_not_reorder_items(qtbot):
    run = Run(_count_to(30), lambda item: qtbot.wait(3))
    assert run.wait(qtbot) == Finished()
    assert run.items == list(range(30))


def test_torch_leaves_a_core_to_the_window_only_while_the_job_runs(qtbot, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    seen = []

    def limited(should_stop):
        yield torch.get_num_threads()

    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        run = Run(limited, seen.append, spare_a_core=True)
        assert run.wait(qtbot) == Finished()
        assert seen == [3]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
