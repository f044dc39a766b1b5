"""The laws of vouching: what is shown is where(vouched, person, model)."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.annotation.relabelling import Relabelling
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


def _region(rows, columns=(0, 270)):
    return (slice(0, 1), slice(*rows), slice(*columns))


def _computed(label=1):
    sheet = _empty()
    sheet.write_model(EVERYTHING, np.full(SHAPE, label, np.uint8))
    return sheet


def test_what_is_reviewed_keeps_its_label_until_it_is_taken_back():
    sheet = _computed(1)
    sheet.apply(sheet.reviewing(_region((0, 4))))
    sheet.write_model(EVERYTHING, np.full(SHAPE, 2, np.uint8))
    assert (sheet.shown[_region((0, 4))] == 1).all()
    assert sheet.corrected.count == 0
    sheet.apply(sheet.unreviewing(EVERYTHING))
    assert (sheet.shown == 2).all()
    assert sheet.vouched.count == 0


def test_what_is_not_computed_cannot_be_declared_right():
    sheet = _empty()
    sheet.write_model(_region((0, 3)), np.ones((1, 3, 270)))
    sheet.apply(sheet.reviewing(EVERYTHING))
    assert sheet.reviewed.count == 3 * 270
    assert _empty().reviewing(EVERYTHING) is None


def test_a_correction_stays_when_the_region_around_it_is_not_reviewed_any_more():
    sheet = _computed(1)
    spot = _region((2, 3), (5, 9))
    sheet.apply(sheet.painting(spot, np.ones((1, 1, 4), bool), 3))
    sheet.apply(sheet.reviewing(EVERYTHING))
    sheet.apply(sheet.unreviewing(EVERYTHING))
    assert sheet.vouched.count == sheet.corrected.count == 4
    assert (sheet.shown[spot] == 3).all()


def test_painting_the_label_that_was_reviewed_outlives_the_review():
    sheet = _computed(1)
    sheet.apply(sheet.reviewing(EVERYTHING))
    sheet.apply(sheet.painting(_region((2, 3)), np.ones((1, 1, 270), bool), 1))
    sheet.apply(sheet.unreviewing(EVERYTHING))
    assert sheet.vouched.count == 270


def test_labels_from_elsewhere_can_be_declared_right_but_for_what_they_leave_open():
    sheet = _computed(1)
    labels = np.full(SHAPE, NOT_COMPUTED, np.uint8)
    labels[0, :2] = 3
    sheet.apply(sheet.reviewing(EVERYTHING, labels=labels))
    assert sheet.reviewed.count == 2 * 270
    assert (sheet.shown[0, :2] == 3).all()
    assert (sheet.shown[1] == 1).all()


def test_declaring_right_what_is_declared_right_is_no_stroke():
    sheet = _computed(1)
    sheet.apply(sheet.reviewing(_region((0, 5))))
    assert sheet.reviewing(_region((0, 5))) is None
    assert sheet.unreviewing(_region((6, 9))) is None


def test_only_what_was_written_counts_as_changed_and_only_once():
    sheet = Sheet.empty((2, 600, 600))
    assert sheet.take_changes() == frozenset()
    sheet.write_model((slice(0, 1), slice(0, 10), slice(250, 260)), np.ones((1, 10, 10)))
    assert sheet.take_changes() == {(0, 0, 0), (0, 0, 1)}
    spot = (slice(1, 2), slice(590, 600), slice(0, 10))
    stroke = sheet.painting(spot, np.ones((1, 10, 10), bool), 2)
    assert sheet.take_changes() == frozenset()
    sheet.apply(stroke)
    assert sheet.take_changes() == {(1, 2, 0)}
    sheet.apply(stroke.inverse())
    assert sheet.take_changes() == {(1, 2, 0)}
    sheet.restore(spot, *sheet.words(spot))
    assert sheet.take_changes() == frozenset()


def test_what_a_person_says_of_an_enormous_image_costs_what_was_touched():
    shown = np.zeros((100_000, 100_000), np.uint8)  # the memory of zeros is not taken yet
    counts = np.zeros(256, np.int64)
    counts[0] = shown.size
    tracemalloc.start()
    try:
        sheet = Sheet(shown, counts=counts)
        spot = (slice(70_000, 70_050), slice(99_000, 99_060))
        sheet.apply(sheet.painting(spot, np.ones((50, 60), bool), 3))
        sheet.apply(sheet.reviewing((slice(1_000, 2_000), slice(2_000, 3_000))))
        sheet.write_model(spot, np.ones((50, 60)))
        changes = sheet.take_changes()
        frozen = sheet.freeze()
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used < 8_000_000
    assert len(changes) < 40
    assert frozen.count == sheet.vouched.count == 50 * 60 + 1_000_000


def test_a_stroke_over_much_of_an_image_remembers_what_is_the_same_only_once():
    sheet = Sheet.empty((4096, 4096))
    region = (slice(0, 4096), slice(0, 4096))
    sheet.write_model(region, np.full((4096, 4096), 1, np.uint8))
    tracemalloc.start()
    try:
        stroke = sheet.reviewing(region)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 100_000
    sheet.apply(stroke)
    assert sheet.reviewed.count == 4096**2
    assert sheet.reviewed.nbytes == 0


@pytest.mark.parametrize("spoilt", range(4))
def test_words_of_another_shape_are_not_put_back(spoilt):
    words = list(_empty().words(EVERYTHING))
    words[spoilt] = words[spoilt][:1]
    with pytest.raises(ValueError, match="region"):
        _empty().restore(EVERYTHING, *words)


def test_counts_follow_what_somebody_else_wrote():
    sheet = _computed(1)
    sheet.apply(sheet.reviewing(_region((0, 2))))
    sheet.shown[0, 0] = 2
    sheet.recount()
    assert sheet.vouched_counts[:4].tolist() == [0, 270, 270, 0]
    assert sheet.counts.sum() == sheet.shown.size


def test_a_class_that_only_the_model_below_a_person_had_is_a_change_too():
    """The disk has to hear of it, or the model's old number comes back when she takes it back."""
    sheet = Sheet(np.zeros((20, 300), np.uint8))
    spot = (slice(3, 4), slice(260, 261))
    sheet.write_model(spot, [[3]])
    sheet.apply(sheet.painting(spot, np.ones((1, 1), bool), 1))
    sheet.take_changes()
    sheet.relabel(Relabelling.merging(3, 2))
    assert sheet.take_changes() == {(0, 1)}
    assert sheet.model(spot) == 2


