"""What a model would say about the view, for each way in which it may expect intensities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_tileseg.engine.spec import Normalisation, NormalisationKind, Task
from napari_tileseg.errors import ModelFitError, TilesegError
from napari_tileseg.viewer import loading
from napari_tileseg.viewer.viewport import pixels_in_view

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_tileseg.annotation.sparse import Region
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.spec import Architecture, ClassInfo
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.chosen import Chosen
    from napari_tileseg.viewer.tasks import Tasks

SIDE_PX = 256
"""Of the view, at most a square of this size in its middle is looked at."""

_NO_IMAGE = "Choose an image first: the model is tried on what is in view."
_VOLUMES = "A model of volumes cannot be tried on a view. Load it, and run it."
_OPAQUE = 0.5


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
        source = self._session.source
        if source is None:
            self.tried.emit(path, _NO_IMAGE)
            return
        region = self._region(source)

        def work() -> list[Try]:
            return ways(loading.model(path, architecture, classes), source, region)

        def on_failed(error: BaseException) -> None:
            if isinstance(error, TilesegError):
                self.tried.emit(path, str(error))
            else:
                self.tried.emit(path, "It could not be tried.")
                self._session.report(error)

        self._tasks.start(work, lambda found: self.tried.emit(path, found), on_failed)

    def _region(self, source: Source) -> Region:
        """Return what is looked at, in coordinates of the labels."""
        layer, axis = self._chosen.layer, self._chosen.channel_axis
        seen = None if layer is None else pixels_in_view(self._viewer, layer)
        if seen is not None and axis is not None:
            seen = seen[:axis] + seen[axis + 1 :]
        if seen is None or len(seen) != len(source.label_shape):
            seen = tuple(slice(0, size) for size in source.label_shape)
        plane = tuple(slice(one.start, one.start + 1) for one in seen[:-2])
        return (*plane, *(_middle(one) for one in seen[-2:]))


def ways(network: Network, source: Source, region: Region) -> list[Try]:
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

    Raises
    ------
    TilesegError
        If the network does not suit the image, or cannot be run.
    """
    from napari_tileseg.io.bare_weights import with_normalisation

    if network.spec.spatial_dims != 2:
        raise ModelFitError(_VOLUMES)
    return [_try(with_normalisation(network, kind), source, region) for kind in NormalisationKind]


def _try(network: Network, source: Source, region: Region) -> Try:
    import torch

    from napari_tileseg.engine.normalise import scaling_for
    from napari_tileseg.engine.predict import predict

    spec = network.spec
    channels = source.check(spec)
    scaling = scaling_for(source, spec.normalisation, channels, spec.name)
    plane = tuple(one.start for one in region[:-2])
    pixels = source.read(plane, region[-2:], channels)
    scaled = scaling.apply(torch.from_numpy(pixels)[None])[0].numpy()
    as_it_is = replace(spec, normalisation=Normalisation(NormalisationKind.NONE))
    plain = replace(network, spec=as_it_is)
    labels = predict(scaled, plain, axes="CYX", mode="blend")
    if spec.task is Task.MULTILABEL:  # of several classes, the last one is shown
        order = np.arange(1, len(labels) + 1, dtype=np.uint8)[:, None, None]
        labels = (labels * order).max(0)
    names = [one.name for one in network.classes]
    counts = np.bincount(labels.ravel(), minlength=len(names)) / labels.size
    shares = dict(zip(names, counts.tolist(), strict=False))
    return Try(spec.normalisation.kind, _picture(pixels, labels, network.classes), shares)


def _picture(
    pixels: NDArray[np.generic], labels: NDArray[np.uint8], classes: tuple[ClassInfo, ...]
) -> NDArray[np.uint8]:
    """Return the labels over a grey image, (rows, columns, RGB)."""
    grey = pixels.astype(np.float32).mean(0)
    low, high = np.percentile(grey, (1, 99))
    grey = np.clip((grey - low) / max(high - low, 1e-6), 0, 1) * 255
    colours = np.array([_rgb(one.colour) for one in classes], np.float32)
    weight = np.where(labels > 0, _OPAQUE, 0)[..., None]
    mixed = grey[..., None] * (1 - weight) + colours[labels] * weight
    return np.asarray(mixed, np.uint8)


def _rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _middle(axis: slice) -> slice:
    length = min(SIDE_PX, axis.stop - axis.start)
    low = axis.start + (axis.stop - axis.start - length) // 2
    return slice(low, low + length)
