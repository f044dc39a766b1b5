"""How good a model is: what a real run gives, compared with masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.predict import predict
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import ModelFitError
from napari_tileseg.training.metrics import Confusion
from napari_tileseg.training.samples import check_mask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_tileseg.engine.arrays import ArrayLike
    from napari_tileseg.engine.network import Network


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a model's labels agree with masks.

    Attributes
    ----------
    classes
        The names of the classes, in the order of the label values.
    images
        The name of each image with its confusion matrix.
    """

    classes: tuple[str, ...]
    images: tuple[tuple[str, Confusion], ...]

    @property
    def pooled(self) -> Confusion:
        """The confusion matrix of all images together: each pixel counts the same."""
        total = Confusion(len(self.classes))
        for _, confusion in self.images:
            total += confusion
        return total

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur, background included; pooled over the images."""
        return self.pooled.miou

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; None where a class is in neither.

        "confusion" counts pixels: a row for each true class, a column for each that was found.
        """
        pooled = self.pooled
        figures = zip(self.classes, pooled.iou, pooled.dice, pooled.pixels, strict=True)
        return {
            "miou": _number(pooled.miou),
            "mean_dice": _number(pooled.mean_dice),
            "pixel_accuracy": _number(pooled.pixel_accuracy),
            "per_class": {
                name: {"iou": _number(iou), "dice": _number(dice), "pixels": int(pixels)}
                for name, iou, dice, pixels in figures
            },
            "images": [
                {"name": name, "miou": _number(confusion.miou)} for name, confusion in self.images
            ],
            "confusion": pooled.counts.tolist(),
        }


def compare(
    model: Network,
    image: ArrayLike,
    mask: NDArray[np.uint8],
    *,
    axes: str | None = None,
    name: str = "image",
    **options: Any,
) -> Confusion:
    """Segment one image as a real run does, and compare the labels with its mask.

    Parameters
    ----------
    model, image, axes, **options
        As in `predict`.
    mask
        Class indices in the shape of the labels; pixels that are 255 are left out.
    name
        What a person calls the image, for messages.

    Raises
    ------
    ModelFitError
        If image, mask and model do not fit each other.
    """
    if model.spec.task is Task.MULTILABEL:
        raise ModelFitError(
            f"'{model.spec.name}' can give a pixel several classes at once; it cannot be compared "
            "with masks that hold one class for each pixel."
        )
    source = Source(image, axes=axes, spatial_dims=model.spec.spatial_dims, name=name)
    check_mask(mask, source.label_shape, len(model.classes), name)
    confusion = Confusion(len(model.classes))
    confusion.add(predict(image, model, axes=axes, **options), mask)
    return confusion


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
