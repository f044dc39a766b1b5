"""What the session says about teaching, with reports made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_tileseg.engine.spec import default_classes
from napari_tileseg.session import Session
from napari_tileseg.session.learning import thinned
from napari_tileseg.session.project import Work
from napari_tileseg.session.teach_view import resolve_teaching
from napari_tileseg.session.teaching import Phase, Point
from napari_tileseg.session.wanted import Wanted
from napari_tileseg.training.fine_tune import TeachReport
from napari_tileseg.training.held_out import Readiness
from napari_tileseg.training.metrics import Confusion
from napari_tileseg.training.proof import verdict
from tests.stubs import small_conv

ENOUGH = Readiness(True, True, 3, 1, "Enough to learn from: yes, 3 regions (1 held out)")
TOO_LITTLE = Readiness(True, False, 0, 0, "Enough to learn from: yes. Not enough to prove …")


def confusion(right, wrong):
    made = Confusion(3)
    made.counts[:] = wrong
    np.fill_diagonal(made.counts, right)
    return made


@pytest.fixture
def network():
    return small_conv()


@pytest.fixture
def wanted(network):
    return Wanted(spec=network.spec, has_labels=True)


def view(wanted, **known):
    return resolve_teaching(replace(wanted, teaching=replace(wanted.teaching, **known)))


def test_without_anything_vouched_the_panel_says_what_to_do_and_teach_is_off(wanted):
    shown = view(wanted)
    assert "Paint over what is wrong" in shown.readiness
    assert not shown.can_teach
    assert shown.can_mark
    assert shown.line == "nothing corrected yet"


def test_what_is_vouched_for_stands_in_the_line_of_the_step(wanted):
    shown = view(wanted, corrected=1204, readiness=ENOUGH)
    assert shown.line == "1,204 px · 3 regions"
    assert view(wanted, corrected=1204).line == "1,204 px corrected"
    assert view(wanted, readiness=ENOUGH).line == "3 reviewed regions"
    assert shown.can_teach
    assert shown.readiness == ENOUGH.text


def test_a_single_spot_is_enough_to_teach_even_if_nothing_can_be_proven(wanted):
    shown = view(wanted, corrected=1, readiness=TOO_LITTLE)
    assert shown.can_teach
    assert not shown.is_ready


def test_a_model_that_cannot_be_taught_says_why(wanted):
    shown = view(wanted, readiness=ENOUGH, why_not="it reads volumes")
    assert not shown.can_teach
    assert shown.problem == "it reads volumes"


def test_a_second_window_can_only_look(wanted):
    shown = view(replace(wanted, work=Work(read_only=True)), readiness=ENOUGH)
    assert "Another window" in shown.problem
    assert not shown.can_mark
    assert not shown.can_teach
    assert not shown.can_use
    assert not shown.can_return


def test_time_left_follows_from_the_share_that_is_done(wanted):
    shown = view(wanted, phase=Phase.TEACHING, progress=0.25, seconds=20.0)
    assert shown.progress_text == "25 % · 60 s left"
    assert shown.can_stop
    assert not shown.can_teach


def test_one_that_is_asked_to_stop_is_not_asked_again(wanted):
    shown = view(wanted, phase=Phase.TEACHING, progress=0.25, seconds=30.0, stopping=True)
    assert not shown.can_stop
    assert "comparing" in shown.progress_text


def test_steps_that_learnt_nothing_make_no_point():
    session = Session()
    session.learning.start()
    session.learning.advance(TeachReport(1, 1, 0.1, 1.0, math.nan))
    assert session.view.teach.points == ()
    session.learning.advance(TeachReport(2, 1, 0.2, 2.0, 0.5, held_out=confusion(9, 1)))
    (point,) = session.view.teach.points
    assert point.loss == 0.5
    assert point.dice == pytest.approx(confusion(9, 1).mean_dice)


def test_points_never_grow_beyond_what_can_be_seen_and_keep_every_dice():
    points = ()
    for number in range(2000):
        dice = 0.5 if number % 100 == 0 else None
        points = thinned((*points, Point(float(number), 1.0, dice)))
    assert len(points) <= 601
    assert points[-1].seconds == 1999
    assert sum(one.dice is not None for one in points) == 20


def test_a_verdict_becomes_figures_of_each_class(network):
    session = Session()
    session.learning.start()
    session.learning.decide(verdict(network, confusion(6, 4), confusion(9, 1)))
    finding = session.view.teach.finding
    assert finding.outcome == "better"
    assert [row.name for row in finding.classes] == [one.name for one in default_classes(3)]
    assert finding.classes[1].dice == pytest.approx((6 / 14, 9 / 11))
    assert "better" in session.view.teach.line
    session.learning.end()
    assert session.view.teach.finding is None


def test_one_that_was_ended_early_says_so(network):
    session = Session()
    session.learning.start()
    session.learning.stop()
    session.learning.decide(verdict(network, None, None, "mark two regions as reviewed"))
    finding = session.view.teach.finding
    assert finding.early
    assert finding.outcome == "not proven"
    assert finding.classes == ()


def test_equal_states_give_equal_views(wanted):
    assert view(wanted, readiness=ENOUGH) == view(wanted, readiness=ENOUGH)
