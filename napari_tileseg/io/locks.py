"""One writer at a time: a lock of the operating system, which ends with whoever holds it."""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


def take_lock(path: Path) -> BinaryIO | None:
    """Lock a file, which is made if need be, until what is returned is closed.

    Parameters
    ----------
    path
        A file that serves as nothing else; it stays behind.

    Returns
    -------
    The open file; None if somebody else holds the lock, in this process or another. On a file
    system that knows no locks everybody gets one.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    stream = path.open("a+b")
    try:
        _lock(stream)
    except OSError as error:
        if error.errno in _HELD:
            stream.close()
            return None
    return stream


if sys.platform == "win32":
    import msvcrt

    def _lock(stream: BinaryIO) -> None:
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(stream: BinaryIO) -> None:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
