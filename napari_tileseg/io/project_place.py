"""Where the work on an image is kept, and how its image is known again."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from platformdirs import user_data_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SUFFIX = ".tileseg"
FACTS = "project.json"
LABELS = "labels"

_BLOCKS, _BLOCK_PX = 16, 32
_GOLDEN = 0.6180339887498949
"""Multiples of it, without their whole part, spread evenly however many there are."""


@dataclass(frozen=True)
class ImageIdentity:
    """What an image is known by.

    Attributes
    ----------
    name
        What a person calls it.
    shape
        Of the labels on it.
    path
        Its file or folder; "" if it has none on this computer.
    n_bytes, mtime_ns
        Size and time of the last change of the file; 0 without one.
    sample
        A digest of some of its pixels; "" for an image that has a file.
    part
        Which image in the file it is, where several layers come from one; "" for the only one.
    reader
        The napari plugin that has read it; "" if that is not known.
    """

    name: str
    shape: tuple[int, ...]
    path: str = ""
    n_bytes: int = 0
    mtime_ns: int = 0
    sample: str = ""
    part: str = ""
    reader: str = ""

    @classmethod
    def of_file(
        cls, path: Path, shape: Sequence[int], *, name: str, part: str = "", reader: str = ""
    ) -> Self:
        """Describe an image that has a file.

        Raises
        ------
        OSError
            If there is no such file.
        """
        stat = path.stat()
        n_bytes = 0 if path.is_dir() else stat.st_size
        return cls(
            name, tuple(shape), str(path.resolve()), n_bytes, stat.st_mtime_ns, "", part, reader
        )

    @classmethod
    def of_pixels(cls, data: Any, shape: Sequence[int], *, name: str) -> Self:
        """Describe an image that has none by what is in it; reads a few of its pixels."""
        return cls(name, tuple(shape), sample=sample_of(data))

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Read what `to_facts` returned."""
        return cls(**{**facts, "shape": tuple(facts["shape"])})

    def to_facts(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        return asdict(self) | {"shape": list(self.shape)}

    @property
    def beside(self) -> Path | None:
        """The project folder beside the image; None for an image without a file."""
        if not self.path:
            return None
        path = Path(self.path)
        part = f".{_plain(self.part)}" if self.part else ""
        return path.with_name(f"{path.name}{part}{SUFFIX}")

    @property
    def in_user_folder(self) -> Path:
        """The project folder in the user's data folder."""
        known = (self.path, self.n_bytes, self.mtime_ns, self.part) if self.path else self.sample
        key = hashlib.sha256(repr(known).encode()).hexdigest()[:16]
        name = f"{_plain(Path(self.path).name)[:80]}-" if self.path else ""
        return user_folder() / f"{name}{key}{SUFFIX}"

    def changed_since(self, before: ImageIdentity) -> bool:
        """Return whether the file is another one than it was, or has been written since."""
        here = (self.n_bytes, self.mtime_ns, self.sample)
        return here != (before.n_bytes, before.mtime_ns, before.sample)


def user_folder() -> Path:
    """Return where work is kept that cannot lie beside its image; TILESEG_DATA changes it."""
    chosen = os.environ.get("TILESEG_DATA")
    if chosen:
        return Path(chosen)
    return user_data_path("napari-tileseg", appauthor=False) / "projects"


def find_project(image: ImageIdentity) -> Path | None:
    """Return the folder with the newest work on an image, None if there is none."""
    places = [path for path in (image.beside, image.in_user_folder) if path is not None]
    return max(filter(is_project, places), key=saved_at, default=None)


def is_project(path: Path) -> bool:
    """Return whether a folder holds saved work, of whatever version."""
    try:
        return (path / FACTS).is_file()
    except OSError:
        return False


def saved_at(path: Path) -> float:
    """Return when something was saved in a project last, in seconds since 1970."""
    files = [path / FACTS, *(path / LABELS).glob("*.chunks")]
    return max(one.stat().st_mtime for one in files)


def free_name(path: Path) -> Path:
    """Return a path like this one at which there is nothing: a number comes before the suffix."""
    stem, number = path.name.removesuffix(SUFFIX), 2
    while path.exists():
        path = path.with_name(f"{stem}.{number}{SUFFIX}")
        number += 1
    return path


def sample_of(data: Any) -> str:
    """Return a digest of the shape, the type and 16 small blocks of any array-like.

    The blocks are spread over all axes, so that few chunks of a lazy array are read.
    """
    shape = tuple(int(n) for n in data.shape)
    digest = hashlib.sha256(repr((shape, str(data.dtype))).encode())
    for block in _blocks(shape):
        digest.update(np.ascontiguousarray(data[block]).tobytes())
    return digest.hexdigest()


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    for number in range(_BLOCKS):
        block = []
        for axis, n in enumerate(shape):
            side = min(n, _BLOCK_PX if axis >= len(shape) - 3 else 1)
            share = (number + 0.5) / _BLOCKS if axis % 2 else (number + axis + 0.5) * _GOLDEN % 1
            start = int(share * (n - side + 1))
            block.append(slice(start, start + side))
        yield tuple(block)


def _plain(name: str) -> str:
    """Keep of a name what every file system accepts."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "image"
