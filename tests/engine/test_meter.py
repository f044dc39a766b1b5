"""A meter says what the time of a run goes to, from whatever thread it is told."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
import torch

from napari_tileseg.engine.amounts import duration, rate, size_of
from napari_tileseg.engine.memory import PeakMemory
from napari_tileseg.engine.meter import Meter


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@dataclass(frozen=True)
class Disagreement:
    share: float = 0.002
    sentence: str = "Tiles disagree on 0.2 % of the pixels they share."


def spend(meter, clock, stage, seconds):
    with meter.stage(stage):
        clock.now += seconds


def test_stages_and_waiting_add_up_to_the_wall_time():
    clock = Clock()
    meter = Meter(clock=clock)
    clock.now += 50  # before the run
    spend(meter, clock, "read", 1)
    spend(meter, clock, "network", 8)
    clock.now += 1  # nobody works
    meter.tiles(20)
    spend(meter, clock, "network", 0)
    clock.now += 70  # after the run
    report = meter.report()
    assert report.wall_s == pytest.approx(10)
    assert report.tiles_per_s == pytest.approx(2)
    assert report.what_takes_time == "network 80 %, reading 10 %"


def test_threads_are_added_up_and_none_gets_lost():
    meter = Meter()

    def work():
        for _ in range(500):
            with meter.stage("read"):
                pass
            meter.add("merge", 1.0)
            meter.tiles(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = meter.report()
    assert report.tiles == 4000
    assert report.seconds["merge"] == pytest.approx(4000)
    assert report.share("merge") == 1.0


def test_a_stage_that_fails_is_counted_and_the_failure_goes_on():
    clock = Clock()
    meter = Meter(clock=clock)

    def fail():
        with meter.stage("read"):
            clock.now += 3
            raise ValueError("no such tile")

    with pytest.raises(ValueError, match="no such tile"):
        fail()
    assert meter.report().seconds["read"] == pytest.approx(3)


def test_a_report_of_nothing_divides_by_nothing():
    report = Meter().report()
    assert (report.tiles_per_s, report.what_takes_time, report.wall_s) == (0.0, "", 0.0)


def test_everything_worth_knowing_is_said():
    clock = Clock()
    meter = Meter(clock=clock)
    spend(meter, clock, "network", 10)
    meter.tiles(123)
    meter.mismatch = Disagreement()
    said = meter.report().sentences
    assert said[0].startswith("12 tiles/s; network 100 %; ")
    assert said[0].endswith(" of memory at most")
    assert said[1:] == ("Tiles disagree on 0.2 % of the pixels they share.",)


def test_memory_that_was_given_back_is_still_in_the_peak():
    meter = Meter()
    block = torch.ones(40_000_000)  # 160 MB
    meter.tiles(0)
    held = meter.report()
    del block
    given_back = meter.report()
    assert held.memory_of_run > 100e6  # some of it may come from what was free
    assert given_back.memory_peak >= held.memory_peak


def test_memory_of_an_earlier_and_larger_job_is_not_counted():
    block = torch.ones(60_000_000)  # 240 MB
    del block
    memory = PeakMemory()
    assert memory.peak - memory.before < 50e6


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0.0 kB"),
        (350_000, "350 kB"),
        (9_940_000, "9.9 MB"),
        (999_600_000, "1.0 GB"),
        (3.6e9, "3.6 GB"),
        (2.5e12, "2.5 TB"),
    ],
)
def test_bytes_are_written_in_the_unit_that_reads_best(n_bytes, text):
    assert size_of(n_bytes) == text


def test_slow_runs_are_told_in_tiles_a_minute():
    assert rate(12.3) == "12 tiles/s"
    assert rate(3.14) == "3.1 tiles/s"
    assert rate(0.1) == "6.0 tiles/min"


def test_durations_have_a_unit():
    assert [duration(s) for s in (0.2, 16, 240, 7800)] == ["0 s", "16 s", "4 min", "2 h 10 min"]