@pytest.mark.parametrize("person_before", [False, True])
def test_many_pixels_at_once_are_as_if_one_by_one(person_before):
    """Regions in which every pixel changes are written in another way than a few pixels."""
    rng = np.random.default_rng(0)
    labels, region = rng.integers(0, 4, (300, 300)).astype(np.uint8), (slice(0, 300),) * 2
    whole, apart = Sheet(labels.copy()), Sheet(labels.copy())
    few = rng.random((300, 300)) < 0.3
    for sheet in (whole, apart):
        if person_before:
            sheet.apply(sheet.painting(region, few, 2))
    rows = [(slice(i, i + 1), slice(0, 300)) for i in range(300)]
    strokes = [whole.painting(region, np.ones((300, 300), bool), 5)]
    whole.apply(strokes[0])
    for row in rows:
        for half in (slice(0, 150), slice(150, 300)):
            mask = np.zeros((1, 300), bool)
            mask[:, half] = True
            stroke = apart.painting(row, mask, 5)
            strokes.append(stroke)
            apart.apply(stroke)
    for _ in range(2):
        for one, other in zip(whole.words(region), apart.words(region), strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(whole.vouched_counts, apart.vouched_counts)
        np.testing.assert_array_equal(whole.counts, apart.counts)
        assert whole.vouched.count == apart.vouched.count
        whole.apply(strokes[0].inverse())
        for stroke in strokes[1:]:
            apart.apply(stroke.inverse())


def test_nobody_vouches_any_more_for_what_was_painted_in_a_class_that_is_deleted():
    sheet = Sheet(np.zeros((20, 30), np.uint8))
    region = (slice(0, 5), slice(0, 10))
    sheet.apply(sheet.painting(region, np.ones((5, 10), bool), 2))
    sheet.relabel(Relabelling.deleting(2))
    assert not sheet.vouched.count
    assert not sheet.shown.any()
