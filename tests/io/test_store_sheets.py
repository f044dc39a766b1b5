"""What a store holds beside the labels, and what it keeps in memory."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.engine.spec import default_classes
from napari_tileseg.engine.tiles import cut_image
from napari_tileseg.errors import OutputError
from napari_tileseg.io import blocks, sheets
from napari_tileseg.io.blocks import touching
from napari_tileseg.io.label_store import LabelStore

SHAPE = (2, 90, 75)
FACTS = {"image": "a.tif", "tile": [32, 32], "norms": {"bn1": 0.5}}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(sheets, "_CHUNK", {2: 20})


@pytest.fixture(scope="module")
def sure():
    values = np.random.default_rng(0).random((3, *SHAPE), dtype=np.float32)
    return values / values.sum(axis=0)


def _regions(step=33):
    for plane in range(SHAPE[0]):
        for top in range(0, SHAPE[1], step):
            for left in range(0, SHAPE[2], step):
                rows = slice(top, min(top + step, SHAPE[1]))
                yield slice(plane, plane + 1), rows, slice(left, min(left + step, SHAPE[2]))


def _places(folder):
    return {"probabilities": folder / "p.zarr", "confidence": folder / "c.zarr"}


def _new(folder, **more):
    return LabelStore.create(
        folder / "a.zarr", SHAPE, spatial_dims=2, facts=FACTS, classes=default_classes(3), **more
    )


def _fill(store, sure, first=0, last=None):
    with store:
        for region in list(_regions())[first:last]:
            values = sure[(slice(None), *region)]
            store.write(region, values.argmax(axis=0).astype(np.uint8), values)
    return store


def _require_all(folder, sure):
    np.testing.assert_array_equal(zarr.open_array(folder / "a.zarr")[:], sure.argmax(axis=0))
    np.testing.assert_array_equal(zarr.open_array(folder / "p.zarr")[:], sure.astype(np.float16))
    expected = np.rint(sure.max(axis=0) * 255)
    np.testing.assert_array_equal(zarr.open_array(folder / "c.zarr")[:], expected)


@pytest.mark.parametrize("budget", [96 * 2**20, 5000])
def test_all_that_is_asked_for_is_written_whatever_the_budget(tmp_path, sure, budget, monkeypatch):
    monkeypatch.setattr(blocks, "_BEGUN_BYTES", budget)
    store = _fill(_new(tmp_path, **_places(tmp_path)), sure)
    assert store.complete
    _require_all(tmp_path, sure)
    np.testing.assert_array_equal(store.counts(3), np.bincount(sure.argmax(axis=0).ravel()))


def test_what_is_begun_stays_within_its_budget(tmp_path, sure, monkeypatch):
    monkeypatch.setattr(blocks, "_BEGUN_BYTES", 5000)
    store, most = _new(tmp_path, **_places(tmp_path)), 0
    for region in _regions():
        values = sure[(slice(None), *region)]
        store.write(region, values.argmax(axis=0).astype(np.uint8), values)
        most = max(most, sum(blocks._n_bytes(one) for one in store._blocks._begun.values()))
    store.close()
    assert 0 < most <= 5000


def test_no_more_blocks_of_labels_are_begun_than_a_sweep_needs(tmp_path, sure, monkeypatch):
    monkeypatch.setattr(blocks, "_BEGUN_BLOCKS", 3)
    store, most = _new(tmp_path), 0
    labels = sure.argmax(axis=0).astype(np.uint8)
    for region in _regions():
        store.write(region, labels[region])
        most = max(most, len(store._blocks._begun))
    store.close()
    assert most == 3
    assert store.complete
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr")[:], labels)


@settings(max_examples=10)
@given(stops=st.lists(st.integers(0, 17), max_size=3), budget=st.sampled_from([3000, 10**6]))
def test_interrupted_and_resumed_all_sheets_are_whole(stops, budget, sure, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_BEGUN_BYTES", budget)
        _fill(_new(folder, **_places(folder)), sure, last=0)
        for stop in stops:
            store = LabelStore.resume(folder / "a.zarr", FACTS, **_places(folder))
            _fill(store, sure, first=stop, last=stop + 6)
        again = _fill(LabelStore.resume(folder / "a.zarr", FACTS, **_places(folder)), sure)
    assert again.complete
    _require_all(folder, sure)
    np.testing.assert_array_equal(again.counts(3), np.bincount(sure.argmax(axis=0).ravel()))


@pytest.mark.parametrize("content", [b"", b"torn", bytes(500)])
@pytest.mark.parametrize("file", ["a.zarr/c/0/1/1", "p.zarr/c/2/0/1/1"])
def test_what_a_loss_of_power_leaves_torn_is_computed_again(
    tmp_path, sure, file, content, monkeypatch
):
    store = _new(tmp_path, **_places(tmp_path))
    monkeypatch.setattr(LabelStore, "_force", lambda self: None)
    _fill(store, sure)
    monkeypatch.undo()
    monkeypatch.setattr(sheets, "_CHUNK", {2: 20})
    (tmp_path / file).write_bytes(content)
    again = LabelStore.resume(tmp_path / "a.zarr", FACTS, **_places(tmp_path))
    undone = np.zeros((2, 5, 4), bool)
    undone[0, 1, 1] = True
    np.testing.assert_array_equal(again.done, ~undone)
    again.flush()
    again.close()  # what was taken back stays so, even after all was forced onto the disk
    last = LabelStore.resume(tmp_path / "a.zarr", FACTS, **_places(tmp_path))
    np.testing.assert_array_equal(last.done, ~undone)
    _fill(last, sure)
    _require_all(tmp_path, sure)


def test_one_thread_writes_while_another_asks(tmp_path, sure):
    store, seen = _new(tmp_path, **_places(tmp_path)), []
    writer = threading.Thread(target=_fill, args=(store, sure))
    writer.start()
    while writer.is_alive():
        seen.append((store.complete, int(store.done.sum())))
        store.wanted(cut_image(SHAPE[1:], (32, 32), (24, 24), stride=8, crop=True))
    writer.join()
    assert seen == sorted(seen)
    assert store.complete
    _require_all(tmp_path, sure)


def test_nothing_that_exists_is_replaced(tmp_path, sure):
    _fill(_new(tmp_path, probabilities=tmp_path / "p.zarr"), sure)
    with pytest.raises(OutputError, match=r"p\.zarr' exists.*--resume"):
        LabelStore.create(
            tmp_path / "b.zarr",
            SHAPE,
            spatial_dims=2,
            facts={},
            classes=default_classes(3),
            probabilities=tmp_path / "p.zarr",
        )
    assert not (tmp_path / "b.zarr").exists()


def test_probabilities_of_another_run_are_not_gone_on_with(tmp_path, sure):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _fill(_new(tmp_path / name, probabilities=tmp_path / name / "p.zarr"), sure, last=4)
    labels = tmp_path / "one" / "a.zarr"
    with pytest.raises(OutputError, match="does not hold the probabilities that belong to"):
        LabelStore.resume(labels, FACTS, probabilities=tmp_path / "two" / "p.zarr")
    with pytest.raises(OutputError, match="was begun with --probabilities"):
        LabelStore.resume(labels, FACTS)
    with pytest.raises(OutputError, match="was begun without --confidence"):
        LabelStore.resume(
            labels,
            FACTS,
            probabilities=tmp_path / "one" / "p.zarr",
            confidence=tmp_path / "c.zarr",
        )
    LabelStore.resume(labels, FACTS, probabilities=tmp_path / "one" / "p.zarr").close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({**FACTS, "tile": [64, 32]}, r"tile was \[32, 32\], now \[64, 32\]"),
        ({**FACTS, "norms": {"bn1": 0.25}}, r"norms: bn1 was 0\.5, now 0\.25"),
        ({**FACTS, "halo": 96}, "halo was not stored, now 96"),
        ({"image": "a.tif", "tile": [32, 32]}, "norms was {'bn1': 0.5}, now there is none"),
    ],
)
def test_every_difference_is_named(tmp_path, sure, changed, said):
    _fill(_new(tmp_path), sure, last=1)
    LabelStore.resume(tmp_path / "a.zarr", {**FACTS, "tile": (32, 32)}).close()
    with pytest.raises(OutputError, match=said):
        LabelStore.resume(tmp_path / "a.zarr", changed)


@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    sides=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    step=st.integers(1, 4),
    crop=st.booleans(),
    seed=st.integers(0, 99),
)
def test_tiles_that_touch_blocks_are_found(shape, sides, step, crop, seed):
    grid = cut_image(shape, (16, 16), (4 * step, 16), stride=4, crop=crop)
    n_blocks = [-(-n // side) for n, side in zip(shape, sides, strict=True)]
    wanted = np.random.default_rng(seed).random((3, *n_blocks)) < 0.2
    found = touching(wanted, (1, *sides), grid)
    pixels = wanted.repeat(sides[0], axis=1).repeat(sides[1], axis=2)
    for number, tile in enumerate(grid):
        np.testing.assert_array_equal(found[:, number], pixels[:, *tile.core].any(axis=(1, 2)))
