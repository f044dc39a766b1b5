"""The laws of vouching: what is shown is where(vouched, person, model)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from napari_tileseg.annotation.sheet import Sheet
from napari_tileseg.annotation.values import NOT_COMPUTED
from napari_tileseg.engine import spec

SHAPE = (2, 9, 270)
EVERYTHING = tuple(slice(0, size) for size in SHAPE)


@st.composite
def regions(draw):
    axes = []
    for size in SHAPE:
        start = draw(st.integers(0, size - 1))
        axes.append(slice(start, draw(st.integers(start + 1, size))))
    return tuple(axes)


def _mask(region, seed):
    shape = tuple(axis.stop - axis.start for axis in region)
    return np.random.default_rng(seed).random(shape) < 0.5


def _labels(region, seed):
    shape = tuple(axis.stop - axis.start for axis in region)
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


def _empty():
    return Sheet(np.full(SHAPE, NOT_COMPUTED, np.uint8))


class PersonAndModel(RuleBasedStateMachine):
    """A sheet beside three dense arrays that say what it should be."""

    def __init__(self):
        super().__init__()
        self.sheet = _empty()
        self.model = self.sheet.shown.copy()
        self.computed = np.zeros(SHAPE, bool)
        self.person = [(np.zeros(SHAPE, bool), np.zeros(SHAPE, np.uint8))]
        self.undone = []
        self.strokes = []
        self.taken_back = []
        self.restarted = False

    def _do(self, stroke, change):
        if stroke is None:
            return
        vouched, labels = (part.copy() for part in self.person[-1])
        change(vouched, labels)
        self.person.append((vouched, labels))
        self.strokes.append(stroke)
        self.undone, self.taken_back = [], []
        self.sheet.apply(stroke)

    @rule(region=regions(), seed=st.integers(0, 99), label=st.integers(0, 3))
    def paint(self, region, seed, label):
        mask = _mask(region, seed)

        def change(vouched, labels):
            vouched[region] |= mask
            labels[region][mask] = label

        self._do(self.sheet.painting(region, mask, label), change)

    @rule(region=regions(), seed=st.integers(0, 99))
    def paint_many_labels(self, region, seed):
        mask, values = _mask(region, seed), _labels(region, seed)

        def change(vouched, labels):
            vouched[region] |= mask
            labels[region][mask] = values[mask]

        self._do(self.sheet.painting(region, mask, values), change)

    @rule(region=regions())
    def release(self, region):
        def change(vouched, labels):
            vouched[region] = False

        self._do(self.sheet.releasing(region), change)

    @rule()
    def undo(self):
        if self.strokes:
            stroke = self.strokes.pop()
            self.taken_back.append(stroke)
            self.undone.append(self.person.pop())
            self.sheet.apply(stroke.inverse())

    @rule()
    def redo(self):
        if self.taken_back:
            stroke = self.taken_back.pop()
            self.strokes.append(stroke)
            self.person.append(self.undone.pop())
            self.sheet.apply(stroke)

    @rule(region=regions(), seed=st.integers(0, 99))
    def stream(self, region, seed):
        block = _labels(region, seed)
        self.model[region] = block
        self.computed[region] = True
        self.sheet.write_model(region, block)

    @rule()
    def run_again(self):
        self.restarted = True
        self.computed[...] = False
        self.sheet.restart()

    @invariant()
    def shown_is_person_where_vouched_and_model_elsewhere(self):
        vouched, labels = self.person[-1]
        np.testing.assert_array_equal(self.sheet.vouched.read(EVERYTHING), vouched)
        np.testing.assert_array_equal(self.sheet.shown, np.where(vouched, labels, self.model))
        np.testing.assert_array_equal(self.sheet.model(EVERYTHING), self.model)

    @invariant()
    def counts_are_those_of_a_full_pass(self):
        expected = np.bincount(self.sheet.shown.ravel(), minlength=256)
        np.testing.assert_array_equal(self.sheet.counts, expected)

    @invariant()
    def result_is_what_this_run_and_the_person_said(self):
        vouched, _ = self.person[-1]
        known = vouched | self.computed | (not self.restarted)
        expected = np.where(known, self.sheet.shown, NOT_COMPUTED)
        np.testing.assert_array_equal(self.sheet.result(EVERYTHING), expected)


TestPersonAndModel = PersonAndModel.TestCase


@given(regions(), st.integers(0, 99), st.integers(0, 3))
def test_making_a_stroke_changes_nothing(region, seed, label):
    sheet = _empty()
    sheet.painting(region, _mask(region, seed), label)
    assert (sheet.shown == NOT_COMPUTED).all()
    assert sheet.vouched.count == 0


@given(regions(), regions(), st.integers(0, 99))
def test_a_stroke_and_its_inverse_leave_everything_as_it_was(first, second, seed):
    sheet = _empty()
    sheet.write_model(first, _labels(first, seed))
    earlier = sheet.painting(first, _mask(first, seed), 1)
    if earlier is not None:
        sheet.apply(earlier)
    shown, vouched = sheet.shown.copy(), sheet.vouched.read(EVERYTHING)
    stroke = sheet.painting(second, _mask(second, seed + 1), 2)
    if stroke is not None:
        sheet.apply(stroke)
        sheet.apply(stroke.inverse())
    np.testing.assert_array_equal(sheet.shown, shown)
    np.testing.assert_array_equal(sheet.vouched.read(EVERYTHING), vouched)


def test_undo_shows_the_newest_label_of_the_model_not_the_one_painted_over():
    sheet = _empty()
    sheet.write_model(EVERYTHING, np.full(SHAPE, 1, np.uint8))
    stroke = sheet.painting(EVERYTHING, np.ones(SHAPE, bool), 3)
    sheet.apply(stroke)
    sheet.write_model(EVERYTHING, np.full(SHAPE, 2, np.uint8))
    assert (sheet.shown == 3).all()
    sheet.apply(stroke.inverse())
    assert (sheet.shown == 2).all()


def test_painting_the_label_that_is_already_there_vouches_for_it():
    sheet = _empty()
    sheet.write_model(EVERYTHING, np.full(SHAPE, 1, np.uint8))
    sheet.apply(sheet.painting(EVERYTHING, np.ones(SHAPE, bool), 1))
    sheet.write_model(EVERYTHING, np.full(SHAPE, 2, np.uint8))
    assert (sheet.shown == 1).all()


def test_painting_again_what_is_vouched_for_is_no_stroke():
    sheet = _empty()
    mask = np.ones(SHAPE, bool)
    sheet.apply(sheet.painting(EVERYTHING, mask, 1))
    assert sheet.painting(EVERYTHING, mask, 1) is None


def test_a_block_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        _empty().write_model(EVERYTHING, np.zeros((1, 1, 1), np.uint8))


def test_the_label_for_not_computed_is_the_same_as_in_the_engine():
    assert spec.NOT_COMPUTED == NOT_COMPUTED
