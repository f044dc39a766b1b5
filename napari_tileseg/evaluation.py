"""Evaluate a model on folders or arrays: where files (`io`) and figures (`training`) meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.io.folders import labelled_images
from napari_tileseg.training.evaluate import Evaluation, compare
from napari_tileseg.training.samples import check_foreground

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_tileseg.engine.network import Network
    from napari_tileseg.io.pairs import LabelledImage
    from napari_tileseg.training.metrics import Confusion


def evaluate(
    model: Network,
    images: str | Path | Sequence[Any],
    masks: str | Path | Sequence[Any],
    *,
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
        If files do not pair up, or an image or mask does not fit the model.
    """
    check_masks(model, images, masks)
    pairs = labelled_images(images, masks)
    found = tuple(stream_evaluation(model, pairs, axes=axes, **options))
    return Evaluation(tuple(one.name for one in model.classes), found)


def check_masks(
    model: Network, images: str | Path | Sequence[Any], masks: str | Path | Sequence[Any]
) -> None:
    """See before any work that masks do not say 255 where they mean foreground.

    Raises
    ------
    ModelFitError, ImageError
        If they do; or if files do not pair up.
    """
    if len(model.classes) == 2:  # reading all masks would be for nothing otherwise
        check_foreground((one.mask for one in labelled_images(images, masks)), 2)


def stream_evaluation(
    model: Network, images: Iterable[LabelledImage], *, axes: str | None = None, **options: Any
) -> Iterator[tuple[str, Confusion]]:
    """Yield the name and the confusion matrix of one image after the other; see `evaluate`."""
    for image in images:
        letters = axes or image.axes
        found = compare(model, image.data, image.mask, axes=letters, name=image.name, **options)
        yield image.name, found
