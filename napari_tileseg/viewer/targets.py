"""Where a run is written: the layers of the last one, or new ones if those mean something else."""

from __future__ import annotations

from math import prod
from pathlib import PurePath
from typing import TYPE_CHECKING

from napari_tileseg.viewer.links import linked_probabilities
from napari_tileseg.viewer.probabilities import (
    probabilities_for,
    probabilities_shape,
    require_memory,
)
from napari_tileseg.viewer.results import Results, find_results, make_results

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_tileseg.engine.network import Network
    from napari_tileseg.session import Session


def target(
    viewer: ViewerModel,
    session: Session,
    image: Image,
    before: Results | None,
    *,
    only_view: bool = False,
) -> tuple[Results, str]:
    """Find or make the layers that the next run is written to, ready for it.

    Parameters
    ----------
    viewer, session, image
        Where, with which model, and what is segmented.
    before
        The layers of the last run.
    only_view
        Whether labels elsewhere stay as they are, so that they have to mean the same.

    Returns
    -------
    The layers, and a sentence for the person if labels were left where they are.

    Raises
    ------
    ImageError
        If the layers would not fit into memory; nothing was added then.
    """
    assert session.source is not None
    assert session.network is not None
    shape = tuple(session.source.label_shape)
    _require_probabilities(viewer, session, image)
    results = _usable(viewer, image, session.network, shape, before, only_same=only_view)
    if results is not None and results.means_the_same(session.network):
        session.keep_classes(results.classes)
    else:
        session.take_classes()
    painted = before is not None and before.is_vouched
    kept = before is not None and before is not results and (painted or only_view)
    if results is None:
        label = PurePath(session.view.origin).stem if kept else ""
        results = make_results(viewer, session, image, label)
    results.prepare(session, image)
    results.probabilities = (
        probabilities_for(viewer, session, image, None if before is None else before.probabilities)
        if session.settings.probabilities
        else None
    )
    viewer.layers.selection.active = results.front
    if not kept or before is None:
        return results, ""
    return results, (
        f"{'What you painted stays' if painted else 'Other labels stay'} in "
        f"'{before.front.name}'. "
        f"This run is written to '{results.front.name}'."
    )


def _usable(
    viewer: ViewerModel,
    image: Image,
    network: Network,
    shape: tuple[int, ...],
    before: Results | None,
    *,
    only_same: bool,
) -> Results | None:
    known = [] if before is None else [before]
    fitting = [
        one for one in known + find_results(viewer, image, shape) if one.fits(network, shape)
    ]
    same = [one for one in fitting if one.means_the_same(network)]
    # labels of other classes that nobody painted in are only free to use for the last run's
    others = [] if only_same else [one for one in known if one in fitting]
    return next(iter(same + others), None)


def _require_probabilities(viewer: ViewerModel, session: Session, image: Image) -> None:
    """Refuse before anything is added what would not fit into memory later."""
    assert session.network is not None
    if not session.settings.probabilities:
        return
    shape = probabilities_shape(session)
    if linked_probabilities(viewer, image, session.network, shape) is None:
        # with the labels, of which there is one byte a pixel and layer
        require_memory(3 * prod(shape), image.name)
