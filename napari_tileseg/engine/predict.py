"""The main job in one call: an image and a network in, labels out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.engine.network import Network
from napari_tileseg.engine.patches import Patch
from napari_tileseg.engine.plan import Plan, make_plan
from napari_tileseg.engine.regions import blank, tiles_for_masks
from napari_tileseg.engine.run import stream_plan
from napari_tileseg.engine.schedule import Focus
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import NOT_COMPUTED, Task
from napari_tileseg.errors import ModelFitError, SettingsError
from napari_tileseg.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_tileseg.engine.arrays import ArrayLike
    from napari_tileseg.engine.tiles import TileGrid

__all__ = [
    "Focus",
    "Patch",
    "empty_labels",
    "make_plan",
    "predict",
    "stream",
    "stream_plan",
]


def stream(
    image: ArrayLike,
    model: Network,
    *,
    axes: str | None = None,
    focus: Focus | tuple[float, ...] | None = None,
    mask: ArrayLike | None = None,
    **options: Any,
) -> Iterator[Patch]:
    """Segment an image and yield patches of labels as they are finished.

    Parameters
    ----------
    image
        Any array-like, or a list of them (a pyramid, the finest level first).
    model
        What `load_model` returns.
    axes
        A letter for each axis, such as "CYX"; see `Source`.
    focus
        Where to begin: a point in coordinates of the labels, or (y, x) alone for the first
        plane, or a `Focus` that may move.
    mask
        Where labels are wanted: bool in the shape of one plane of the labels or of all of
        them; may be coarser. Tiles that touch no wanted pixel are not computed, and pixels
        inside get the same labels as without a mask.
    **options
        The fields of `RunSettings`: tile, overlap, blend, mode, device, precision, ...

    Yields
    ------
    Patch
        `patch.region` (slices), `patch.labels`, `patch.final`.

    Raises
    ------
    TilesegError
        Of the kind that says what is wrong: image, model, settings or device.
    """
    source, plan = _planned(image, model, axes, options)
    return _patches(plan, source, model, mask, focus=_as_focus(focus, source))


def predict(
    image: ArrayLike,
    model: Network,
    *,
    axes: str | None = None,
    mask: ArrayLike | None = None,
    **options: Any,
) -> NDArray[Any]:
    """Segment an image of any size.

    Parameters
    ----------
    image, model, axes, mask, **options
        As in `stream`.

    Returns
    -------
    Class indices, uint8, in the shape of the image without its channels: (H, W), (T, H, W),
    ...; for a multilabel model (classes, H, W) bool. Outside of a mask 255, or False.

    Raises
    ------
    TilesegError
        Of the kind that says what is wrong: image, model, settings or device.
    """
    source, plan = _planned(image, model, axes, options)
    labels = empty_labels(source, model)
    for patch in _patches(plan, source, model, mask, provisional=False):
        where: tuple[Any, ...] = (..., *patch.region)
        labels[where] = patch.labels
    return labels


def _patches(
    plan: Plan, source: Source, model: Network, mask: ArrayLike | None, **more: Any
) -> Iterator[Patch]:
    if mask is None:
        yield from stream_plan(plan, source, model, **more)
        return
    if not hasattr(mask, "shape"):
        raise SettingsError(
            f"The mask is of type {type(mask).__name__}; an array of bool is needed, for instance "
            "numpy.asarray(mask)."
        )
    one_for_all = len(mask.shape) == len(source.spatial_shape)

    def wanted(grid: TileGrid) -> NDArray[np.bool_]:
        return tiles_for_masks(grid, plan.leading_shape, mask)

    for patch in stream_plan(plan, source, model, wanted=wanted, **more):
        plane = tuple(part.start for part in patch.region[: len(plan.leading_shape)])
        its_mask = mask if one_for_all else mask[plane]
        labels = blank(its_mask, source.spatial_shape, patch.region, patch.labels)
        yield replace(patch, labels=labels)


def empty_labels(source: Source, network: Network) -> NDArray[Any]:
    """Return an array for the labels of an image, in which nothing is computed yet."""
    if network.spec.task is Task.MULTILABEL:
        return np.zeros((len(network.classes), *source.label_shape), bool)
    return np.full(source.label_shape, NOT_COMPUTED, np.uint8)


def _as_focus(focus: Focus | tuple[float, ...] | None, source: Source) -> Focus | None:
    if focus is None or isinstance(focus, Focus):
        return focus
    point = tuple(float(one) for one in focus)
    if len(point) == len(source.spatial_shape):
        point = (0.0,) * len(source.leading_shape) + point
    if len(point) != len(source.label_shape):
        raise SettingsError(
            f"The focus has {len(point)} numbers; the labels have {len(source.label_shape)} axes "
            f"({', '.join(source.label_axes)}). Give one number for each."
        )
    return Focus(point)


def _planned(
    image: ArrayLike, model: Network, axes: str | None, options: dict[str, Any]
) -> tuple[Source, Plan]:
    if not isinstance(model, Network):
        raise ModelFitError(
            f"The model is of type {type(model).__name__}. Load one first: "
            "model = napari_tileseg.load_model('axon_myelin_sem')."
        )
    source = Source(image, axes=axes, spatial_dims=model.spec.spatial_dims)
    return source, make_plan(source, model, RunSettings().but(**options))
