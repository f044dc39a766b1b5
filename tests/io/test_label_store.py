from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.engine.plan import make_plan
from napari_tileseg.engine.run import stream_plan
from napari_tileseg.engine.schedule import Focus
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import default_classes
from napari_tileseg.errors import OutputError
from napari_tileseg.io import sheets
from napari_tileseg.io.label_store import LabelStore
from napari_tileseg.io.labels import read_labels
from napari_tileseg.settings import RunSettings
from stubs import Ramp, network

FACTS = {"image": "a.tif", "model": "abc", "tile": 32}
MODEL = network(Ramp(3))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(sheets, "_CHUNK", {2: 20})


def _run(path, *, stop_after=None, resume=False, shape=(2, 90, 75), focus=None):
    """Segment into a store, perhaps only a part; return it closed, and the tiles computed."""
    source = Source(np.random.default_rng(0).integers(0, 3, shape).astype(np.float32))
    plan = make_plan(source, MODEL, RunSettings(device="cpu"))
    if resume:
        store = LabelStore.resume(path, FACTS)
    else:
        store = LabelStore.create(
            path, shape, spatial_dims=2, facts=FACTS, classes=MODEL.classes, pixel_size_um=0.5
        )
    with store:
        wanted, done = _fill(store, plan, source, stop_after, focus)
    return store, wanted, done


def _fill(store, plan, source, stop_after, focus):
    wanted, done = store.wanted(plan.grid), 0
    patches = stream_plan(
        plan,
        source,
        MODEL,
        wanted=lambda _: wanted,
        provisional=False,
        focus=focus and Focus(focus),
    )
    for patch in patches:
        if stop_after is not None and patch.tiles_done > stop_after:
            break
        store.write(patch.region, patch.labels)
        done = patch.tiles_done
    return wanted, done


def test_a_run_in_one_go_fills_the_store(tmp_path):
    store, _, _ = _run(tmp_path / "a.zarr")
    assert store.complete
    assert store.array[:].max() == 2


@settings(max_examples=12)
@given(
    stops=st.lists(st.integers(0, 20), max_size=4),
    focus=st.tuples(st.integers(0, 1), st.integers(0, 90), st.integers(0, 75)),
)
def test_interrupted_and_resumed_is_the_same_bits(stops, focus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    whole, _, _ = _run(folder / "whole.zarr")
    _run(folder / "parts.zarr", stop_after=0)
    for stop in stops:
        _run(folder / "parts.zarr", stop_after=stop, resume=True, focus=focus)
    parts, _, _ = _run(folder / "parts.zarr", resume=True, focus=focus)
    assert parts.complete
    np.testing.assert_array_equal(parts.array[:], whole.array[:])


def test_only_tiles_that_touch_an_undone_chunk_are_computed_again(tmp_path):
    _run(tmp_path / "a.zarr", stop_after=14)
    store, wanted, _ = _run(tmp_path / "a.zarr", stop_after=0, resume=True)
    assert 0 < wanted.sum() < wanted.size
    source = Source(np.zeros((2, 90, 75)))
    grid = make_plan(source, MODEL, RunSettings()).grid
    undone = np.kron(~store.done[0], np.ones((20, 20), bool))[:90, :75]
    for number, tile in enumerate(grid):
        assert wanted[0, number] == undone[tile.core].any()


def test_a_finished_store_leaves_nothing_to_do(tmp_path):
    _run(tmp_path / "a.zarr")
    _, wanted, done = _run(tmp_path / "a.zarr", resume=True)
    assert not wanted.any()
    assert done == 0


def _tear(path):
    """Cut the mark at the end of a journal off, and a piece of the record before it."""
    journal = path / ".chunks-done"
    journal.write_bytes(journal.read_bytes()[:-19])


def test_a_torn_journal_costs_one_chunk(tmp_path):
    store, _, _ = _run(tmp_path / "a.zarr")
    _tear(tmp_path / "a.zarr")
    with LabelStore.resume(tmp_path / "a.zarr", FACTS) as again:
        assert again.done.sum() == store.done.size - 1


def test_what_follows_a_torn_journal_is_read_aright(tmp_path):
    path = tmp_path / "a.zarr"
    _run(path, stop_after=14)
    _tear(path)
    part, _, _ = _run(path, stop_after=9, resume=True)
    assert not part.complete
    with LabelStore.resume(path, FACTS) as again:
        np.testing.assert_array_equal(again.done, part.done)
    whole, _, _ = _run(path, resume=True)
    straight, _, _ = _run(tmp_path / "b.zarr")
    assert whole.complete
    np.testing.assert_array_equal(whole.array[:], straight.array[:])


def test_a_second_run_cannot_write_to_the_same_store(tmp_path):
    path = tmp_path / "a.zarr"
    store, _, _ = _run(path, stop_after=3)
    with LabelStore.resume(path, FACTS):
        with pytest.raises(OutputError, match="Another run writes to"):
            LabelStore.resume(path, FACTS)
        assert read_labels(path).labels.shape == store.array.shape  # reading is free
    LabelStore.resume(path, FACTS).close()


def test_the_lock_ends_with_its_process_and_holds_between_processes(tmp_path):
    path = tmp_path / "a.zarr"
    _run(path, stop_after=3)
    code = (
        "import sys; from pathlib import Path; from napari_tileseg.io.locks import take_lock\n"
        "held = take_lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(OutputError, match="Another run writes to"):
            LabelStore.resume(path, FACTS)
        other.kill()
        other.wait()
    LabelStore.resume(path, FACTS).close()


def test_a_store_that_is_read_cannot_be_changed(tmp_path):
    _run(tmp_path / "a.zarr")
    labels = read_labels(tmp_path / "a.zarr").labels
    with pytest.raises(ValueError, match=r"read.only"):
        labels[0, 0, 0] = 1


def test_what_is_not_computed_reads_as_255(tmp_path):
    store, _, _ = _run(tmp_path / "a.zarr", stop_after=3)
    undone = np.kron(~store.done[0], np.ones((20, 20), bool))[:90, :75]
    assert (store.array[0][undone] == 255).all()
    assert (store.array[0][~undone] < 3).all()


def test_changed_settings_are_refused_with_the_difference(tmp_path):
    _run(tmp_path / "a.zarr", stop_after=1)
    with pytest.raises(OutputError, match="tile was 32, now 64"):
        LabelStore.resume(tmp_path / "a.zarr", {**FACTS, "tile": 64})


def test_an_existing_folder_is_never_overwritten(tmp_path):
    _run(tmp_path / "a.zarr")
    with pytest.raises(OutputError, match="--resume"):
        _run(tmp_path / "a.zarr")


def test_there_has_to_be_a_store_to_resume(tmp_path):
    with pytest.raises(OutputError, match="Leave out --resume"):
        LabelStore.resume(tmp_path / "none.zarr", FACTS)
    (tmp_path / "other").mkdir()
    with pytest.raises(OutputError, match="no store of labels"):
        LabelStore.resume(tmp_path / "other", FACTS)


def test_a_store_is_read_like_any_labels(tmp_path):
    store, _, _ = _run(tmp_path / "a.zarr")
    found = read_labels(tmp_path / "a.zarr")
    np.testing.assert_array_equal(found.labels[:], store.array[:])
    assert found.classes == default_classes(3)
    assert found.pixel_size_um == 0.5
