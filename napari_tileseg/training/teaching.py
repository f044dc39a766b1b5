"""Teach a model from Python: one call, one model that is better, or a word why not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_tileseg.annotation.vouchings import Vouchings
from napari_tileseg.errors import NotBetterError
from napari_tileseg.settings import TeachSettings
from napari_tileseg.training.fine_tune import fine_tune as stream
from napari_tileseg.training.lessons import Lesson
from napari_tileseg.training.new_classes import for_labels
from napari_tileseg.training.proof import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_tileseg.engine.arrays import ArrayLike
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.spec import ClassInfo
    from napari_tileseg.training.proof import Verdict


def fine_tune(
    model: Network,
    image: ArrayLike,
    labels: NDArray[np.uint8],
    vouched: NDArray[np.bool_],
    reviewed: NDArray[np.bool_] | None = None,
    *,
    axes: str | None = None,
    channels: tuple[int, ...] | None = None,
    classes: Sequence[ClassInfo] | None = None,
    keep_anyway: bool = False,
    **options: Any,
) -> Network:
    """Teach a copy of a model what a person vouched for, and return it if it has become better.

    Parameters
    ----------
    model
        What `load_model` returns; it is not changed.
    image
        What it was corrected on; any array-like, as in `predict`.
    labels
        Class indices in the shape of the labels that `predict` gives; read only where somebody
        vouched for them.
    vouched
        bool, in the same shape: where a person says that the label is right.
    reviewed
        bool, in the same shape: which of it lies in regions that were checked as a whole. Some
        of these regions are kept back, and the new model is judged by them. Corrections alone
        cannot be judged by: they are mostly mistakes of the old model, so any other one would
        win. None for none.
    axes, channels
        As in `predict`.
    classes
        The classes of the labels, where there are more than the model has; None adds as many
        as the labels need.
    keep_anyway
        Return the new model also if it is not better.
    **options
        The fields of `TeachSettings`: minutes, what, loss, learning_rate, seed, ...

    Returns
    -------
    Network
        A new model. `model.provenance["teaching"]` says whether it is better, with its
        figures, or not proven because there was nothing to judge by.

    Raises
    ------
    NotBetterError
        If it is not better; `error.verdict` has the figures, and the model as `candidate`.
    ModelFitError, ImageError, SettingsError
        If image, labels and model do not fit each other, or there is nothing to learn from.

    Examples
    --------
    >>> better = nts.fine_tune(model, image, labels, vouched=reviewed, reviewed=reviewed)
    >>> labels = nts.predict(image, better)
    """
    settings = TeachSettings().but(**options)
    said = Vouchings.of(labels, vouched, reviewed)
    lesson = Lesson.of(image, said, model.spec, axes=axes, channels=channels)
    wanted = for_labels(model.classes, said) if classes is None else tuple(classes)
    verdict: Verdict | None = None
    for report in stream(model, [lesson], settings=settings, classes=wanted):
        verdict = report.verdict
    assert verdict is not None
    if verdict.outcome is Outcome.NOT_BETTER and not keep_anyway:
        raise NotBetterError(
            f"{verdict.sentence} The model stays as it was. (To have it all the same: "
            "keep_anyway=True.)",
            verdict,
        )
    learnt = verdict.candidate
    return replace(learnt, provenance={**learnt.provenance, "teaching": verdict.to_json()})
