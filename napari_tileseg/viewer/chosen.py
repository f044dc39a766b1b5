"""The image that is worked on, and the labels that belong to each image."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.layers import Image
from psygnal import Signal

from napari_tileseg.errors import TilesegError
from napari_tileseg.viewer.images import likely_channel_axis, open_layer
from napari_tileseg.viewer.links import OURS
from napari_tileseg.viewer.results import Results, find_results
from napari_tileseg.viewer.watching import watch

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_tileseg.session import Session


class Chosen:
    """Keeps the session's image one of the viewer's layers, with the labels that are its own.

    Parameters
    ----------
    viewer
        Whose image layers can be chosen.
    session
        Who is told what the chosen one is.

    Attributes
    ----------
    listed
        Emits the image layers as (key, name) and the key of the chosen one.
    bound
        Emits the `Results` of the chosen image, or None, whenever those are others.
    altered
        Emits whether pixels were replaced (else: the place) when the chosen layer is changed.
    layer
        The chosen image, if there is one.
    is_stale
        Whether the layer was changed after it was read.
    """

    listed = Signal(object, object)
    bound = Signal(object)
    altered = Signal(bool)

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self.layer: Image | None = None
        self.is_stale = False
        self._channel_axis: int | None = None
        self._results: WeakKeyDictionary[Image, Results] = WeakKeyDictionary()
        self._watched = ExitStack()

    @property
    def channel_axis(self) -> int | None:
        """The axis of the layer along which its channels lie; None if it is no axis of it."""
        return self._channel_axis

    @property
    def results(self) -> Results | None:
        """The labels of the chosen image."""
        return None if self.layer is None else self._results.get(self.layer)

    @property
    def all_results(self) -> list[tuple[Image, Results]]:
        """Every image of the viewer that has labels, with them."""
        return [(one, self._results[one]) for one in self._viewer.layers if one in self._results]

    def close(self) -> None:
        """Let go of the layer."""
        self._watched.close()

    def refresh(self) -> None:
        """List the image layers again, and keep the chosen one if it is still there."""
        images = [layer for layer in self._viewer.layers if _is_plain_image(layer)]
        if self.layer not in images:
            self.choose(images[-1] if images else None)
        elif self._session.image is not None and self.layer is not None:
            self._session.rename_image(self.layer.name)
        chosen = None if self.layer is None else self.layer.unique_id
        self.listed.emit([(one.unique_id, one.name) for one in images], chosen)

    def choose_key(self, key: object) -> None:
        """Choose the layer with this key."""
        for layer in self._viewer.layers:
            if isinstance(layer, Image) and layer.unique_id == key:
                self.choose(layer)

    def choose(self, layer: Image | None) -> None:
        """Choose a layer and read it."""
        if layer is self.layer:
            return
        self.layer = layer
        self._channel_axis = None if layer is None else likely_channel_axis(layer)
        self._watched.close()
        if layer is not None:
            self._watched = watch(layer, self._on_altered)
        self.open()

    def choose_channel_axis(self, axis: int | None) -> None:
        """Read the channels of the image along this axis."""
        self._channel_axis = axis
        self.open()

    def _on_altered(self, event: Any) -> None:
        self.altered.emit(event.type == "data")

    def open(self) -> None:
        """Read the chosen layer as an image; what cannot be read is said, not raised."""
        self.is_stale = False
        if self.layer is None:
            self._session.set_image(None, None)
            self.bound.emit(None)
            return
        network = self._session.network
        dims = 2 if network is None else min(network.spec.spatial_dims, self.layer.ndim)
        try:
            opened = open_layer(self.layer, channel_axis=self._channel_axis, spatial_dims=dims)
        except TilesegError as error:
            self._session.set_image(None, None)
            self._session.report(error)
            self.bound.emit(None)
            return
        self._session.set_image(*opened)
        results = self._found(self.layer)
        if results is not None:
            self._session.adopt_labels(results.classes, results.made_by, *results.areas())
        self.bound.emit(results)

    def reopen(self) -> None:
        """Read the layer again; the channels that were chosen stay if there are as many."""
        before, channels = self._session.source, self._session.settings.channels
        self.open()
        now = self._session.source
        if before is not None and now is not None and before.n_channels == now.n_channels:
            self._session.set_settings(self._session.settings.but(channels=channels))

    def _found(self, image: Image) -> Results | None:
        """Return the labels there are, also those that a dock which was closed has left."""
        assert self._session.source is not None, "an image was just opened"
        shape = self._session.source.label_shape
        known = self._results.pop(image, None)
        if known is not None and known.front.data.shape == tuple(shape):
            self._results[image] = known
            return known
        for results in find_results(self._viewer, image, shape):
            if results.is_whole:
                self._results[image] = results
                return results
        return None

    def keep(self, results: Results) -> None:
        """Let these be the labels of the chosen image."""
        assert self.layer is not None, "labels belong to an image"
        self._results[self.layer] = results
        self.bound.emit(results)

    def forget(self, removed: object) -> None:
        """Let go of labels whose layer was removed from the viewer."""
        for image, results in list(self._results.items()):
            if removed is results.probabilities:
                results.probabilities = None
            if removed in results.layers:
                del self._results[image]
                if image is self.layer:
                    self._session.lose_labels()
                    self.bound.emit(None)


def _is_plain_image(layer: object) -> bool:
    return isinstance(layer, Image) and OURS not in layer.metadata
