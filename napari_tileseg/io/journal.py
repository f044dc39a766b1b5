"""What of a store is finished, written down so that no way of ending leaves it wrong.

A record names a block and the checksum of its files; it is appended after the files. A mark
says that all before it was forced onto the disk. Records after the last mark hold if the
program was killed; whether they hold after a loss of power is seen by their checksums.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from typing import TYPE_CHECKING

from napari_tileseg.io.durable import force_to_disk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

_RECORD = struct.Struct("<QI")  # a block, the checksum of its files
_CHECK = struct.Struct("<I")  # the checksum of the record itself
_LENGTH = _RECORD.size + _CHECK.size
_MARK = 2**64 - 1


class Journal:
    """The finished blocks of a store, by their numbers.

    Parameters
    ----------
    path
        The file; what a torn or damaged record leaves of it is cut off.
    n_blocks
        How many blocks there are.

    Attributes
    ----------
    safe
        The blocks before the last mark.
    unsafe
        The blocks after it, each with its checksum.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    """

    def __init__(self, path: Path, n_blocks: int) -> None:
        self._path = path
        self.safe: set[int] = set()
        self.unsafe: dict[int, int] = {}
        content = path.read_bytes() if path.exists() else b""
        whole = self._read(content, n_blocks)
        self._file = path.open("ab", buffering=0)
        if whole < len(content):
            self._file.truncate(whole)

    def _read(self, content: bytes, n_blocks: int) -> int:
        """Take in the records up to the first that is broken; return their length in bytes."""
        for start in range(0, len(content) - _LENGTH + 1, _LENGTH):
            record = content[start : start + _RECORD.size]
            number, checksum = _RECORD.unpack(record)
            known = number < n_blocks or number == _MARK
            if content[start + _RECORD.size : start + _LENGTH] != _checked(record) or not known:
                return start
            if number == _MARK:
                self.safe.update(self.unsafe)
                self.unsafe.clear()
            else:
                self.unsafe[number] = checksum
        return len(content) // _LENGTH * _LENGTH

    def add(self, number: int, checksum: int) -> None:
        """Write down that a block is finished."""
        self.unsafe[number] = checksum
        self._append(number, checksum)

    def mark(self, files: Iterable[Path]) -> None:
        """Force files and then the journal onto the disk, and say so in the journal."""
        force_to_disk(files)
        os.fsync(self._file.fileno())
        self._append(_MARK, 0)
        os.fsync(self._file.fileno())
        self.safe.update(self.unsafe)
        self.unsafe.clear()

    def forget(self, numbers: Collection[int]) -> None:
        """Take back blocks after the last mark."""
        kept = {number: sum_ for number, sum_ in self.unsafe.items() if number not in numbers}
        beside = self._path.with_name(f"{self._path.name}.part")
        safe = b"".join(_record(number, 0) for number in sorted(self.safe))
        unsafe = b"".join(_record(number, checksum) for number, checksum in kept.items())
        beside.write_bytes(safe + _record(_MARK, 0) + unsafe)
        force_to_disk([beside])
        self._file.close()
        os.replace(beside, self._path)  # noqa: PTH105 - one step on every system
        self._file = self._path.open("ab", buffering=0)
        self.unsafe = kept

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _append(self, number: int, checksum: int) -> None:
        if self._file.write(_record(number, checksum)) != _LENGTH:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _record(number: int, checksum: int) -> bytes:
    record = _RECORD.pack(number, checksum)
    return record + _checked(record)


def _checked(record: bytes) -> bytes:
    return _CHECK.pack(zlib.crc32(record))


def checksum_of(files: Iterable[Path]) -> int:
    """Return one checksum for the contents of files; one that is not there counts as empty."""
    checksum = 0
    for file in files:
        checksum = zlib.crc32(file.read_bytes() if file.exists() else b"", checksum)
    return checksum
