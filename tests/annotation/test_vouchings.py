import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.annotation.places import places
from napari_tileseg.annotation.sparse import SparseArray
from napari_tileseg.annotation.vouchings import Vouchings
from napari_tileseg.errors import ModelFitError


def _whole(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(0, size) for size in shape)


def _random(
    seed: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Vouchings]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, shape).astype(np.uint8)
    vouched = rng.random(shape) < 0.01
    reviewed = vouched & (rng.random(shape) < 0.5)
    return labels, vouched, reviewed, Vouchings.of(labels, vouched, reviewed)


@given(st.integers(0, 100), st.sampled_from([(300, 520), (2, 270, 40), (7, 5)]))
def test_it_holds_the_labels_that_are_vouched_for_and_no_other(
    seed: int, shape: tuple[int, ...]
) -> None:
    labels, vouched, reviewed, found = _random(seed, shape)
    everywhere = _whole(shape)
    assert np.array_equal(found.labels(everywhere), np.where(vouched, labels, 255))
    assert np.array_equal(found.reviewed(everywhere), reviewed)
    assert found.count == np.count_nonzero(vouched)
    assert found.highest == (labels[vouched].max() if vouched.any() else -1)


@given(st.integers(0, 100), st.sampled_from([(300, 520), (2, 270, 40)]))
def test_boxes_are_small_and_cover_each_vouched_pixel_once(
    seed: int, shape: tuple[int, ...]
) -> None:
    _, vouched, _, found = _random(seed, shape)
    covered = np.zeros(shape, int)
    for box in found.boxes():
        assert max(axis.stop - axis.start for axis in box) <= 256
        assert vouched[box].any()
        covered[box] += 1
    assert covered.max(initial=0) <= 1
    assert (covered[vouched] == 1).all()


def test_later_strokes_do_not_change_it() -> None:
    labels = SparseArray((600, 600), np.uint8)
    vouched = SparseArray((600, 600), np.bool_)
    box = (slice(250, 270), slice(10, 30))
    labels.write(box, 2)
    vouched.write(box, True)
    found = Vouchings.of(labels, vouched)
    labels.write(box, 1)
    vouched.write(_whole((600, 600)), True)
    assert found.count == 400
    assert (found.labels(box) == 2).all()


def test_labels_of_255_say_nothing() -> None:
    found = Vouchings.of(np.full((9, 9), 255, np.uint8), np.ones((9, 9), bool), np.ones((9, 9)))
    assert found.count == 0
    assert found.boxes() == found.reviewed_boxes() == []


def test_arrays_of_other_shapes_are_refused() -> None:
    with pytest.raises(ModelFitError, match="shape"):
        Vouchings.of(np.zeros((5, 6), np.uint8), np.ones((5, 5), bool))


def test_what_is_taken_out_is_gone_and_the_rest_stays() -> None:
    labels, vouched, reviewed, found = _random(3, (300, 300))
    out = (slice(-20, 150), slice(100, 900))
    left = found.without([out])
    vouched[:150, 100:] = False
    assert np.array_equal(left.labels(_whole((300, 300))), np.where(vouched, labels, 255))
    assert np.array_equal(left.reviewed(_whole((300, 300))), reviewed & vouched)


def test_it_is_judged_by_reviewed_pixels_only() -> None:
    labels, _, reviewed, found = _random(4, (300, 300))
    kept = found.judged_in([(slice(0, 300), slice(0, 100))])
    reviewed[:, 100:] = False
    assert np.array_equal(kept.labels(_whole((300, 300))), np.where(reviewed, labels, 255))


def _reviewed(shape: tuple[int, ...], *boxes: tuple[slice, ...]) -> Vouchings:
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[box] = True
    labels = np.indices(shape)[-1] % 2
    return Vouchings.of(labels.astype(np.uint8), mask, mask)


def test_places_are_regions_that_hang_together() -> None:
    found = places(
        _reviewed(
            (700, 700),
            (slice(0, 50), slice(0, 300)),
            (slice(50, 90), slice(250, 300)),  # hangs on to the first, over two chunks
            (slice(400, 500), slice(400, 500)),
        )
    )
    assert [place.pixels for place in found] == [50 * 300 + 40 * 50, 100 * 100]
    assert all(place.classes == {0, 1} for place in found)


def test_regions_on_two_planes_are_two_places() -> None:
    box = (slice(10, 60), slice(10, 60))
    found = places(_reviewed((3, 100, 100), (slice(0, 1), *box), (slice(1, 2), *box)))
    assert [place.pixels for place in found] == [2500, 2500]
    assert {place.boxes[0][0].start for place in found} == {0, 1}
