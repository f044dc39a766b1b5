import numpy as np
import pytest

from napari_tileseg.annotation.vouchings import Vouchings
from napari_tileseg.training.held_out import readiness, split

GAP = 40
SHAPE = (900, 900)
A, B, C = (
    (slice(0, 200), slice(0, 200)),
    (slice(0, 200), slice(600, 800)),
    (slice(600, 800), slice(300, 500)),
)
EVERYWHERE = (slice(0, 900), slice(0, 900))


def _vouchings(*reviewed: tuple[slice, slice], corrected: tuple[slice, slice] | None = None):
    seen = np.zeros(SHAPE, bool)
    for box in reviewed:
        seen[box] = True
    vouched = seen.copy()
    if corrected is not None:
        vouched[corrected] = True
    labels = (np.indices(SHAPE).sum(0) // 10 % 2).astype(np.uint8)
    return Vouchings.of(labels, vouched, seen)


@pytest.mark.parametrize("seed", range(4))
def test_a_whole_region_is_held_out_and_nothing_near_it_is_learnt_from(seed: int) -> None:
    near = (slice(0, 200), slice(200, 260))
    given = _vouchings(A, B, C, corrected=near)
    found = split([given], GAP, seed)
    train = found.train[0].labels(EVERYWHERE) != 255
    held = found.held_out[0].labels(EVERYWHERE) != 255
    assert found.regions == 3
    assert found.n_held_out == 1
    assert [bool(held[box].all()) for box in (A, B, C)].count(True) == 1
    assert held.sum() == 200 * 200
    grown = np.zeros(SHAPE, bool)
    rows, columns = (np.flatnonzero(held.any(axis)) for axis in (1, 0))
    top, left = max(rows[0] - GAP, 0), max(columns[0] - GAP, 0)
    grown[top : rows[-1] + GAP + 1, left : columns[-1] + GAP + 1] = True
    assert not (train & grown).any()
    vouched = given.labels(EVERYWHERE) != 255
    assert (train | ~vouched | grown).all()


def test_corrections_are_never_judged_by() -> None:
    given = _vouchings(A, B, corrected=(slice(300, 800), slice(0, 800)))
    found = split([given], GAP)
    held = found.held_out[0]
    labels = held.labels(EVERYWHERE) != 255
    assert labels.any()
    assert not (labels & ~given.reviewed(EVERYWHERE)).any()


def test_regions_of_other_images_count_too() -> None:
    found = split([_vouchings(A), _vouchings(B)], GAP)
    assert (found.regions, found.n_held_out) == (2, 1)
    assert sorted(one.count for one in found.held_out) == [0, 40_000]
    assert sorted(one.count for one in found.train) == [0, 40_000]


def test_of_a_single_long_region_a_third_is_held_out_beyond_a_gap() -> None:
    found = split([_vouchings((slice(0, 150), slice(100, 700)))], GAP)
    columns = [
        np.flatnonzero((one.labels(EVERYWHERE) != 255).any(0))
        for one in (found.train[0], found.held_out[0])
    ]
    assert found.n_held_out == 1
    assert columns[1].size == (600 - GAP) // 3
    between = max(columns[0][0], columns[1][0]) - min(columns[0][-1], columns[1][-1]) - 1
    assert between == GAP


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("objects_at", ["left", "right"])
def test_of_a_single_region_the_end_is_held_out_in_which_classes_meet(
    seed: int, objects_at: str
) -> None:
    given = (slice(0, 150), slice(100, 700))
    labels, seen = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool)
    seen[given] = True
    ends = {"left": slice(100, 250), "right": slice(550, 700)}
    labels[:80, ends[objects_at]] = 1
    found = split([Vouchings.of(labels, seen, seen)], GAP, seed)
    held = found.held_out[0].labels(EVERYWHERE)
    assert set(np.unique(held)) == {0, 1, 255}
    labels[:] = 0
    assert split([Vouchings.of(labels, seen, seen)], GAP, seed).missing == "review a second region"


def test_what_would_leave_nothing_to_learn_from_is_not_held_out() -> None:
    near = ((slice(0, 90), slice(0, 90)), (slice(0, 90), slice(140, 230)))
    given = _vouchings(*near)
    assert split([given], 10).n_held_out == 1
    found = split([given], 200)
    assert found.n_held_out == 0
    assert found.train[0].count == given.count
    assert "another region, 200 px or more away" in found.missing
    assert not readiness([given], 200).can_prove


