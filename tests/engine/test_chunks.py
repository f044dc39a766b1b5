from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.engine.chunks import ChunkCache, chunk_edges
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.tiles import cut_image

PIXELS = np.arange(60 * 90, dtype=np.uint16).reshape(60, 90)


class Chunked:
    """An array that counts how often each pixel is read."""

    chunks = (16, 32)

    def __init__(self, pixels: np.ndarray = PIXELS) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype
        self.reads = np.zeros(pixels.shape, int)

    def __getitem__(self, key):
        self.reads[key] += 1
        return self.pixels[key]


def _cached(data=None, limit=2**20):
    data = Chunked() if data is None else data
    return ChunkCache(data, chunk_edges(data), limit)


@given(
    st.tuples(st.integers(0, 59), st.integers(1, 60)),
    st.tuples(st.integers(0, 89), st.integers(1, 90)),
    st.integers(1, 4000),
)
def test_any_region_is_what_the_array_holds(rows, columns, limit):
    region = tuple(slice(first, first + count) for first, count in (rows, columns))
    np.testing.assert_array_equal(_cached(limit=limit)[region], PIXELS[region])


def test_an_index_takes_its_axis_away():
    np.testing.assert_array_equal(_cached()[7, slice(3, 80)], PIXELS[7, 3:80])


def test_dask_arrays_of_uneven_chunks_are_read_as_they_lie():
    lazy = da.from_array(PIXELS, chunks=((7, 50, 3), (90,)))
    assert chunk_edges(lazy) == ((0, 7, 57, 60), (0, 90))
    np.testing.assert_array_equal(_cached(lazy)[5:58, 2:9], PIXELS[5:58, 2:9])


def test_arrays_without_chunks_are_not_copied():
    assert chunk_edges(PIXELS) is None
    source = Source(PIXELS)
    assert source.for_sweep((16, 16), 90) is source


@pytest.mark.parametrize("workers", [1, 4])
def test_a_sweep_decodes_every_chunk_once(workers):
    data = Chunked(np.arange(400 * 300, dtype=np.uint16).reshape(400, 300))
    source = Source(data).for_sweep((48, 48), 300)
    grid = cut_image(data.shape, (48, 48), (32, 32), stride=1, crop=False)
    tiles = list(grid)
    with ThreadPoolExecutor(workers) as threads:
        for first in range(0, len(tiles), workers):  # threads run ahead, but not far
            few = tiles[first : first + workers]
            list(threads.map(lambda tile: source.read((), tile.outer, [0]), few))
    assert data.reads.max() == 1


def test_memory_for_chunks_is_bounded_although_a_sweep_needs_more():
    data = Chunked()
    cached = _cached(data, limit=2 * 16 * 32 * 2)
    cached[:, :]
    cached[:, :]
    assert data.reads.min() == 2
    assert cached._bytes <= 2 * 16 * 32 * 2
