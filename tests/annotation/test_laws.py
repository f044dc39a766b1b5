"""The law of vouching: whatever happens in whatever order, a person's word stands."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from napari_tileseg.annotation.relabelling import Relabelling
from napari_tileseg.annotation.sheet import Sheet
from napari_tileseg.annotation.sparse import chunk_region
from napari_tileseg.annotation.values import NOT_COMPUTED

SHAPE = (2, 9, 270)
EVERYTHING = tuple(slice(0, size) for size in SHAPE)
N_CLASSES = 4


@st.composite
def regions(draw):
    axes = []
    for size in SHAPE:
        start = draw(st.integers(0, size - 1))
        axes.append(slice(start, draw(st.integers(start + 1, size))))
    return tuple(axes)


seeds = st.integers(0, 99)
classes = st.integers(0, N_CLASSES - 1)


def _mask(region, seed):
    shape = tuple(axis.stop - axis.start for axis in region)
    return np.random.default_rng(seed).random(shape) < 0.5


def _labels(region, seed):
    shape = tuple(axis.stop - axis.start for axis in region)
    return np.random.default_rng(seed).integers(0, N_CLASSES, shape).astype(np.uint8)


class Said:
    """What a person says, densely: the simplest way to say what is right."""

    def __init__(self):
        self.corrected = np.zeros(SHAPE, bool)
        self.reviewed = np.zeros(SHAPE, bool)
        self.labels = np.zeros(SHAPE, np.uint8)

    @property
    def vouched(self):
        return self.corrected | self.reviewed

    def copy(self):
        twin = Said()
        twin.corrected, twin.reviewed = self.corrected.copy(), self.reviewed.copy()
        twin.labels = self.labels.copy()
        return twin

    def relabelled(self, change):
        twin = self.copy()
        forgotten = change.forgets[self.labels] & self.vouched
        twin.corrected &= ~forgotten
        twin.reviewed &= ~forgotten
        twin.labels = change.table[self.labels]
        return twin


class PersonAndModel(RuleBasedStateMachine):
    """A sheet beside dense arrays that say what it should be."""

    def __init__(self):
        super().__init__()
        self.sheet = Sheet(np.full(SHAPE, NOT_COMPUTED, np.uint8))
        self.model = self.sheet.shown.copy()
        self.computed = np.ones(SHAPE, bool)
        self.said = [Said()]
        self.undone = []
        self.strokes = []
        self.taken_back = []
        self.saved = None
        self.restored = False
        self.seen_by_disk = self._all_words()

    def _all_words(self):
        return [array.copy() for array in self.sheet.words(EVERYTHING)]

    @property
    def shown(self):
        return np.where(self.said[-1].vouched, self.said[-1].labels, self.model)

    def _do(self, stroke, change):
        if stroke is None:
            before, after = self.said[-1], self.said[-1].copy()
            change(after)
            np.testing.assert_array_equal(before.vouched, after.vouched)
            return
        self.said.append(self.said[-1].copy())
        change(self.said[-1])
        self.strokes.append(stroke)
        self.undone, self.taken_back = [], []
        self.sheet.apply(stroke)

    # a person

    @rule(region=regions(), seed=seeds, label=classes)
    def paint(self, region, seed, label):
        mask = _mask(region, seed)

        def change(said):
            said.corrected[region] |= mask
            said.labels[region][mask] = label

        self._do(self.sheet.painting(region, mask, label), change)

    @rule(region=regions(), seed=seeds)
    def paint_many_labels(self, region, seed):
        mask, values = _mask(region, seed), _labels(region, seed)

        def change(said):
            said.corrected[region] |= mask
            said.labels[region][mask] = values[mask]

        self._do(self.sheet.painting(region, mask, values), change)

    @rule(region=regions(), seed=st.none() | seeds)
    def review(self, region, seed):
        mask = None if seed is None else _mask(region, seed)
        shown = self.shown[region]
        right = (shown != NOT_COMPUTED) & (True if mask is None else mask)

        def change(said):
            said.reviewed[region] |= right
            said.labels[region][right] = shown[right]

        self._do(self.sheet.reviewing(region, mask), change)

    @rule(region=regions(), seed=seeds)
    def take_labels_as_reviewed(self, region, seed):
        labels = _labels(region, seed)
        labels[_mask(region, seed + 1)] = NOT_COMPUTED
        right = labels != NOT_COMPUTED

        def change(said):
            said.reviewed[region] |= right
            said.labels[region][right] = labels[right]

        self._do(self.sheet.reviewing(region, labels=labels), change)

    @rule(region=regions(), seed=st.none() | seeds)
    def take_back_the_review(self, region, seed):
        mask = None if seed is None else _mask(region, seed)

        def change(said):
            said.reviewed[region] &= False if mask is None else ~mask

        self._do(self.sheet.unreviewing(region, mask), change)

    @rule(region=regions())
    def release(self, region):
        def change(said):
            said.corrected[region] = said.reviewed[region] = False

        self._do(self.sheet.releasing(region), change)

    @rule()
    def undo(self):
        if self.strokes:
            self.taken_back.append(self.strokes.pop())
            self.undone.append(self.said.pop())
            self.sheet.apply(self.taken_back[-1].inverse())

    @rule()
    def redo(self):
        if self.taken_back:
            self.strokes.append(self.taken_back.pop())
            self.said.append(self.undone.pop())
            self.sheet.apply(self.strokes[-1])

    # a model

    @rule(region=regions(), seed=seeds)
    def stream(self, region, seed):
        block = _labels(region, seed)
        self.model[region] = block
        self.computed[region] = True
        self.sheet.write_model(region, block)

    @rule()
    def run_again(self):
        self.computed[...] = False
        self.sheet.restart()

    @rule(seed=seeds)
    def swap_the_model_and_predict_everything(self, seed):
        self.run_again()
        self.stream(EVERYTHING, seed)

    # classes

    @rule(label=st.integers(1, N_CLASSES - 1), into=classes, deletes=st.booleans())
    def take_a_class_away(self, label, into, deletes):
        if label == into:
            return
        change = Relabelling.deleting(label) if deletes else Relabelling.merging(label, into)
        self.model = change.table[self.model]
        self.said = [one.relabelled(change) for one in self.said]
        self.undone = [one.relabelled(change) for one in self.undone]
        self.strokes = [stroke.relabelled(change) for stroke in self.strokes]
        self.taken_back = [stroke.relabelled(change) for stroke in self.taken_back]
        self.sheet.relabel(change)
        self.saved = None

    # the disk

    @rule(region=regions())
    def save(self, region):
        said = self.said[-1].copy()
        self.saved = (region, self.sheet.words(region), said, self.model.copy())

    @precondition(lambda self: self.saved is not None)
    @rule()
    def restore(self):
        region, words, said, model = self.saved
        now = self.said[-1].copy()
        for name in ("corrected", "reviewed", "labels"):
            getattr(now, name)[region] = getattr(said, name)[region]
        self.said, self.undone, self.strokes, self.taken_back = [now], [], [], []
        self.model[region] = model[region]
        self.computed[region] = True
        self.sheet.restore(region, *words)
        self.restored = True

    @rule()
    def autosave(self):
        """Chunks that do not count as changed are as they were at the last autosave."""
        changed = self.sheet.take_changes()
        now = self._all_words()
        for before, after in zip(self.seen_by_disk, now, strict=True):
            for index in changed:
                region = chunk_region(index, SHAPE)
                before[region] = after[region]
            if not self.restored:  # a restore is no change: it comes from the disk
                np.testing.assert_array_equal(before, after)
        self.seen_by_disk, self.restored = now, False

    # what holds at any time

    @invariant()
    def shown_is_person_where_vouched_and_model_elsewhere(self):
        said = self.said[-1]
        np.testing.assert_array_equal(self.sheet.shown, self.shown)
        np.testing.assert_array_equal(self.sheet.model(EVERYTHING), self.model)
        np.testing.assert_array_equal(self.sheet.corrected.read(EVERYTHING), said.corrected)
        np.testing.assert_array_equal(self.sheet.reviewed.read(EVERYTHING), said.reviewed)
        np.testing.assert_array_equal(self.sheet.vouched.read(EVERYTHING), said.vouched)

    @invariant()
    def nobody_vouches_for_what_is_not_computed(self):
        assert not self.sheet.vouched_counts[NOT_COMPUTED]

    @invariant()
    def counts_are_those_of_a_full_pass(self):
        vouched = self.said[-1].vouched
        np.testing.assert_array_equal(
            self.sheet.counts, np.bincount(self.sheet.shown.ravel(), minlength=256)
        )
        np.testing.assert_array_equal(
            self.sheet.vouched_counts, np.bincount(self.sheet.shown[vouched], minlength=256)
        )
        assert self.sheet.vouched.count == vouched.sum()

    @invariant()
    def what_is_taught_is_what_the_person_says(self):
        said, frozen = self.said[-1], self.sheet.freeze()
        expected = np.where(said.vouched, said.labels, NOT_COMPUTED)
        np.testing.assert_array_equal(frozen.labels(EVERYTHING), expected)
        np.testing.assert_array_equal(frozen.reviewed(EVERYTHING), said.reviewed)

    @invariant()
    def result_is_what_this_run_and_the_person_said(self):
        known = self.said[-1].vouched | self.computed
        expected = np.where(known, self.sheet.shown, NOT_COMPUTED)
        np.testing.assert_array_equal(self.sheet.result(EVERYTHING), expected)


TestPersonAndModel = PersonAndModel.TestCase
