"""The layer for merged probabilities, and whether there is memory for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from napari.layers import Image

from napari_tileseg.errors import ImageError
from napari_tileseg.viewer.images import geometry
from napari_tileseg.viewer.links import OURS, link, linked_probabilities

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_tileseg.session import Session


def probabilities_shape(session: Session) -> tuple[int, ...]:
    """Return the shape of the merged probabilities: classes first."""
    assert session.source is not None
    assert session.network is not None
    return (len(session.network.spec.classes), *session.source.label_shape)


def probabilities_for(
    viewer: ViewerModel, session: Session, image: Image, before: Image | None
) -> Image:
    """Return the layer for the probabilities of a run, empty; one for other classes goes.

    Parameters
    ----------
    viewer, session
        Where, and for which model.
    image
        The layer that is segmented.
    before
        The layer that the last run wrote.
    """
    assert session.network is not None
    shape = probabilities_shape(session)
    found = linked_probabilities(viewer, image, session.network, shape)
    if found is not None:
        return found
    if before is not None and before in viewer.layers:
        viewer.layers.remove(before)
    return add_probabilities(viewer, session, image)


def add_probabilities(viewer: ViewerModel, session: Session, image: Image) -> Image:
    """Add an empty image layer with one plane a class for the merged probabilities."""
    assert session.image is not None
    assert session.network is not None
    layer = Image(
        np.zeros(probabilities_shape(session), dtype=np.float16),
        name=f"{image.name} · probabilities",
        contrast_limits=(0, 1),
        colormap="viridis",
        visible=False,
        metadata={OURS: link(image, session.network)},
        **with_class_axis(geometry(image, session.image.channel_axis)),
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
