"""What a person said about one image, frozen: what teaching and its proof read."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from napari_tileseg.annotation.sparse import (
    CHUNK_PX,
    Region,
    SparseArray,
    box_around,
    shape_of,
)
from napari_tileseg.annotation.values import NOT_COMPUTED
from napari_tileseg.errors import ModelFitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]
    Labels = npt.NDArray[np.uint8]


class Sliceable(Protocol):
    """An array of any kind: numpy, zarr, the labels of a layer."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __getitem__(self, key: Any) -> Any: ...


class Readable(Protocol):
    """A sparse array, or a set of pixels."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def read(self, region: Region) -> npt.NDArray[Any]: ...  # noqa: D102

    def written(self) -> list[Region]: ...  # noqa: D102


class Vouchings:
    """A frozen, sparse copy of a person's word on one image.

    Attributes
    ----------
    shape
        Of the labels: leading axes, then spatial ones.
    count
        How many pixels are vouched for.
    highest
        The highest label of them; -1 if there is none.
    """

    def __init__(self, labels: SparseArray, reviewed: SparseArray) -> None:
        self.shape = labels.shape
        self._labels, self._reviewed = labels, reviewed
        known = [(box, labels.read(box) != NOT_COMPUTED) for box in labels.written()]
        self._boxes = [tight(box, mask) for box, mask in known if mask.any()]
        self.count = sum(int(np.count_nonzero(mask)) for _, mask in known)
        highest = (int(labels.read(box)[mask].max()) for box, mask in known if mask.any())
        self.highest = max(highest, default=-1)

    @classmethod
    def of(
        cls,
        labels: Sliceable | Readable,
        vouched: Sliceable | Readable,
        reviewed: Sliceable | Readable | None = None,
    ) -> Self:
        """Copy what is vouched for out of arrays of equal shape, dense or sparse.

        Parameters
        ----------
        labels
            uint8 class indices; they are read where somebody vouched for them only. 255 means
            that nobody knows.
        vouched
            bool, whether a person vouches for the label of a pixel.
        reviewed
            bool, which of them lie in regions that a person declared right; None for none.

        Raises
        ------
        ModelFitError
            If the shapes differ.
        """
        shape = tuple(vouched.shape)
        for what, array in (("labels", labels), ("reviewed pixels", reviewed)):
            if array is not None and tuple(array.shape) != shape:
                raise ModelFitError(
                    f"The {what} are of shape {tuple(array.shape)}, but what is vouched for is of "
                    f"shape {shape}. They have to match pixel by pixel."
                )
        words = SparseArray(shape, np.uint8, fill=NOT_COMPUTED)
        right = SparseArray(shape, np.bool_)
        for box in _chunks(vouched):
            mask = np.asarray(_read(vouched, box), bool)
            if mask.any():
                words.write(box, _read(labels, box), mask)
                if reviewed is not None:
                    seen = np.asarray(_read(reviewed, box), bool)
                    right.write(box, seen & (words.read(box) != NOT_COMPUTED))
        return cls(words, right)

    def labels(self, region: Region) -> Labels:
        """Return the person's labels in `region`, uint8; 255 where she vouches for nothing."""
        return self._labels.read(region)

    def reviewed(self, region: Region) -> Mask:
        """Return which pixels of `region` lie in regions that are declared right, bool."""
        return self._reviewed.read(region)

    def boxes(self) -> list[Region]:
        """Return boxes of at most 256 px a side around all that is vouched for, in order."""
        return list(self._boxes)

    def reviewed_boxes(self) -> list[Region]:
        """Return boxes of at most 256 px a side around all that is reviewed, in order."""
        parts = ((box, self._reviewed.read(box)) for box in self._reviewed.written())
        return [tight(box, mask) for box, mask in parts if mask.any()]

    def without(self, regions: Iterable[Region]) -> Self:
        """Return a copy in which nothing is vouched for in `regions`, which may reach outside."""
        labels, reviewed = self._copy()
        for region in regions:
            inside = self._clipped(region)
            labels.write(inside, NOT_COMPUTED)
            reviewed.write(inside, False)
        return type(self)(labels, reviewed)

    def judged_in(self, regions: Iterable[Region]) -> Self:
        """Return a copy that holds what is reviewed in `regions` only."""
        labels = SparseArray(self.shape, np.uint8, fill=NOT_COMPUTED)
        reviewed = SparseArray(self.shape, np.bool_)
        for region in regions:
            inside = self._clipped(region)
            mask = self.reviewed(inside)
            labels.write(inside, self.labels(inside), mask)
            reviewed.write(inside, True, mask)
        return type(self)(labels, reviewed)

    def _copy(self) -> tuple[SparseArray, SparseArray]:
        labels = SparseArray(self.shape, np.uint8, fill=NOT_COMPUTED)
        reviewed = SparseArray(self.shape, np.bool_)
        for box in self._boxes:
            labels.write(box, self.labels(box))
            reviewed.write(box, self.reviewed(box))
        return labels, reviewed

    def _clipped(self, region: Region) -> Region:
        return tuple(
            slice(min(max(axis.start, 0), size), min(max(axis.stop, 0), size))
            for axis, size in zip(region, self.shape, strict=True)
        )


def _read(array: Sliceable | Readable, box: Region) -> npt.NDArray[Any]:
    read = getattr(array, "read", None)
    return np.asarray(array[box] if read is None else read(box))  # type: ignore[index]


def _chunks(array: Sliceable | Readable) -> Iterator[Region]:
    written = getattr(array, "written", None)
    if written is not None:
        yield from written()
        return
    shape = tuple(array.shape)
    edges = (1,) * (len(shape) - 2) + (CHUNK_PX,) * min(2, len(shape))
    starts = [range(0, size, edge) for size, edge in zip(shape, edges, strict=True)]
    for corner in product(*starts):
        yield tuple(
            slice(start, min(size, start + edge))
            for start, size, edge in zip(corner, shape, edges, strict=True)
        )


def tight(box: Region, mask: Mask) -> Region:
    """Return the smallest part of a box around where its mask is true (somewhere)."""
    assert mask.shape == shape_of(box)
    return tuple(
        slice(whole.start + part.start, whole.start + part.stop)
        for whole, part in zip(box, box_around(mask), strict=True)
    )
