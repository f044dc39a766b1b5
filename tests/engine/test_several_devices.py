from __future__ import annotations

import threading
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.engine.global_context import modules_with_global_context
from napari_tileseg.engine.interrupt import Interrupt
from napari_tileseg.engine.pipeline import ReadAhead, computed_by
from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.predict import Focus, stream_plan
from napari_tileseg.engine.schedule import Schedule
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.tiles import cut_image
from napari_tileseg.errors import Cancelled, NetworkError
from napari_tileseg.settings import RunSettings
from stubs import Ramp, network

GRID = cut_image((100, 160), (20, 20), (20, 20), stride=1, crop=False)
CPU = torch.device("cpu")
PATIENCE_S = 20
"""After this long a thread that is waited for will never come."""


class Told(nn.Module):
    """Answers, and tells a function that all copies share before it does so."""

    def __init__(self, tell) -> None:
        super().__init__()
        self.inner = Ramp(3)
        self.tell = tell
        self.rest = nn.Identity()

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.tell(self, tiles)
        return self.rest(self.inner(tiles))


def _noise(*shape: int) -> Source:
    return Source(np.random.default_rng(0).random(shape).astype(np.float32))


def _plan(source, model, workers: int = 2, **settings):
    plan = make_plan(source, model, RunSettings(device="cpu", precision="fp32", **settings))
    return replace(plan, further_devices=(CPU,) * (workers - 1))


def _threads() -> set[str]:
    return {one.name for one in threading.enumerate() if one.name.startswith("tileseg")}


def _result(plan, source, model, focus=None, steps=()):
    labels = np.full(source.label_shape, 99, np.uint8)
    sure = np.full((3, *source.label_shape), -1, np.float32)
    times = np.zeros(source.label_shape, int)
    steps = iter(steps)
    for patch in stream_plan(plan, source, model, focus=focus, provisional=focus is not None):
        if focus is not None:
            focus.move(next(steps, (0, 0)))
        if patch.final:
            labels[patch.region] = patch.labels
            sure[(slice(None), *patch.region)] = patch.probabilities
            times[patch.region] += 1
    assert (times == 1).all()
    return labels, sure


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("blend", ["gaussian", "crop"])
@pytest.mark.parametrize("batch", [1, 3])
def test_several_workers_give_the_same_bits_as_one(workers, blend, batch):
    source, model = _noise(150, 170), network(Ramp(3), outputs=3)
    options = {"blend": blend, "batch": batch, "probabilities": True}
    one = _result(_plan(source, model, 1, **options), source, model)
    several = _result(_plan(source, model, workers, **options), source, model)
    np.testing.assert_array_equal(several[0], one[0])
    np.testing.assert_array_equal(several[1], one[1])
    assert not _threads()


def test_several_workers_give_the_same_bits_wherever_somebody_looks():
    source, model = _noise(150, 170), network(Ramp(3), outputs=3)
    one = _result(_plan(source, model, 1, probabilities=True), source, model)
    generator = np.random.default_rng(1)
    for _ in range(3):
        several = _result(
            _plan(source, model, 2, probabilities=True),
            source,
            model,
            Focus((75, 85)),
            generator.uniform(0, 150, (200, 2)),
        )
        np.testing.assert_array_equal(several[0], one[0])
        np.testing.assert_array_equal(several[1], one[1])


def test_each_worker_has_a_network_of_its_own_and_computes_while_the_other_does():
    both, seen = threading.Barrier(2, timeout=PATIENCE_S), {}

    def meet(module, _):
        first = threading.get_ident() not in seen
        seen.setdefault(threading.get_ident(), set()).add(id(module))
        if first:
            both.wait()  # in vain, if one has to end before the other begins

    source, model = _noise(100, 100), network(Told(meet), outputs=3)
    list(stream_plan(_plan(source, model, blend="crop"), source, model))
    assert [len(modules) for modules in seen.values()] == [1, 1]
    assert len(set.union(*seen.values())) == 2
    assert threading.get_ident() not in seen


