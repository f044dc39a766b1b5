from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.engine.uniform import UniformTiles
from stubs import Counting, small_conv


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
    st.integers(1, 3),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.data(),
)
def test_a_single_other_pixel_anywhere_makes_a_tile_not_uniform(shape, channels, dtype, data):
    raw = np.empty((channels, *shape), dtype)
    raw[:] = np.arange(channels, dtype=dtype).reshape(-1, *(1,) * len(shape))
    assert UniformTiles.key(raw) is not None
    if raw[0].size > 1:
        raw.flat[data.draw(st.integers(0, raw.size - 1))] += 7
        assert UniformTiles.key(raw) is None


def test_value_shape_type_and_channel_tell_uniform_tiles_apart():
    tiles = [
        np.zeros((1, 8, 8), np.uint8),
        np.ones((1, 8, 8), np.uint8),
        np.zeros((1, 8, 4), np.uint8),
        np.zeros((1, 4, 8), np.uint8),
        np.zeros((1, 8, 8), np.int8),
        np.zeros((1, 8, 8), np.float32),
        np.zeros((2, 8, 8), np.uint8),
        np.stack([np.zeros((8, 8), np.uint8), np.ones((8, 8), np.uint8)]),
        np.stack([np.ones((8, 8), np.uint8), np.zeros((8, 8), np.uint8)]),
    ]
    keys = [UniformTiles.key(tile) for tile in tiles]
    assert None not in keys
    assert len(set(keys)) == len(tiles)
    assert UniformTiles.key(np.zeros((1, 16, 8), np.uint8)[:, ::2]) == keys[0]


def test_a_network_sees_each_value_once_and_the_answers_are_the_same_bits():
    inner = Counting(small_conv().module)
    known = UniformTiles()
    for value in (0, 255, 0, 0, 255):
        raw = np.full((1, 16, 16), value, np.uint8)
        key = known.key(raw)
        tiles = torch.from_numpy(raw.astype(np.float32))[None]
        with torch.inference_mode():
            anew = inner.inner(tiles)[0]
            if known.get(key) is None:
                known.put(key, inner(tiles)[0])
        torch.testing.assert_close(known.get(key), anew, rtol=0, atol=0)
    assert len(inner.shapes) == 2


def test_what_was_not_asked_for_the_longest_goes_first():
    known = UniformTiles(limit=2)
    for key in "ab":
        known.put(key, torch.zeros(1, 4))
    known.get("a")
    known.put("c", torch.zeros(1, 4))
    assert known.get("b") is None
    assert known.get("a") is not None
    assert known.get("c") is not None


def test_memory_stays_under_its_limit():
    known = UniformTiles(limit=100, limit_bytes=1000)
    for key in range(20):
        known.put(key, torch.zeros(100))
        assert known.nbytes <= 1000
    assert len(known) == 2
    known.put("too large", torch.zeros(1000))
    assert known.get("too large") is None
    assert len(known) == 2


def test_what_is_kept_is_a_copy_of_the_tile_alone():
    known = UniformTiles()
    batch = torch.zeros(8, 3, 4, 4)
    known.put("a", batch[2])
    batch += 1
    kept = known.get("a")
    assert (kept == 0).all()
    assert kept.untyped_storage().nbytes() == kept.nbytes


def test_tiles_that_are_not_uniform_are_never_kept():
    known = UniformTiles()
    known.put(None, torch.zeros(3, 4))
    assert len(known) == 0
    assert known.get(None) is None
