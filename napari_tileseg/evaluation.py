"""Evaluate a model on folders or arrays: where files (`io`) and figures (`training`) meet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.engine.source import Source
from napari_tileseg.io.folders import Folders, labelled_images
from napari_tileseg.io.layouts import Layout
from napari_tileseg.io.pairs import use_all
from napari_tileseg.training.evaluate import Evaluation, compare
from napari_tileseg.training.samples import check_foreground, check_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.io.layouts import Pair
    from napari_tileseg.io.pairs import LabelledImage
    from napari_tileseg.training.metrics import Confusion


def evaluate(
    model: Network,
    images: str | Path | Sequence[Any],
    masks: str | Path | Sequence[Any] | None = None,
    *,
    layout: str = "pairs",
    split: str = "val",
    colours: str | Path | None = None,
    axes: str | None = None,
    **options: Any,
) -> Evaluation:
    """Segment images as a real run does, and compare with masks.

    Parameters
    ----------
    model
        What `load_model` returns.
    images, masks
        Two folders, whose files are paired by name without suffix; or two sequences of
        arrays, paired by position. A mask holds class indices, and 255 where nobody knows:
        such pixels are left out.
    layout, split, colours
        How folders are laid out ("pairs", "voc", "cityscapes"), which part of them is read, and
        what the colours of masks mean; see `Folders`.
    axes
        A letter for each axis of the images, such as "CYX"; see `Source`. None takes what the
        files say, and guesses for arrays.
    **options
        The fields of `RunSettings`: tile, overlap, blend, mode, device, precision, ...

    Returns
    -------
    Evaluation
        `report.miou`, `report.to_json()`.

    Raises
    ------
    ModelFitError, ImageError
        If files do not pair up, or images or masks do not fit the model; all of them are named.
    """
    pairs: Iterable[LabelledImage]
    if isinstance(images, (str, Path)) and (masks is None or isinstance(masks, (str, Path))):
        folder = None if masks is None else Path(masks)
        folders = Folders(Path(images), folder, Layout(layout), split, colours)
        pairs = checked_folders(model, folders, axes)
    else:
        given = () if masks is None else masks
        check_foreground((one.mask for one in labelled_images(images, given)), len(model.classes))
        pairs = labelled_images(images, given)
    found = tuple(stream_evaluation(model, pairs, axes=axes, **options))
    return Evaluation(tuple(one.name for one in model.classes), found)


def checked_folders(model: Network, folders: Folders, axes: str | None = None) -> Folders:
    """See before any work that all images have masks that fit them and the model.

    Returns
    -------
    The folders, read with the label values of the model.

    Raises
    ------
    ModelFitError, ImageError
        If files do not pair up, or masks have another size, unknown classes, or say 255 where
        they mean foreground; all of them are named.
    """
    folders = folders.arranged([one.name for one in model.classes])

    def values(pair: Pair) -> NDArray[np.uint8]:
        with folders.open(pair) as one:
            source = Source(
                one.data,
                axes=axes or one.axes,
                spatial_dims=model.spec.spatial_dims,
                name=one.name,
            )
            check_mask(one.mask, source.label_shape, len(model.classes), one.name)
            return np.unique(one.mask)

    check_foreground(use_all(folders.paired.pairs, values), len(model.classes))
    return folders


def stream_evaluation(
    model: Network, images: Iterable[LabelledImage], *, axes: str | None = None, **options: Any
) -> Iterator[tuple[str, Confusion]]:
    """Yield the name and the confusion matrix of one image after the other; see `evaluate`."""
    for image in images:
        letters = axes or image.axes
        found = compare(model, image.data, image.mask, axes=letters, name=image.name, **options)
        yield image.name, found