def test_every_tile_is_computed_once():
    seen, lock = [], threading.Lock()

    def note(_, tiles):
        with lock:
            seen.extend(one.numpy().tobytes() for one in tiles)

    source, model = _noise(150, 170), network(Told(note), outputs=3)
    plan = _plan(source, model, 3)
    list(stream_plan(plan, source, model))
    assert len(seen) == len(set(seen)) == plan.n_tiles


def test_one_device_computes_in_the_thread_that_asks():
    seen = set()
    source = _noise(100, 100)
    model = network(Told(lambda *_: seen.add(threading.get_ident())), outputs=3)
    for _ in stream_plan(_plan(source, model, 1), source, model):
        assert not any("network" in name for name in _threads())
    assert seen == {threading.get_ident()}


def test_no_more_workers_than_batches():
    seen = set()
    source = _noise(30, 30)
    model = network(Told(lambda *_: seen.add(threading.get_ident())), outputs=3)
    list(stream_plan(_plan(source, model, 4), source, model))
    assert seen == {threading.get_ident()}


def test_somebody_who_stops_ends_all_workers_inside_of_their_batches():
    stop, both, calls = threading.Event(), threading.Barrier(2, timeout=PATIENCE_S), []

    def wait_for_both(*_):
        calls.append(1)
        both.wait()
        stop.set()

    source, model = _noise(100, 100), network(Told(wait_for_both), outputs=3)
    passed = []
    model.module.rest.register_forward_hook(lambda *_: passed.append(1))
    with pytest.raises(Cancelled):
        list(stream_plan(_plan(source, model), source, model, should_stop=stop.is_set))
    assert len(calls) == 2
    assert not passed
    assert not _threads()


def test_an_error_in_one_worker_stops_the_others(monkeypatch):
    both, abandoned, calls, passed = threading.Barrier(2), threading.Event(), count(), []
    abandon = Interrupt.abandon
    monkeypatch.setattr(Interrupt, "abandon", lambda self: (abandon(self), abandoned.set()))

    def fail_in_one(*_):
        call = next(calls)
        if call < 2:
            both.wait(PATIENCE_S)
        if call == 0:
            raise NetworkError("broken")
        assert abandoned.wait(PATIENCE_S)

    source, model = _noise(100, 100), network(Told(fail_in_one), outputs=3)
    model.module.rest.register_forward_hook(lambda *_: passed.append(1))
    with pytest.raises(NetworkError, match="broken"):
        list(stream_plan(_plan(source, model), source, model))
    assert not passed
    assert not _threads()


@pytest.mark.parametrize("left_after", [1, 5])
def test_closing_a_run_leaves_no_thread_behind(left_after):
    source, model = _noise(100, 100), network(Ramp(3), outputs=3)
    patches = stream_plan(_plan(source, model, 3), source, model)
    for _ in range(left_after):
        next(patches)
    patches.close()
    assert not _threads()


def test_tiles_of_one_value_are_computed_once_by_each_worker_at_most():
    seen = []
    source = Source(np.zeros((300, 300), np.float32))
    model = network(Told(lambda *_: seen.append(1)), outputs=3)
    list(stream_plan(_plan(source, model), source, model))
    assert len(seen) <= 2


def test_batches_come_in_the_order_in_which_they_are_done():
    begun, later = threading.Event(), threading.Event()

    def slow(batch, _):
        begun.set()
        assert later.wait(PATIENCE_S)
        return "slow"

    def quick(batch, _):
        assert begun.wait(PATIENCE_S)
        return "quick"

    batches = ((number, None) for number in range(6))
    seen = []
    for _, who in computed_by([slow, quick], batches, lambda: None):
        seen.append(who)
        if len(seen) == 5:
            later.set()
    assert seen == ["quick"] * 5 + ["slow"]


