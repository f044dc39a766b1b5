"""The layers that show a run: labels (one layer a class if multilabel), probabilities."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.engine.spec import ClassInfo, Task
from napari_tileseg.viewer.images import geometry
from napari_tileseg.viewer.layers import SegmentationLabels
from napari_tileseg.viewer.links import (
    OURS,
    class_names,
    link,
    linked_labels,
)
from napari_tileseg.viewer.probabilities import require_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_tileseg.annotation.relabelling import Relabelling
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.predict import Patch
    from napari_tileseg.session import Session


class Results:
    """The layers that belong to one image, written patch by patch.

    Attributes
    ----------
    layers
        One for all classes, or one a class for a multilabel model.
    made_by
        The network of the newest run; None if that was before the dock was opened.
    probabilities
        The layer for the merged probabilities, if they were asked for.
    channels, channel_axis
        What the newest run read of the image, if there was one since the dock was opened; see
        `RunSettings` and `ImageFacts`.
    """

    def __init__(self, layers: list[SegmentationLabels], made_by: Network | None = None) -> None:
        self.layers = layers
        self.made_by = made_by
        self.probabilities: Image | None = None
        self.channels: tuple[int, ...] | None = None
        self.channel_axis: int | None = None

    @property
    def multilabel(self) -> bool:
        """Whether every class has a layer of its own."""
        return bool(self.front.metadata[OURS]["multilabel"])

    @property
    def is_vouched(self) -> bool:
        """Whether a person painted something that stands."""
        return any(layer.vouched.count for layer in self.layers)

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

    @property
    def is_whole(self) -> bool:
        """Whether no class has lost its layer."""
        known = self.front.metadata[OURS]
        return not self.multilabel or len(self.layers) == len(known["classes"])

    def means_the_same(self, network: Network) -> bool:
        """Return whether it is known which label each class of a network has here."""
        multilabel = network.spec.task is Task.MULTILABEL
        return multilabel == self.multilabel and self.meaning_for(network) is not None

    def meaning_for(self, network: Network) -> tuple[int, ...] | None:
        """Return the label of each class of a network, in its order; None if that is not known.

        It is the class's own number until a person merges or deletes classes.
        """
        names = class_names(network)
        known = self.front.metadata[OURS]
        if names in known["meanings"]:
            return tuple(known["meanings"][names])
        same = names == tuple(one.name for one in self.classes)
        return tuple(range(len(names))) if same or names == tuple(known["classes"]) else None

    @property
    def meaning(self) -> tuple[int, ...]:
        """The label of each class of the network of the newest run."""
        known = self.front.metadata[OURS]
        names = tuple(known["classes"])
        return tuple(known["meanings"].get(names, range(len(names))))

    def fits(self, network: Network, shape: tuple[int, ...]) -> bool:
        """Return whether a run can be written here without changing what a person said."""
        multilabel = network.spec.task is Task.MULTILABEL
        count = len(network.spec.classes) if multilabel else 1
        return (
            self.multilabel == multilabel
            and len(self.layers) == count
            and tuple(self.front.data.shape) == shape
            and (self.means_the_same(network) or not self.is_vouched)
        )

    def write(self, patch: Patch) -> None:
        """Show a patch; what a person painted stays."""
        if self.multilabel:
            for layer, labels in zip(self.layers, patch.labels, strict=True):
                layer.stream_block(patch.region, labels.astype(np.uint8))
        else:
            self.front.stream_block(patch.region, self._labels_of(patch.labels))
        if self.probabilities is not None and patch.probabilities is not None:
            self.probabilities.data[(slice(None), *patch.region)] = patch.probabilities

    def _labels_of(self, classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turn a network's class numbers into labels."""
        meaning = self.meaning
        if meaning == tuple(range(len(meaning))):
            return classes
        table = np.arange(256, dtype=np.uint8)
        table[: len(meaning)] = meaning
        return table[classes]

    def prepare(self, session: Session, image: Image) -> None:
        """Begin another run: old labels stay in sight until new ones replace them."""
        assert session.network is not None
        assert session.image is not None
        meaning = self.meaning_for(session.network)
        self.made_by = session.network
        self.channels = session.settings.channels
        self.channel_axis = session.image.channel_axis
        shared = geometry(image, session.image.channel_axis)
        for index, layer in enumerate(self.layers):
            of_class = index if self.multilabel else None
            known = link(image, session.network, of_class)
            if meaning is not None:
                known["meanings"] = {
                    **layer.metadata[OURS]["meanings"],
                    class_names(session.network): meaning,
                }
            layer.metadata = layer.metadata | {OURS: known}
            place(layer, shared)
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

    def vouched_areas(self) -> list[int]:
        """Return how many pixels of each class a person vouches for."""
        counts = [layer.vouched_areas() for layer in self.layers]
        return [int(one[1]) for one in counts] if self.multilabel else counts[0].tolist()

    # classes

    def layer_of(self, index: int) -> SegmentationLabels:
        """Return the layer that shows a class."""
        return self.layers[index] if self.multilabel else self.front

    def take_brush(self, index: int) -> None:
        """Let the next stroke paint a class."""
        layer = self.layer_of(index)
        layer.selected_label = 1 if self.multilabel else index
        layer.mode = "paint"

    @property
    def hidden(self) -> frozenset[int]:
        """The classes that are not drawn, as the layers have it."""
        if self.multilabel:
            return frozenset(i for i, layer in enumerate(self.layers) if not layer.visible)
        return self.front.hidden

    def show_class(self, index: int, shown: bool) -> None:
        """Draw a class or leave it out."""
        if self.multilabel:
            self.layers[index].visible = shown
        else:
            self.front.set_hidden(self.hidden - {index} if shown else self.hidden | {index})

    def show_classes(self, classes: tuple[ClassInfo, ...], hidden: frozenset[int]) -> None:
        """Name, colour and hide classes on the canvas."""
        if not self.multilabel:
            self.front.set_classes(classes)
            self.front.set_hidden(hidden)
            return
        for index, layer in enumerate(self.layers):
            layer.set_classes(_layer_classes(classes, index))
            layer.visible = index not in hidden

    def change_classes(
        self, classes: tuple[ClassInfo, ...], change: Relabelling | None = None
    ) -> None:
        """Have other classes from now on; runs of a network write what its classes became.

        Parameters
        ----------
        classes
            In the order of the labels.
        change
            What becomes of labels; None if each stays what it is, as with a new class at the end.
        """
        assert not self.multilabel, "each class of a multilabel model has a layer of its own"
        known = dict(self.front.metadata[OURS])
        meanings = {tuple(known["classes"]): self.meaning} | known["meanings"]
        if change is not None:
            meanings = {
                names: tuple(int(label) for label in change.table[list(meaning)])
                for names, meaning in meanings.items()
            }
        self.front.metadata = self.front.metadata | {OURS: known | {"meanings": meanings}}
        if change is None:
            self.front.set_classes(classes)
        else:
            self.front.relabel(change, classes)


