"""How well labels agree with masks: one pooled confusion matrix, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.engine.spec import NOT_COMPUTED

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Confusion:
    """Counts of pixels by true class (rows) and predicted class (columns), over many images."""

    def __init__(self, n_classes: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((n_classes, n_classes), np.int64)

    def add(self, labels: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Count one image; pixels whose truth is 255 are left out.

        Parameters
        ----------
        labels, truth
            Class indices of equal shape; labels below the number of classes.
        """
        n = len(self.counts)
        known = truth != NOT_COMPUTED
        pairs = truth[known].astype(np.int64) * n + labels[known]
        self.counts += np.bincount(pairs, minlength=n * n).reshape(n, n)

    def __iadd__(self, other: Confusion) -> Confusion:
        self.counts += other.counts
        return self

    @property
    def pixels(self) -> NDArray[np.int64]:
        """How many pixels truly are of each class, (classes,)."""
        return self._true

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class; nan for a class that is in neither."""
        return _ratio(self._both, self._true + self._labelled - self._both)

    @property
    def dice(self) -> NDArray[np.float64]:
        """Dice coefficient (F1) of each class; nan for a class that is in neither."""
        return _ratio(2 * self._both, self._true + self._labelled)

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur, background included; nan without a pixel."""
        return _mean(self.iou)

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the classes that occur, background included; nan without a pixel."""
        return _mean(self.dice)

    @property
    def dice_of_true(self) -> float:
        """Mean Dice over the classes that truly occur; nan without a pixel.

        Two networks on the same pixels are compared by it over the same classes: a few stray
        pixels of a class that is not there cost no more than what they are.
        """
        return _mean(np.where(self._true > 0, self.dice, np.nan))

    @property
    def pixel_accuracy(self) -> float:
        """Share of the known pixels that have the right label; nan without a pixel."""
        return float(_ratio(self._both.sum(), self.counts.sum()))

    @property
    def _both(self) -> NDArray[np.int64]:
        return np.asarray(np.diag(self.counts))

    @property
    def _true(self) -> NDArray[np.int64]:
        return np.asarray(self.counts.sum(1))

    @property
    def _labelled(self) -> NDArray[np.int64]:
        return np.asarray(self.counts.sum(0))


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: NDArray[np.float64]) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")
