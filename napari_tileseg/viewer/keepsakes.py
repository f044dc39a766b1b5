"""What a model said about an image, kept so that it can be put back bit by bit."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.annotation.sparse import bands, shape_of
from napari_tileseg.viewer.exports import RUNS
from napari_tileseg.viewer.links import OURS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.viewer.layers import SegmentationLabels
    from napari_tileseg.viewer.results import Results

_METADATA = (OURS, RUNS)
"""What a layer says about the run that it shows."""


class Keepsake:
    """The words of a model on the layers of one image; those of a person are not in it.

    Parameters
    ----------
    results
        The layers, whose labels are copied.
    """

    def __init__(self, results: Results) -> None:
        self._layers = [_Kept(layer) for layer in results.layers]
        self._made_by = results.made_by

    def pack(self) -> None:
        """Take less memory from now on; may be called in any thread."""
        for kept in self._layers:
            kept.pack()

    def fits(self, results: Results) -> bool:
        """Return whether size and numbers of the layers are still those of the labels."""
        return len(results.layers) == len(self._layers) and all(
            kept.shape == layer.data.shape and kept.renumbered == layer.sheet.renumbered
            for kept, layer in zip(self._layers, results.layers, strict=True)
        )

    def put_back(self, results: Results) -> None:
        """Show the labels again; what a person vouched for stays as it is now."""
        for kept, layer in zip(self._layers, results.layers, strict=True):
            layer.reset_model()
            for region, labels in kept.parts():
                layer.stream_block(region, labels)
            layer.metadata = layer.metadata | kept.metadata_for(layer)
            layer.settle()
        results.made_by = self._made_by


class _Kept:
    """One layer: a copy at first, packed later."""

    def __init__(self, layer: SegmentationLabels) -> None:
        self.shape: tuple[int, ...] = layer.data.shape
        self.renumbered: int = layer.sheet.renumbered
        self.metadata: dict[str, Any] = {
            k: layer.metadata[k] for k in _METADATA if k in layer.metadata
        }
        self._labels: NDArray[np.uint8] | None = layer.data.copy()
        for box in layer.vouched.written():
            self._labels[box] = layer.model(box)
        self._packed: list[bytes] = []

    def metadata_for(self, layer: SegmentationLabels) -> dict[str, Any]:
        """Return what was said about the run; what classes mean may have become known since."""
        link = self.metadata[OURS]
        meanings = {**layer.metadata[OURS]["meanings"], **link["meanings"]}
        return {**self.metadata, OURS: {**link, "meanings": meanings}}

    @property
    def _everything(self) -> Region:
        return tuple(slice(0, size) for size in self.shape)

    def pack(self) -> None:
        labels = self._labels
        if labels is not None:
            whole = self._everything
            self._packed = [zlib.compress(labels[part].tobytes(), 1) for part, _ in bands(whole)]
            # last: whoever reads meanwhile finds either the copy or all that is packed
            self._labels = None

    def parts(self) -> Iterator[tuple[Region, NDArray[np.uint8]]]:
        labels = self._labels
        for index, (region, _) in enumerate(bands(self._everything)):
            if labels is not None:
                yield region, labels[region]
            else:
                flat = np.frombuffer(zlib.decompress(self._packed[index]), np.uint8)
                yield region, flat.reshape(shape_of(region))
