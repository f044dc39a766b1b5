import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.annotation.sparse import CHUNK_PX, SparseArray, bands, box_around, shape_of

SHAPE = (2, 300, 520)


@st.composite
def regions(draw, shape=SHAPE):
    axes = []
    for size in shape:
        start = draw(st.integers(0, size))
        axes.append(slice(start, draw(st.integers(start, size))))
    return tuple(axes)


writes = st.lists(st.tuples(regions(), st.integers(0, 255), st.integers(0, 3)), max_size=6)


@given(writes, regions())
def test_a_sparse_array_reads_like_a_dense_one(changes, look):
    dense = np.full(SHAPE, 9, np.uint8)
    sparse = SparseArray(SHAPE, np.uint8, fill=9)
    for region, value, seed in changes:
        where = np.random.default_rng(seed).random(dense[region].shape) < seed / 3
        sparse.write(region, value, where)
        dense[region][where] = value
    np.testing.assert_array_equal(sparse.read(look), dense[look])


def test_an_enormous_array_costs_what_was_touched():
    sparse = SparseArray((100_000, 100_000), np.uint8)
    assert sparse.nbytes == 0
    sparse.write((slice(5, 10), slice(99_990, 100_000)), 7)
    assert sparse.n_chunks == 1
    assert sparse.nbytes <= CHUNK_PX**2


def test_a_chunk_full_of_one_value_costs_nothing_and_can_still_be_written():
    sparse = SparseArray((CHUNK_PX, CHUNK_PX), np.uint8)
    everything = (slice(0, CHUNK_PX), slice(0, CHUNK_PX))
    sparse.write(everything, 3)
    assert sparse.nbytes == 0
    assert (sparse.read(everything) == 3).all()
    sparse.write((slice(0, 1), slice(0, 1)), 4)
    assert sparse.read(everything)[0, 0] == 4
    assert sparse.read(everything)[0, 1] == 3


def test_writing_the_fill_value_everywhere_gives_the_memory_back():
    sparse = SparseArray((CHUNK_PX, CHUNK_PX), np.uint8, fill=1)
    half = (slice(0, 100), slice(0, 100))
    sparse.write(half, 5)
    sparse.write(half, 1)
    assert sparse.n_chunks == 0
    assert not sparse.touched(half)


@pytest.mark.parametrize(
    "region", [(slice(0, 5),), (slice(0, 5), slice(-1, 2)), (slice(0, 5), slice(0, 11))]
)
def test_a_region_that_does_not_fit_is_refused(region):
    with pytest.raises(ValueError, match=r"axes|within"):
        SparseArray((5, 10), np.uint8).read(region)


def test_the_box_around_a_mask_is_tight_on_every_axis():
    mask = np.zeros((3, 8, 9), bool)
    mask[1, 2, 7] = mask[1, 5, 4] = True
    assert box_around(mask) == (slice(1, 2), slice(2, 6), slice(4, 8))


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
def test_bands_tile_a_region_exactly_in_both_coordinates(size, monkeypatch):
    monkeypatch.setattr("napari_tileseg.annotation.sparse.BAND_PX", size)
    region = (slice(1, 2), slice(3, 8), slice(4, 17))
    whole = np.zeros((3, 10, 20), int)
    inner = np.zeros(shape_of(region), int)
    for part, inside in bands(region):
        whole[part] += 1
        inner[inside] += 1
        assert whole[part].shape == inner[inside].shape
        assert inner[inside].size <= max(5, size)
    assert (inner == 1).all()
    assert (whole[region] == 1).all()
    assert whole.sum() == inner.size