def find_results(viewer: ViewerModel, image: Image, shape: Sequence[int]) -> list[Results]:
    """Return the results of an image that are in the viewer, of the topmost model first."""
    return [
        Results([group[index] for index in sorted(group)])
        for group in linked_labels(viewer, image, shape)
    ]


def make_results(viewer: ViewerModel, session: Session, image: Image, label: str) -> Results:
    """Add empty layers for a run to the viewer, exactly on top of the image.

    Layers of the same model that are still there are kept, and what is missing is added.

    Parameters
    ----------
    viewer, session
        Where, and for which image, model and classes.
    image
        The layer that is segmented.
    label
        What the layer is called after the name of the image; classes follow it.

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
    kept = _kept_layers(viewer, image, session.network, shape)
    names = [one.name for one in session.classes] if multilabel else ["labels"]
    require_memory(prod(shape) * (len(names) - len(kept)), image.name)
    shared = geometry(image, session.image.channel_axis)
    for index, name in enumerate(names):
        if index in kept:
            continue
        of_class = index if multilabel else None
        kept[index] = SegmentationLabels.empty(
            shape,
            classes=_layer_classes(session.classes, of_class),
            name=" · ".join(part for part in (image.name, label, name) if part),
            metadata={OURS: link(image, session.network, of_class)},
            **shared,
        )
        viewer.add_layer(kept[index])
    return Results([kept[index] for index in range(len(names))], session.network)


def _kept_layers(
    viewer: ViewerModel, image: Image, network: Network, shape: tuple[int, ...]
) -> dict[int, SegmentationLabels]:
    for group in linked_labels(viewer, image, shape):
        if Results(list(group.values())).means_the_same(network):
            return group
    return {}


def place(layer: Any, shared: dict[str, Any]) -> None:
    """Put a layer where an image is now."""
    for name, value in shared.items():
        setattr(layer, name, value)


def _layer_classes(classes: tuple[ClassInfo, ...], index: int | None) -> tuple[ClassInfo, ...]:
    if index is None:
        return classes
    return (ClassInfo("background", "#000000"), classes[index])
