"""Limits on what a file may ask for, so that one made to harm costs neither time nor memory."""

from __future__ import annotations

import stat
import struct
import zipfile
from contextlib import contextmanager
from io import BufferedReader, FileIO
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from napari_tileseg.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

AGAIN = "Download or copy it again, and compare the sizes."
ANOTHER = "Choose another file, or another copy of it."
FROM_OTHERS = "Use another copy, from somebody you trust."
_SAVE_ALONE = (
    "Where it was trained, save the weights alone: torch.save(model.state_dict(), 'weights.pt')"
)

_MOST_TEXT = 4 << 20
"""Bytes of a description; real ones are a few thousand, names of tensors included."""

_MOST_OBJECTS = 3 << 20
"""Bytes of pickled objects beside the weights: those of Python are read slowly, one by one."""

_MOST_READS = 1_000_000
"""Instructions of such objects; some hundred are usual for each tensor at most."""

_MOST_NAMES = 8 << 20
"""Bytes of an archive's table of contents: a hundred thousand files."""

_MOST_TENSORS = 20_000
_SPARE_ELEMENTS = 30_000_000
"""Numbers that building a network may need besides its weights."""

_SPARE_TENSORS = 20_000
_SHOWN = 120


def check_file(path: Path) -> None:
    """Raise `CheckpointError` unless it is a plain file that is all there; `OSError` likewise."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(
            f"'{path.name}' is no file, but a device or a pipe. Choose a checkpoint file."
        )
    on_disk = getattr(found, "st_blocks", None)  # not on every system
    if on_disk is not None and found.st_size > _MOST_TEXT and on_disk * 512 < found.st_size // 4:
        raise CheckpointError(
            f"'{path.name}' has holes: most of its {found.st_size:,} bytes were never written, "
            f"as after an interrupted download. {AGAIN}"
        )


def check_text(path: Path) -> None:
    """Raise `CheckpointError` if a file of text is too long to be a description."""
    check_file(path)
    size = path.stat().st_size
    if size > _MOST_TEXT:
        raise CheckpointError(
            f"'{path.name}' in '{path.parent.name}' has {size:,} bytes; no description of a "
            f"network is that long. {FROM_OTHERS}"
        )


def check_header(path: Path) -> None:
    """Raise `CheckpointError` if the header of a .safetensors file cannot be one."""
    with path.open("rb") as stream:
        first = stream.read(8)
    length = int.from_bytes(first, "little")
    if len(first) < 8 or 8 + length > path.stat().st_size:
        raise CheckpointError(
            f"'{path.name}' is not complete: its end is missing, or it is damaged. {AGAIN}"
        )
    if length > _MOST_TEXT:
        raise CheckpointError(
            f"'{path.name}' begins with a description of {length:,} bytes; none is that long. "
            f"{FROM_OTHERS}"
        )


def check_count(path: Path, tensors: int) -> None:
    """Raise `CheckpointError` if there are more tensors than any network has."""
    if tensors > _MOST_TENSORS:
        raise CheckpointError(
            f"'{path.name}' holds {tensors:,} tensors; no network that can be used here has so "
            f"many. {FROM_OTHERS}"
        )


def contents(path: Path) -> list[zipfile.ZipInfo]:
    """Return the table of contents of a zip archive; whatever `zipfile` raises if it has none.

    Raises
    ------
    CheckpointError
        If it is too long to be read.
    """
    with path.open("rb") as stream:
        stream.seek(0, 2)
        size = stream.tell()
        stream.seek(max(0, size - 65_600))
        end = stream.read()
    if _table_bytes(end) > _MOST_NAMES:
        raise CheckpointError(
            f"'{path.name}' is a zip archive with a table of contents longer than that of any "
            f"checkpoint. {FROM_OTHERS}"
        )
    with zipfile.ZipFile(path) as archive:
        return archive.infolist()


def _table_bytes(end: bytes) -> int:
    """Return how long the table of contents says to be, from the end of an archive."""
    long = end.rfind(b"PK\x06\x06")
    if long >= 0 and len(end) >= long + 48:
        return int(struct.unpack_from("<Q", end, long + 40)[0])
    short = end.rfind(b"PK\x05\x06")
    if short >= 0 and len(end) >= short + 16:
        return int(struct.unpack_from("<I", end, short + 12)[0])
    return 0


def check_archive(path: Path, found: list[zipfile.ZipInfo]) -> None:
    """Raise `CheckpointError` if an archive of torch.save holds more than its own size.

    torch stores tensors as they are; one that is compressed was made by something else, and may
    unpack to any size.
    """
    room = path.stat().st_size
    too_much = sum(one.file_size for one in found) > room
    if too_much or any(one.compress_type != zipfile.ZIP_STORED for one in found):
        raise CheckpointError(
            f"'{path.name}' is a compressed archive, or one that unpacks to more than its size; "
            f"torch.save writes no such files. {FROM_OTHERS}"
        )
    objects = pickled_bytes(found)
    if objects > _MOST_OBJECTS:
        raise CheckpointError(
            f"'{path.name}' holds {objects:,} bytes of Python objects besides its tensors; reading "
            f"them would take too long. {_SAVE_ALONE}"
        )


def pickled_bytes(found: list[zipfile.ZipInfo]) -> int:
    """Return how long the pickled objects in an archive of torch.save are."""
    return sum(one.file_size for one in found if one.filename.endswith(".pkl"))


class PickleStream(BufferedReader):
    """A file of pickles without an archive around them, which stops after too many of them."""

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(path))
        self._path = path
        self._reads_left = _MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; raise `CheckpointError` if it went on for too long."""
        self._reads_left -= 1
        if self._reads_left < 0:
            raise CheckpointError(
                f"'{self._path.name}' holds so many Python objects besides its tensors that "
                f"reading them would take too long. {_SAVE_ALONE}"
            )
        return super().read(size)


def shown(text: object) -> str:
    """Return a name out of a file as it can stand in a message: printable, and not too long."""
    plain = "".join(one if one.isprintable() else "?" for one in str(text)[: _SHOWN + 1])
    return plain if len(plain) <= _SHOWN else plain[:_SHOWN] + "…"


@contextmanager
def no_more_than(path: Path, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Stop building a network that is much larger than the weights it is for.

    Parameters
    ----------
    path
        The file that describes the network.
    weights
        What it holds.

    Raises
    ------
    CheckpointError
        As soon as more memory is asked for.
    """
    elements = _stored(weights)
    room = [elements + _SPARE_ELEMENTS, 4 * len(weights) + _SPARE_TENSORS]

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            wanted = _elements(func, args, kwargs)
            if wanted:
                room[0] -= wanted
                room[1] -= 1
                if min(room) < 0:
                    raise CheckpointError(
                        f"'{path.name}' describes a network that is far larger than the "
                        f"{elements:,} weights it holds. {FROM_OTHERS}"
                    )
            return func(*args, **kwargs)

    with Watch():
        yield


def _stored(weights: Mapping[str, torch.Tensor]) -> int:
    """Count the numbers there really are: a tensor can claim to repeat a few without end."""
    found = {}
    for one in weights.values():
        if one.layout is torch.strided and one.device.type != "meta":
            storage = one.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes() // one.element_size()
    return sum(found.values())


def _elements(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return how many numbers a call makes room for; 0 if it does not make a tensor."""
    made = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full)
    if func not in made or str(kwargs.get("device")) == "meta":
        return 0
    size = kwargs.get("size", args)
    if len(size) and isinstance(size[0], (list, tuple)):
        size = size[0]
    count = 1
    for one in size:
        count *= one if isinstance(one, int) else 1
    return max(count, 1)