def test_what_was_read_ahead_for_several_workers_is_given_back_when_the_focus_moves():
    focus, may_go_on = Focus((10, 10)), threading.Semaphore(0)

    def compute(batch, _):
        assert may_go_on.acquire(timeout=PATIENCE_S)
        return batch.numbers[0]

    taken = []

    def noted(batches):
        for batch, pixels in batches:
            taken.append(batch.numbers[0])
            if len(taken) == 3:  # one for each worker, and one that waits
                focus.move((90, 150))
                may_go_on.release()
            yield batch, pixels

    with ReadAhead(Schedule([GRID], (), focus), lambda _: None, count=1, depth=4) as ahead:
        answers = computed_by([compute, compute], noted(ahead), lambda: None)
        next(answers)
        for _ in range(len(GRID)):
            may_go_on.release()
        rest = [answer for _, answer in answers]
    assert taken[3] == len(GRID) - 1
    assert sorted(taken) == list(range(len(GRID)))
    assert len(rest) == len(GRID) - 1


def test_two_threads_compute_for_one_run_and_both_can_be_stopped():
    interrupt, layers = Interrupt(), [nn.Identity(), nn.Identity()]
    both, raised = threading.Barrier(2, timeout=PATIENCE_S), []

    def compute(layer):
        with interrupt.within(layer), interrupt.computing():
            both.wait()
            layer(torch.zeros(1))
            if both.wait() == 0:
                interrupt.abandon()
            both.wait()
            try:
                layer(torch.zeros(1))
            except Cancelled as error:
                raised.append(error)

    threads = [threading.Thread(target=compute, args=(layer,)) for layer in layers]
    for one in threads:
        one.start()
    for one in threads:
        one.join(PATIENCE_S)
    assert len(raised) == 2


def test_only_one_thread_at_a_time_asks_whether_to_stop():
    inside, most, lock = 0, [], threading.Lock()

    def should_stop():
        nonlocal inside
        with lock:
            inside += 1
            most.append(inside)
        threading.Event().wait(0.001)
        with lock:
            inside -= 1
        return False

    source, model = _noise(100, 100), network(Told(lambda *_: None), outputs=3)
    list(stream_plan(_plan(source, model, 3), source, model, should_stop=should_stop))
    assert max(most) == 1


@pytest.fixture
def two_gpus(monkeypatch):
    devices = (torch.device("cpu"), torch.device("cpu"))
    monkeypatch.setattr("napari_tileseg.engine.plan.resolve_devices", lambda name: devices)


@pytest.mark.usefixtures("two_gpus")
def test_a_plan_names_all_devices_and_merges_on_the_first():
    plan = make_plan(_noise(90, 90), network(Ramp(3), outputs=3), RunSettings(device="cuda:all"))
    assert plan.devices == (CPU, CPU)
    assert plan.device == plan.devices[0]
    assert not plan.notes


@pytest.mark.usefixtures("two_gpus")
def test_a_compiled_network_stays_on_one_device_and_a_note_says_so():
    settings = RunSettings(device="cuda:all", compile=True)
    plan = make_plan(_noise(90, 90), network(Ramp(3), outputs=3), settings)
    assert plan.devices == (CPU,)
    assert "Only cpu of 2 devices" in plan.notes[0]


@pytest.mark.usefixtures("two_gpus")
def test_frozen_norms_stay_on_one_device_and_a_note_says_so():
    module = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.InstanceNorm2d(3))
    model = network(module, outputs=3, global_context=modules_with_global_context(module))
    plan = make_plan(_noise(90, 90), model, RunSettings(device="cuda:all", mode="frozen-norm"))
    assert plan.devices == (CPU,)
    assert any("Only cpu of 2 devices" in note for note in plan.notes)


@pytest.mark.parametrize(("names", "said"), [("AA", False), ("AB", True)])
def test_gpus_that_are_not_alike_are_worth_a_note(names, said, monkeypatch):
    gpus = tuple(torch.device("cuda", index) for index in range(2))
    prefix = "napari_tileseg.engine.plan."
    monkeypatch.setattr(prefix + "resolve_devices", lambda name: gpus)
    monkeypatch.setattr(prefix + "memory_budget", lambda device, wanted: 10**9 - device.index)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[device.index])
    plan = make_plan(_noise(90, 90), network(Ramp(3), outputs=3), RunSettings(device="cuda:all"))
    assert plan.devices == gpus
    assert any("different kinds" in note for note in plan.notes) == said
    assert plan.memory_bytes == 10**9 - 1
