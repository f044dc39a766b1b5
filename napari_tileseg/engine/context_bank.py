"""Tokens of all regions of a plane, in half precision; on disk if there are many."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch

from napari_tileseg.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

IN_MEMORY_BYTES = 64 * 2**20
"""Banks that take more are kept in a file: of images from about 11,000 x 11,000 px on."""

_ZEROS_BYTES = 2**22
"""A file is filled in pieces of this size."""

_LARGEST = float(np.finfo(np.float16).max)


def bank_bytes(shape: tuple[int, int], side: int, dim: int) -> int:
    """Return what a bank takes, in memory or on disk; for the parameters see `TokenBank`."""
    return prod(shape) * side**2 * dim * np.dtype(np.float16).itemsize


class TokenBank:
    """The tokens of a plane, region by region.

    Parameters
    ----------
    shape
        How many regions there are along each axis.
    side
        How many tokens a region has along each axis.
    dim
        How many numbers a token has.
    folder
        Where a file may be kept, if memory should not hold them all.

    Attributes
    ----------
    nbytes
        What it takes, in memory or on disk.
    """

    def __init__(self, shape: tuple[int, int], side: int, dim: int, folder: Path) -> None:
        self.shape = shape
        self._side = side
        self._full = (*shape, side**2, dim)
        self.nbytes = bank_bytes(shape, side, dim)
        self._device = torch.device("cpu")
        self._path: Path | None = None
        self._values: NDArray[np.float16] | None = None
        if self.nbytes <= IN_MEMORY_BYTES:
            self._values = np.zeros(self._full, np.float16)
        else:
            self._path = folder / f"{uuid.uuid4().hex}.tokens"
            with _room_explained(self.nbytes), self._path.open("wb") as file:
                _take_room(file, self.nbytes)

    def on(self, device: torch.device) -> TokenBank:
        """Hand tokens out on a device from now on; returns itself."""
        self._device = device
        return self

    def put(self, first: tuple[int, int], tokens: torch.Tensor) -> None:
        """Write tokens (1, rows, columns, tokens, dim) of regions from `first` on."""
        halved = tokens[0].float().clamp(-_LARGEST, _LARGEST).half().cpu().numpy()
        rows, columns = halved.shape[:2]
        with self._opened("r+") as values, _room_explained(self.nbytes):
            values[first[0] : first[0] + rows, first[1] : first[1] + columns] = halved

    def row(self, index: int) -> torch.Tensor:
        """Return one row of regions, (1, columns, tokens, dim) float32."""
        with self._opened("r") as values:
            return self._tensor(np.array(values[index])[None])

    def window(self, rows: range, columns: range) -> torch.Tensor:
        """Return tokens by their place, (1, dim, rows, columns) float32.

        Parameters
        ----------
        rows, columns
            In tokens from the corner of the image; beyond it the nearest one stands there.
        """
        places = [
            np.clip(wanted, 0, count * self._side - 1)
            for wanted, count in zip((rows, columns), self.shape, strict=True)
        ]
        regions, inside = zip(*(np.divmod(place, self._side) for place in places), strict=True)
        corner = [int(one[0]) for one in regions]
        with self._opened("r") as values:
            part = np.array(values[corner[0] : regions[0][-1] + 1, corner[1] : regions[1][-1] + 1])
        tokens = part[
            (regions[0] - corner[0])[:, None],
            (regions[1] - corner[1])[None],
            inside[0][:, None] * self._side + inside[1][None],
        ]
        return self._tensor(tokens).movedim(-1, 0)[None].contiguous()

    def close(self) -> None:
        """Forget everything."""
        self._values = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _tensor(self, values: NDArray[np.float16]) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device).float()

    @contextmanager
    def _opened(self, mode: Any) -> Iterator[NDArray[np.float16]]:
        if self._values is not None:
            yield self._values
            return
        assert self._path is not None
        # opened anew each time: what was looked at would else stay in memory
        yield np.memmap(self._path, np.float16, mode, shape=self._full)


def _take_room(file: BinaryIO, nbytes: int) -> None:
    """Make a file of zeros that has its room for sure: no later write to it can lack any."""
    for first in range(0, nbytes, _ZEROS_BYTES):
        file.write(bytes(min(_ZEROS_BYTES, nbytes - first)))


@contextmanager
def _room_explained(nbytes: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"What the network has to know about the whole image takes {nbytes / 1e9:.1f} GB in "
            f"the folder for temporary files, and cannot be written there ({error.strerror}). "
            "Make room, or let the variable TMPDIR name another folder."
        ) from error
