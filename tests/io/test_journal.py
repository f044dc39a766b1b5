from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.io import durable
from napari_tileseg.io.durable import force_to_disk
from napari_tileseg.io.journal import Journal, checksum_of


def _read(path):
    journal = Journal(path, 100)
    journal.close()
    return journal


def _written(path):
    journal = Journal(path, 100)
    journal.add(3, 30)
    journal.add(1, 10)
    journal.mark([])
    journal.add(7, 70)
    journal.add(8, 80)
    journal.close()
    return path


def test_what_is_written_is_read(tmp_path):
    journal = _read(_written(tmp_path / "journal"))
    assert journal.safe == {1, 3}
    assert journal.unsafe == {7: 70, 8: 80}


@given(cut=st.integers(0, 80), garbage=st.binary(max_size=40) | st.just(bytes(4096)))
def test_whatever_the_end_of_it_is_only_whole_records_count(cut, garbage, tmp_path_factory):
    path = _written(tmp_path_factory.mktemp("journals") / "journal")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut] + garbage)
    journal = _read(path)
    found = [*sorted(journal.safe), *journal.unsafe]
    everything = [[], [3], [3, 1], [1, 3], [1, 3, 7], [1, 3, 7, 8]]
    assert found in everything
    assert len(found) >= 4 - -(-cut // 16)
    assert len(path.read_bytes()) % 16 == 0
    assert _read(path).unsafe == journal.unsafe


def test_what_follows_a_torn_record_is_read(tmp_path):
    path = _written(tmp_path / "journal")
    path.write_bytes(path.read_bytes()[:-5])
    journal = Journal(path, 100)
    journal.add(9, 90)
    journal.close()
    assert _read(path).unsafe == {7: 70, 9: 90}


def test_blocks_can_be_taken_back(tmp_path):
    journal = Journal(_written(tmp_path / "journal"), 100)
    journal.forget({7})
    journal.add(9, 90)
    journal.close()
    again = _read(tmp_path / "journal")
    assert again.safe == {1, 3}
    assert again.unsafe == {8: 80, 9: 90}


def test_a_checksum_knows_content_order_and_absence(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"one")
    assert checksum_of([first, second]) == checksum_of([first])
    second.write_bytes(b"two")
    both = checksum_of([first, second])
    assert both != checksum_of([first])
    assert both != checksum_of([second, first])
    second.write_bytes(bytes(3))
    assert both != checksum_of([first, second])


@pytest.mark.parametrize("few", [0, 100])
def test_files_are_forced_together_or_one_by_one(tmp_path, monkeypatch, few):
    monkeypatch.setattr(durable, "_FEW", few)
    (tmp_path / "there").write_bytes(b"here")
    force_to_disk([tmp_path / "there", tmp_path / "none", tmp_path / "no folder" / "none"])
    assert (tmp_path / "there").read_bytes() == b"here"