def test_planes_beside_what_is_judged_by_are_not_learnt_from() -> None:
    shape = (12, 300, 300)
    labels = np.broadcast_to(np.indices(shape[1:]).sum(0) // 10 % 2, shape).astype(np.uint8)
    seen = np.zeros(shape, bool)
    seen[3:6, :100, :100] = True
    seen[9, :100, :100] = True
    everything = tuple(slice(0, size) for size in shape)
    for seed in range(6):
        found = split([Vouchings.of(labels, seen, seen)], GAP, seed)
        held = (found.held_out[0].labels(everything) != 255).any((1, 2))
        learnt = (found.train[0].labels(everything) != 255).any((1, 2))
        apart = np.abs(np.flatnonzero(held)[:, None] - np.flatnonzero(learnt)[None])
        assert apart.min() > 2


@pytest.mark.parametrize(
    ("boxes", "advice"),
    [
        ((), "mark two regions"),
        (((slice(0, 200), slice(0, 200)),), "second region"),
        (((slice(0, 20), slice(0, 20)), (slice(100, 120), slice(0, 20))), "64 × 64"),
        (((slice(0, 500), slice(0, 500)), (slice(600, 620), slice(0, 20))), "as large as"),
    ],
)
def test_where_there_is_too_little_everything_is_learnt_and_it_is_said_what_is_missing(
    boxes: tuple[tuple[slice, slice], ...], advice: str
) -> None:
    given = _vouchings(*boxes, corrected=(slice(850, 860), slice(850, 860)))
    found = split([given], GAP)
    assert found.n_held_out == 0
    assert found.held_out[0].count == 0
    assert found.train[0].count == given.count
    assert advice in found.missing
    state = readiness([given], GAP)
    assert (state.can_teach, state.can_prove) == (True, False)
    assert advice in state.text


def test_a_place_without_which_a_class_could_not_be_learnt_is_not_held_out() -> None:
    labels = (np.indices(SHAPE).sum(0) // 10 % 2).astype(np.uint8)
    labels[B] += 1  # class 2 is in B only
    seen = np.zeros(SHAPE, bool)
    for box in (A, B, C):
        seen[box] = True
    given = Vouchings.of(labels, seen, seen)
    for seed in range(8):
        held = split([given], GAP, seed).held_out[0].labels(EVERYWHERE)
        assert (held[B] == 255).all()


def test_nothing_to_learn_from_is_said() -> None:
    state = readiness([_vouchings()], GAP)
    assert not state.can_teach
    assert "no" in state.text


def test_what_can_be_proven_is_said_with_its_numbers() -> None:
    state = readiness([_vouchings(A, B, C)], GAP)
    assert (state.can_teach, state.can_prove, state.regions, state.held_out) == (True, True, 3, 1)
    assert state.text == "Enough to learn from: yes, 3 regions (1 held out)"


def test_what_a_model_has_learnt_from_is_not_judged_by() -> None:
    given = _vouchings(A, B, C)
    for seed in range(6):
        found = split([given], GAP, seed, [[A, (slice(150, 160), slice(790, 900))]])
        held = found.held_out[0].labels(EVERYWHERE)
        assert (held[C] != 255).all()
        assert (held[A] == 255).all()
        assert (held[B] == 255).all()
    found = split([given], GAP, 0, [[A, B, C]])
    assert found.n_held_out == 0
    assert found.train[0].count == given.count
    assert "has not learnt from" in found.missing
    assert not readiness([given], GAP, [[A, B, C]]).can_prove
    assert readiness([given], GAP, [[A, B]]).can_prove


def test_of_a_single_region_the_end_that_was_learnt_from_is_not_held_out() -> None:
    long = (slice(0, 150), slice(100, 700))
    for seed in range(4):
        found = split([_vouchings(long)], GAP, seed, [[(slice(0, 150), slice(300, 700))]])
        columns = np.flatnonzero((found.held_out[0].labels(EVERYWHERE) != 255).any(0))
        assert columns[0] == 100
    assert "has not learnt from" in split([_vouchings(long)], GAP, 0, [[long]]).missing
