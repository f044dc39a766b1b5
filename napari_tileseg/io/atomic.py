"""Files that are either written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_tileseg.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REFUSED = (errno.EACCES, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give an empty file in the folder of `path`, and rename it to `path` when all went well.

    Parameters
    ----------
    path
        The file to write; one that exists is replaced in one step, or stays as it is.

    Yields
    ------
    The file to write into; closed, empty, and gone again if anything fails.

    Raises
    ------
    OutputError
        If the folder is missing, read-only or full, or the file cannot be replaced.
    """
    if path.is_dir():
        raise OutputError(
            f"'{path}' is a folder, so no file can be written there. Choose a file name inside it."
        )
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb"):
            pass
        yield part
        _sync(part)
        os.replace(part, path)  # noqa: PTH105 - one step on every system, also over a file
    except OSError as error:
        raise OutputError(_sentence(path, error)) from error
    finally:
        _remove(part)


def _sync(path: Path) -> None:
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def _remove(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:  # the reason is being reported already, this would hide it
        return


def _sentence(path: Path, error: OSError) -> str:
    """Say what is, what to do, and what became of the file that was there."""
    try:
        there = path.exists()
    except OSError:
        there = False
    kept = "The existing file is untouched." if there else "Nothing was written."
    return f"'{path.name}' cannot be written: {_reason(path, error)} {kept}"


def _reason(path: Path, error: OSError) -> str:
    folder = path.parent
    if error.errno in _FULL:
        return f"the disk that holds {folder} is full. Free some room, or save elsewhere."
    if error.errno == errno.EROFS:
        return f"the folder {folder} is read-only. Choose another folder."
    if error.errno in _REFUSED:
        return (
            f"the folder {folder} or the file is protected, or the file is open in another "
            "program. Close it there, or choose another folder."
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not folder.is_dir():
        return f"there is no folder {folder}. Create it, or choose another one."
    if error.errno == errno.ENAMETOOLONG:
        return "the name is too long. Choose a shorter one."
    return f"{error.strerror or error} ({folder}). Choose another folder."
