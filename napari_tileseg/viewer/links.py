"""Which of the layers in a viewer show a result of which image; kept on the layers themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_tileseg.engine.spec import Task
from napari_tileseg.viewer.layers import SegmentationLabels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel

    from napari_tileseg.engine.network import Network

OURS = "napari-tileseg"
"""Marks a layer of ours in its metadata, so that it is not offered as an image."""


def class_names(network: Network) -> tuple[str, ...]:
    """Return what a model calls its classes, in its order."""
    return tuple(one.name for one in network.spec.classes)


def link(image: Image, network: Network, index: int | None = None) -> dict[str, Any]:
    """Return the metadata of a layer that shows a result of an image.

    Parameters
    ----------
    image
        The layer that was segmented.
    network
        What says which class a number is.
    index
        Which class the layer shows; None if it shows all.
    """
    return {
        "image": str(image.unique_id),
        "classes": class_names(network),
        "meanings": {},
        "multilabel": network.spec.task is Task.MULTILABEL,
        "index": index,
    }


def linked_labels(
    viewer: ViewerModel, image: Image, shape: Sequence[int]
) -> list[dict[int, SegmentationLabels]]:
    """Return the labels of an image, those of one model together, the topmost model first.

    A group has one layer, or one a class by its index; some of those may have been removed.
    """
    groups: dict[Any, dict[int, SegmentationLabels]] = {}
    for layer in viewer.layers:
        found = _link_of(layer, image)
        if isinstance(layer, SegmentationLabels) and found and layer.data.shape == tuple(shape):
            key = (found["multilabel"], tuple(found["classes"]))
            group = groups.pop(key, {})
            groups[key] = group | {found["index"] or 0: layer}
    return list(reversed(groups.values()))


def linked_probabilities(
    viewer: ViewerModel, image: Image, network: Network, shape: Sequence[int]
) -> Image | None:
    """Return the layer for the probabilities of an image, if there is one for these classes."""
    for layer in viewer.layers:
        found = _link_of(layer, image)
        same = found is not None and tuple(found["classes"]) == class_names(network)
        if isinstance(layer, Image) and same and layer.data.shape == tuple(shape):
            return layer
    return None


def _link_of(layer: Any, image: Image) -> dict[str, Any] | None:
    found = layer.metadata.get(OURS)
    if isinstance(found, dict) and found["image"] == str(image.unique_id):
        return found
    return None
