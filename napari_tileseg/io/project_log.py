"""Records that are only ever appended, so that no way of ending leaves them unreadable.

A record has a key and a content; of those with equal keys the last one counts. They lie in a
few files in the order of their numbers. A record that was torn when the program ended is cut
off; one that is damaged is passed over, and the one before it with the same key counts again.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from contextlib import suppress
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

Key = tuple[int, int]
"""A sheet, and the number of a chunk on it."""

_MAGIC = b"TSc1"
_HEAD = struct.Struct("<4sIQII")  # magic, sheet, chunk, length of the content, its checksum
_CHECK = struct.Struct("<I")  # the checksum of the head itself
_SIZE = _HEAD.size + _CHECK.size
_FILE_BYTES = 32 * 2**20
_SPARE_BYTES = 16 * 2**20
"""So much that does not count any more is put up with."""
_SUFFIX = ".chunks"


class _Place(NamedTuple):
    file: int
    start: int
    length: int
    checksum: int


class Log:
    """All records in a folder.

    Parameters
    ----------
    folder
        Where the files lie; it exists.
    writable
        Whether records are appended; only one at a time may do that.

    Attributes
    ----------
    damaged
        How many stretches of the files could not be read.

    Raises
    ------
    OSError
        If the files cannot be read or written; so from every method.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self._folder = folder
        self._writable = writable
        self._stream: FileIO | None = None
        self.damaged = 0
        self._places: dict[Key, _Place] = {}
        self._sizes: Counter[int] = Counter()
        self._needed: Counter[int] = Counter()
        for number in self._numbers():
            self._take_in(number)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._places))

    def keep_only(self, sheets: Collection[int]) -> None:
        """Let the records of all other sheets count no more."""
        for key in [key for key in self._places if key[0] not in sheets]:
            place = self._places.pop(key)
            self._needed[place.file] -= _SIZE + place.length

    def read(self, key: Key) -> bytes:
        """Return the newest content of a key that is whole; nothing if there is none."""
        place = self._places.get(key)
        if place is None:
            return b""
        content = self._content(place)
        if zlib.crc32(content) == place.checksum:
            return content
        self.damaged += 1
        return self._earlier(key)

    def append(self, records: Iterable[tuple[Key, bytes]]) -> None:
        """Write records, and wait until they would outlast a loss of power.

        With an error none of them counts.
        """
        self._append(records)
        self._clear_up()

    def _append(self, records: Iterable[tuple[Key, bytes]]) -> None:
        stream, number = self._open()
        start = end = stream.seek(0, os.SEEK_END)
        parts, places = [], []
        for key, content in records:
            parts += [_head(key, content), content]
            places.append((key, _Place(number, end + _SIZE, len(content), zlib.crc32(content))))
            end += _SIZE + len(content)
        try:
            _write(stream, b"".join(parts))
            os.fsync(stream.fileno())
        except OSError:
            with suppress(OSError):  # the reason is reported; what is torn is cut off later
                stream.truncate(start)
            self.close()
            raise
        for key, place in places:
            self._put(key, place)
        self._sizes[number] = end

    def is_there(self) -> bool:
        """Whether what is written to is still in the folder."""
        if self._stream is None:
            return self._folder.is_dir()
        here = os.fstat(self._stream.fileno())
        try:
            there = self._path(max(self._sizes)).stat()
        except OSError:
            return False
        return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)

    def close(self) -> None:
        """Let go of the files."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    # files

    def _numbers(self) -> list[int]:
        names = [path.stem for path in self._folder.glob(f"*{_SUFFIX}")]
        return sorted(int(name) for name in names if name.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}{_SUFFIX}"

    def _open(self) -> tuple[FileIO, int]:
        """Return the file to append to, another one if the last is long."""
        number = max(self._sizes, default=0)
        if not number or self._sizes[number] >= _FILE_BYTES:
            self.close()
            number += 1
            self._sizes[number] = 0
        if self._stream is None:
            self._stream = FileIO(self._path(number), "a+")
        return self._stream, number

    # reading

    def _take_in(self, number: int) -> None:
        """Note all records of a file; cut off its end if that is torn."""
        path = self._path(number)
        end = 0
        with path.open("rb") as stream:
            for key, place in _records(stream, number):
                self.damaged += place.start - _SIZE > end
                self._put(key, place)
                end = place.start + place.length
        if self._writable and end < path.stat().st_size:
            os.truncate(path, end)
        self._sizes[number] = end

    def _put(self, key: Key, place: _Place) -> None:
        before = self._places.get(key)
        if before is not None:
            self._needed[before.file] -= _SIZE + before.length
        self._places[key] = place
        self._needed[place.file] += _SIZE + place.length

    def _content(self, place: _Place) -> bytes:
        with self._path(place.file).open("rb") as stream:
            stream.seek(place.start)
            return stream.read(place.length)

    def _earlier(self, key: Key) -> bytes:
        found = b""
        for number in self._numbers():
            with self._path(number).open("rb") as stream:
                for other, place in _records(stream, number):
                    if other == key:
                        content = self._content(place)
                        found = content if zlib.crc32(content) == place.checksum else found
        return found

    # clearing up

    def _clear_up(self) -> None:
        """Move what still counts out of the file in which it is least, if much does not."""
        old = [number for number in self._sizes if number != max(self._sizes)]
        spare = sum(self._sizes[number] - self._needed[number] for number in old)
        if not old or spare < max(_SPARE_BYTES, sum(self._needed.values())):
            return
        number = min(old, key=lambda one: self._needed[one] / max(1, self._sizes[one]))
        moved = [(key, self.read(key)) for key, p in self._places.items() if p.file == number]
        self._append(moved)
        del self._sizes[number]
        with suppress(OSError):  # somebody reads it; what is in it counts no more
            self._path(number).unlink()


def _write(stream: FileIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[stream.write(left) :]


def _head(key: Key, content: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, *key, len(content), zlib.crc32(content))
    return head + _CHECK.pack(zlib.crc32(head))


def _records(stream: BinaryIO, number: int) -> Iterator[tuple[Key, _Place]]:
    """Yield the records of a file whose heads are whole, without reading their contents."""
    size = stream.seek(0, os.SEEK_END)
    at = 0
    while at + _SIZE <= size:
        stream.seek(at)
        found = _read_head(stream.read(_SIZE))
        if found is None or at + _SIZE + found[1] > size:
            at = _next_head(stream, at + 1, size)
            continue
        key, length, checksum = found
        yield key, _Place(number, at + _SIZE, length, checksum)
        at += _SIZE + length


def _read_head(content: bytes) -> tuple[Key, int, int] | None:
    head = content[: _HEAD.size]
    if head[:4] != _MAGIC or content[_HEAD.size :] != _CHECK.pack(zlib.crc32(head)):
        return None
    _, sheet, chunk, length, checksum = _HEAD.unpack(head)
    return (sheet, chunk), length, checksum


def _next_head(stream: BinaryIO, start: int, size: int) -> int:
    """Return where the next record may begin."""
    at = start
    while at < size:
        stream.seek(at)
        part = stream.read(1 << 16)
        found = part.find(_MAGIC)
        if found >= 0:
            return at + found
        at += max(1, len(part) - len(_MAGIC) + 1)
    return size
