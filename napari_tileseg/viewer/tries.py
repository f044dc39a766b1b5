"""What a model would say about the view, for each way in which it may expect intensities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_tileseg.annotation.picture import painted_over
from napari_tileseg.engine.spec import ClassInfo, Normalisation, NormalisationKind, Task
from napari_tileseg.errors import ImageError, ModelFitError, TilesegError
from napari_tileseg.viewer import loading
from napari_tileseg.viewer.images import open_layer
from napari_tileseg.viewer.viewport import pixels_in_view, why_none

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.spec import Architecture
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.chosen import Chosen
    from napari_tileseg.viewer.tasks import Tasks

SIDE_PX = 256
"""A square of this size around the middle of the view is looked at."""

_NO_IMAGE = "Choose an image first: the model is tried on what is in view."
_VOLUMES = "A model of volumes cannot be tried on a view. Load it, and run it."
_NOTHING = ClassInfo("nothing", "#000000")


@dataclass(frozen=True, eq=False)
class Try:
    """What comes of one way to scale intensities.

    Attributes
    ----------
    kind
        Which way.
    picture
        (rows, columns, RGB) uint8: the image, with the labels in the colours of the classes.
    shares
        The share of the pixels that each class has, by its name.
    """

    kind: NormalisationKind
    picture: NDArray[np.uint8]
    shares: dict[str, float]


class Tries:
    """Tries models that are not loaded yet, in the background.

    Parameters
    ----------
    viewer, session, chosen
        Which image, and which part of it is in view.
    tasks
        Where the work is done.

    Attributes
    ----------
    tried
        Emits the path of a model, and a list of `Try`, or a sentence that says why there is none.
    """

    tried = Signal(str, object)

    def __init__(self, viewer: ViewerModel, session: Session, chosen: Chosen, tasks: Tasks) -> None:
        self._viewer = viewer
        self._session = session
        self._chosen = chosen
        self._tasks = tasks

    def start(self, path: str, architecture: Architecture, classes: list[str] | None) -> None:
        """Try bare weights, as they would be loaded, on the middle of the view."""
        layer = self._chosen.layer
        try:
            if layer is None:
                raise ImageError(_NO_IMAGE)
            # as a model of images reads it, whatever the model in use does
            source, _ = open_layer(layer, channel_axis=self._chosen.channel_axis)
            region = self._region(source, layer)
        except TilesegError as error:
            self.tried.emit(path, str(error))
            return
        channels = self._session.settings.channels

        def work() -> list[Try]:
            return ways(loading.model(path, architecture, classes), source, region, channels)

        def on_failed(error: BaseException) -> None:
            if isinstance(error, TilesegError):
                self.tried.emit(path, str(error))
            else:
                self.tried.emit(path, "It could not be tried.")
                self._session.report(error)

        self._tasks.start(work, lambda found: self.tried.emit(path, found), on_failed)

    def _region(self, source: Source, layer: Image) -> Region:
        """Return what is looked at, in coordinates of the labels: a square around the middle."""
        seen, axis = pixels_in_view(self._viewer, layer), self._chosen.channel_axis
        if seen is None:
            raise ImageError(why_none(self._viewer, "The image is"))
        if len(seen) > len(source.label_shape) and axis is not None:
            seen = seen[:axis] + seen[axis + 1 :]
        plane = tuple(slice(one.start, one.start + 1) for one in seen[:-2])
        square = map(_middle, seen[-2:], source.label_shape[-2:])
        return (*plane, *square)


def ways(
    network: Network, source: Source, region: Region, channels: tuple[int, ...] | None = None
) -> list[Try]:
    """Segment a small part of an image once for each way to scale its intensities.

    Scaled as a run would do it, by all of the image; the part itself is seen by itself.

    Parameters
    ----------
    network
        Of images, not of volumes.
    source
        The image.
    region
        In label coordinates: one plane, and a few hundred pixels of it.
    channels
        Those that a person has chosen to be read; the first ones if that are not as many as the
        network reads.

    Raises
    ------
    TilesegError
        If the network does not suit the image, or cannot be run.
    """
    from napari_tileseg.io.bare_weights import with_normalisation

    if network.spec.spatial_dims != 2:
        raise ModelFitError(_VOLUMES)
    wanted = len(network.spec.channels)
    if wanted > source.n_channels:
        source.check(network.spec)  # says what can be done
    if channels is None or len(channels) != wanted:
        channels = tuple(range(wanted))
    return [
        _try(with_normalisation(network, kind), source, region, channels)
        for kind in NormalisationKind
    ]


def _try(network: Network, source: Source, region: Region, channels: tuple[int, ...]) -> Try:
    import torch

    from napari_tileseg.engine.normalise import scaling_for
    from napari_tileseg.engine.predict import predict

    spec = network.spec
    scaling = scaling_for(source, spec.normalisation, channels, spec.name)
    plane = tuple(one.start for one in region[:-2])
    pixels = source.read(plane, region[-2:], channels)
    scaled = scaling.apply(torch.from_numpy(pixels)[None])[0].numpy()
    as_it_is = replace(spec, normalisation=Normalisation(NormalisationKind.NONE))
    plain = replace(network, spec=as_it_is)
    labels = predict(scaled, plain, axes="CYX", mode="blend")
    classes = network.classes
    if spec.task is Task.MULTILABEL:
        shares = {one.name: float(part.mean()) for one, part in zip(classes, labels, strict=True)}
        # where there are several classes, the last one is shown
        order = np.arange(1, len(labels) + 1, dtype=np.uint8)[:, None, None]
        labels, classes = (labels * order).max(0), (_NOTHING, *classes)
    else:
        shares = {one.name: float((labels == n).mean()) for n, one in enumerate(classes)}
    picture = painted_over(pixels, labels, [one.colour for one in classes])
    return Try(spec.normalisation.kind, picture, shares)


def _middle(seen: slice, size: int) -> slice:
    """Return the part of an axis around the middle of what is seen, as long as there is room."""
    length = min(SIDE_PX, size)
    low = (seen.start + seen.stop - length) // 2
    low = min(max(low, 0), size - length)
    return slice(low, low + length)
