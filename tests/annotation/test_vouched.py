import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.annotation.vouched import VouchedPixels

SHAPE = (280, 30)


@st.composite
def regions(draw):
    axes = []
    for size in SHAPE:
        start = draw(st.integers(0, size))
        axes.append(slice(start, draw(st.integers(start, size))))
    return tuple(axes)


changes = st.lists(st.tuples(st.booleans(), regions(), st.none() | st.integers(0, 9)), max_size=8)


@given(changes, regions())
def test_vouched_pixels_are_those_marked_and_not_unmarked_since(steps, look):
    dense = np.zeros(SHAPE, bool)
    vouched = VouchedPixels(SHAPE)
    for marks, region, seed in steps:
        mask = None
        if seed is not None:
            mask = np.random.default_rng(seed).random(dense[region].shape) < 0.4
        (vouched.mark if marks else vouched.unmark)(region, mask)
        dense[region][... if mask is None else mask] = marks
        assert vouched.count == dense.sum()
    np.testing.assert_array_equal(vouched.read(look), dense[look])
    assert vouched.any(look) == dense[look].any()


def test_vouching_for_a_spot_of_an_enormous_image_costs_one_chunk():
    vouched = VouchedPixels((100_000, 100_000))
    vouched.mark((slice(50_000, 50_010), slice(7, 20)))
    assert vouched.count == 130
    assert vouched.nbytes <= 256**2


def test_a_large_reviewed_region_costs_only_its_border():
    vouched = VouchedPixels((100_000, 100_000))
    vouched.mark((slice(1_000, 9_000), slice(1_000, 9_000)))
    assert vouched.count == 8_000**2
    assert vouched.nbytes < vouched.count / 4
