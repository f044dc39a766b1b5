"""What is known about one chunk of labels, as bytes: what the model says, what a person says."""

from __future__ import annotations

import struct
import zlib
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_tileseg.annotation.model_sheet import Words
from napari_tileseg.annotation.sparse import chunk_edges
from napari_tileseg.annotation.values import NOT_COMPUTED
from napari_tileseg.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]
    Labels = npt.NDArray[np.uint8]

_FAST = 1
"""Labels shrink to a twentieth at the lowest level already; more costs time and hardly helps."""
_LENGTH = struct.Struct("<I")


class Planes(NamedTuple):
    """What was said about one chunk; None stands for a plane on which nothing was.

    Attributes
    ----------
    model
        uint8: the newest word of the model, 255 where there is none.
    person
        uint8: the labels of a person; they mean something where vouched for.
    corrected, reviewed
        bool: what the person painted, and what she declared right.
    """

    model: Labels | None = None
    person: Labels | None = None
    corrected: Mask | None = None
    reviewed: Mask | None = None

    @classmethod
    def of(cls, words: Words) -> Planes:
        """Leave out of what was said the planes on which nothing was."""
        corrected, reviewed = words.corrected.any(), words.reviewed.any()
        return cls(
            words.model if (words.model != NOT_COMPUTED).any() else None,
            words.person if corrected or reviewed else None,
            words.corrected if corrected else None,
            words.reviewed if reviewed else None,
        )

    def words(self, shape: Sequence[int]) -> Words:
        """Return all that was said about a chunk of a shape."""
        nowhere = np.zeros(shape, np.bool_)
        return Words(
            np.full(shape, NOT_COMPUTED, np.uint8) if self.model is None else self.model,
            np.zeros(shape, np.uint8) if self.person is None else self.person,
            nowhere if self.corrected is None else self.corrected,
            nowhere if self.reviewed is None else self.reviewed,
        )

    def to_bytes(self) -> bytes:
        """Return it compressed; nothing for a chunk about which nothing was said."""
        packed = [b"" if one is None else zlib.compress(_plain(one), _FAST) for one in self]
        if not any(packed):
            return b""
        return b"".join(_LENGTH.pack(len(one)) + one for one in packed)

    @classmethod
    def from_bytes(cls, content: bytes, shape: Sequence[int]) -> Planes:
        """Read what `to_bytes` wrote.

        Parameters
        ----------
        content
            The bytes.
        shape
            Of the chunk.

        Raises
        ------
        ProjectError
            If the bytes are something else.
        """
        if not content:
            return cls()
        try:
            model, person, corrected, reviewed = _split(content)
            return cls(
                _labels(model, shape),
                _labels(person, shape),
                _mask(corrected, shape),
                _mask(reviewed, shape),
            )
        except (ValueError, struct.error, zlib.error) as error:
            raise ProjectError("A part of the saved labels is damaged.") from error


def _plain(plane: Labels | Mask) -> bytes:
    return np.packbits(plane).tobytes() if plane.dtype == np.bool_ else plane.tobytes()


def _split(content: bytes) -> Iterator[bytes]:
    at = 0
    for _ in Planes._fields:
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        yield content[at : at + length]
        at += length


def _labels(packed: bytes, shape: Sequence[int]) -> Labels | None:
    if not packed:
        return None
    return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)


def _mask(packed: bytes, shape: Sequence[int]) -> Mask | None:
    if not packed:
        return None
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.unpackbits(bits, count=prod(shape)).astype(np.bool_).reshape(shape)


def chunk_grid(shape: Sequence[int]) -> tuple[int, ...]:
    """Return how many chunks labels of a shape have along each axis."""
    edges = chunk_edges(len(shape))
    return tuple(-(-n // edge) for n, edge in zip(shape, edges, strict=True))
