import errno
from pathlib import Path

import pytest

from napari_tileseg.errors import OutputError
from napari_tileseg.io.atomic import written_beside


def test_a_file_appears_whole_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    with written_beside(target) as part:
        part.write_bytes(b"new")
        assert not target.exists()
        assert part.parent == tmp_path
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_existing_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with written_beside(target) as part:
        part.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


def _fail_midway(target: Path, failure: BaseException) -> None:
    with written_beside(target) as part:
        part.write_bytes(b"half")
        raise failure


@pytest.mark.parametrize("failure", [KeyError("inner"), KeyboardInterrupt(), OutputError("said")])
def test_a_failure_leaves_what_was_there(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(type(failure)):
        _fail_midway(target, failure)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "is full. Free some room"),
        (errno.EROFS, "is read-only. Choose another folder"),
        (errno.EACCES, "protected, or the file is open in another program"),
        (errno.EPERM, "protected, or the file is open in another program"),
        (errno.ENAMETOOLONG, "name is too long. Choose a shorter one"),
        (errno.EIO, r"Input/output error .*Choose another folder"),
    ],
)
@pytest.mark.parametrize("existing", [True, False])
def test_what_the_system_refuses_is_said_in_plain_words(
    tmp_path: Path, number: int, said: str, existing: bool
) -> None:
    target = tmp_path / "out.bin"
    if existing:
        target.write_bytes(b"old")
    with pytest.raises(OutputError, match=said) as caught, written_beside(target):
        raise OSError(number, "Input/output error")
    kept = "The existing file is untouched." if existing else "Nothing was written."
    assert str(caught.value).endswith(kept)
    assert list(tmp_path.iterdir()) == ([target] if existing else [])


def test_a_missing_folder_and_a_folder_in_the_way_are_named(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"there is no folder .*nowhere\. Create it"),
        written_beside(tmp_path / "nowhere" / "out.bin"),
    ):
        pass
    with (
        pytest.raises(OutputError, match=r"is a folder.*Choose a file name"),
        written_beside(tmp_path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
