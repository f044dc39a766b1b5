"""Whether all one sees is final."""

import numpy as np

from napari_tileseg.viewer.coverage import Coverage


def _box(plane, row, column, size=10):
    return (slice(plane, plane + 1), slice(row, row + size), slice(column, column + size))


def test_nothing_is_covered_at_first_and_an_empty_region_never_is():
    seen = Coverage()
    assert not seen.covers(_box(0, 0, 0))
    seen.add(_box(0, 0, 0))
    assert seen.covers(_box(0, 0, 0))
    assert not seen.covers(_box(0, 3, 3, size=0))
    assert not seen.covers(_box(1, 0, 0))


def test_a_view_over_many_regions_is_covered_once_the_last_of_them_is_final():
    seen = Coverage()
    spots = [(row, column) for row in range(0, 100, 10) for column in range(0, 100, 10)]
    order = np.random.default_rng(0).permutation(len(spots))
    for index in order[:-1]:
        seen.add(_box(0, *spots[index]))
        assert not seen.covers((slice(0, 1), slice(0, 100), slice(0, 100)))
    missing = spots[order[-1]]
    assert not seen.covers(_box(0, *missing))
    seen.add(_box(0, *missing))
    assert seen.covers((slice(0, 1), slice(0, 100), slice(0, 100)))
    assert seen.covers((slice(0, 1), slice(5, 77), slice(33, 34)))
    assert not seen.covers((slice(0, 2), slice(0, 100), slice(0, 100)))
