"""The layers that show a run: labels (one layer a class if multilabel), probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from napari.layers import Image

from napari_tileseg.engine.spec import ClassInfo, Task
from napari_tileseg.errors import ImageError
from napari_tileseg.viewer.images import geometry
from napari_tileseg.viewer.layers import SegmentationLabels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.predict import Patch
    from napari_tileseg.session import Session


OURS = "napari-tileseg"
"""Marks a layer of ours in its metadata, so that it is not offered as an image."""


class Results:
    """The layers that belong to one image, written patch by patch.

    Attributes
    ----------
    layers
        One for all classes, or one a class for a multilabel model.
    made_by
        The network of the newest run.
    """

    def __init__(self, layers: list[SegmentationLabels], made_by: Network) -> None:
        self.layers = layers
        self.made_by = made_by
        self.probabilities: Image | None = None

    @property
    def multilabel(self) -> bool:
        """Whether every class has a layer of its own."""
        return self.made_by.spec.task is Task.MULTILABEL

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes as they are called on the layers."""
        if self.multilabel:
            return tuple(layer.classes[1] for layer in self.layers)
        return tuple(self.front.classes)

    @property
    def front(self) -> SegmentationLabels:
        """The layer that stands for all of them."""
        return self.layers[0]

    def fits(self, session: Session) -> bool:
        """Return whether another run can be written into the same layers."""
        assert session.source is not None
        assert session.network is not None
        multilabel = session.network.spec.task is Task.MULTILABEL
        count = len(session.classes) if multilabel else 1
        shape = tuple(session.source.label_shape)
        return (
            self.multilabel == multilabel
            and len(self.layers) == count
            and tuple(self.front.data.shape) == shape
        )

    def write(self, patch: Patch) -> None:
        """Show a patch; what a person painted stays."""
        if self.multilabel:
            for layer, labels in zip(self.layers, patch.labels, strict=True):
                layer.stream_block(patch.region, labels.astype(np.uint8))
        else:
            self.front.stream_block(patch.region, patch.labels)
        if self.probabilities is not None and patch.probabilities is not None:
            self.probabilities.data[(slice(None), *patch.region)] = patch.probabilities

    def prepare(self, session: Session) -> None:
        """Begin another run: old labels stay in sight until new ones replace them."""
        assert session.network is not None
        self.made_by = session.network
        self.show_classes(session.classes, session.hidden)
        for layer in self.layers:
            layer.reset_model()

    def settle(self) -> None:
        """Bring up to date what is too slow to show with every patch."""
        for layer in self.layers:
            layer.settle()
        if self.probabilities is not None:
            self.probabilities.refresh()

    def areas(self) -> tuple[list[int], int]:
        """Return the pixels of each class, and how many are computed."""
        counts = [layer.areas() for layer in self.layers]
        computed = int(counts[0][:-1].sum())
        if self.multilabel:
            return [int(one[1]) for one in counts], computed
        return [int(one) for one in counts[0][:-1]], computed

    def snapshot(self, classes: tuple[ClassInfo, ...]) -> Snapshot:
        """Copy the labels as they are now, for another thread to write."""
        labels = [layer.result() for layer in self.layers]
        if not self.multilabel:
            return Snapshot(labels[0], classes)
        return Snapshot(np.stack([one == 1 for one in labels]), classes)

    # classes

    def layer_of(self, index: int) -> SegmentationLabels:
        """Return the layer that shows a class."""
        return self.layers[index] if self.multilabel else self.front

    def take_brush(self, index: int) -> None:
        """Let the next stroke paint a class."""
        layer = self.layer_of(index)
        layer.selected_label = 1 if self.multilabel else index
        layer.mode = "paint"

    def show_classes(self, classes: tuple[ClassInfo, ...], hidden: frozenset[int]) -> None:
        """Name, colour and hide classes on the canvas."""
        if not self.multilabel:
            self.front.set_classes(classes)
            self.front.set_hidden(hidden)
            return
        for index, layer in enumerate(self.layers):
            layer.set_classes(_layer_classes(classes, index))
            layer.visible = index not in hidden


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Labels that nobody writes to: uint8, or (classes, ...) bool for a multilabel model."""

    labels: NDArray[Any]
    classes: tuple[ClassInfo, ...]


def make_results(viewer: ViewerModel, session: Session, image: Image) -> Results:
    """Add empty layers for a run to the viewer, exactly on top of the image.

    Raises
    ------
    ImageError
        If the labels would not fit into memory.
    """
    assert session.source is not None
    assert session.image is not None
    assert session.network is not None
    shape = tuple(session.source.label_shape)
    multilabel = session.network.spec.task is Task.MULTILABEL
    names = [one.name for one in session.classes] if multilabel else ["labels"]
    require_memory(prod(shape) * len(names), image.name)
    shared = geometry(image, session.image.channel_axis)
    layers = []
    for index, name in enumerate(names):
        layer = SegmentationLabels.empty(
            shape,
            classes=_layer_classes(session.classes, index if multilabel else None),
            name=f"{image.name} · {name}",
            **shared,
        )
        viewer.add_layer(layer)
        layers.append(layer)
    return Results(layers, session.network)


def _layer_classes(classes: tuple[ClassInfo, ...], index: int | None) -> tuple[ClassInfo, ...]:
    if index is None:
        return classes
    return (ClassInfo("background", "#000000"), classes[index])


def add_probabilities(viewer: ViewerModel, session: Session, image: Image) -> Image:
    """Add an empty image layer with one plane a class for the merged probabilities."""
    assert session.source is not None
    assert session.image is not None
    shape = (len(session.classes), *session.source.label_shape)
    require_memory(2 * prod(shape), image.name)
    shared = with_class_axis(geometry(image, session.image.channel_axis))
    layer = Image(
        np.zeros(shape, dtype=np.float16),
        name=f"{image.name} · probabilities",
        contrast_limits=(0, 1),
        colormap="viridis",
        visible=False,
        metadata={OURS: "probabilities"},
        **shared,
    )
    viewer.add_layer(layer)
    return layer


def with_class_axis(shared: dict[str, Any]) -> dict[str, Any]:
    """Put an axis for the classes in front of a geometry."""

    def framed(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        larger = np.eye(len(matrix) + 1)
        larger[1:, 1:] = matrix
        return larger

    return {
        "scale": np.r_[1, shared["scale"]],
        "translate": np.r_[0, shared["translate"]],
        "rotate": framed(shared["rotate"]),
        "shear": framed(shared["shear"]),
        "affine": framed(shared["affine"]),
        "units": ["pixel", *shared["units"]],
        "axis_labels": ["class", *shared["axis_labels"]],
    }


def require_memory(n_bytes: int, name: str) -> None:
    """Raise `ImageError` if an array of that size would push the computer into swapping."""
    available = psutil.virtual_memory().available
    if n_bytes > 0.8 * available:
        raise ImageError(
            f"The result for '{name}' needs {n_bytes / 1e9:.1f} GB of memory, "
            f"{available / 1e9:.1f} GB are free. Close other programs, or segment a smaller part "
            "(crop the layer first)."
        )
