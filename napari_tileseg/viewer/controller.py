"""The controller: what people ask for in the panels becomes work on layers."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.layers import Image
from psygnal import Signal

from napari_tileseg.errors import TilesegError
from napari_tileseg.session import Severity, State
from napari_tileseg.viewer import loading
from napari_tileseg.viewer.classes import ClassTools
from napari_tileseg.viewer.estimates import Estimates
from napari_tileseg.viewer.exports import Exports
from napari_tileseg.viewer.images import likely_channel_axis, open_layer
from napari_tileseg.viewer.links import OURS
from napari_tileseg.viewer.models import Models
from napari_tileseg.viewer.results import Results, find_results
from napari_tileseg.viewer.run import Run
from napari_tileseg.viewer.targets import target
from napari_tileseg.viewer.tasks import Tasks
from napari_tileseg.viewer.watching import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel

    from napari_tileseg.engine.schedule import Focus
    from napari_tileseg.engine.spec import Architecture
    from napari_tileseg.session import Session
    from napari_tileseg.settings import RunSettings
    from napari_tileseg.viewer.run import Carried


class Controller:
    """Binds one viewer and one session.

    Parameters
    ----------
    viewer
        The viewer whose layers are segmented.
    session
        What is chosen and what has happened; the panels show it.

    Attributes
    ----------
    images_changed
        Emits the image layers as (key, name) and the key of the chosen one.
    devices_changed
        Emits what a run can use as (value, label).
    """

    images_changed = Signal(object, object)
    devices_changed = Signal(object)

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer = viewer
        self.session = session
        self.classes = ClassTools(viewer, session)
        self._image: Image | None = None
        self._channel_axis: int | None = None
        self._results: WeakKeyDictionary[Image, Results] = WeakKeyDictionary()
        self._run: Run | None = None
        self._tasks = Tasks()
        self.models = Models(session, self._tasks)
        self._exports = Exports(session, self._tasks)
        self._estimates = Estimates(session)
        self._bound = ExitStack()
        self._watched = ExitStack()
        self._is_stale = False

    # begin and end

    def start(self) -> None:
        """Look at the viewer, list the models, and find out about devices in the background."""
        for event in ("inserted", "removed", "renamed", "reordered"):
            emitter = getattr(self._viewer.layers.events, event)
            emitter.connect(self._on_layers_changed)
            self._bound.callback(emitter.disconnect, self._on_layers_changed)
        self.refresh_images()
        self.models.refresh()
        self._tasks.start(loading.devices, self.devices_changed.emit, self.session.report)

    def close(self) -> None:
        """End all work and let go of the viewer."""
        self._bound.close()
        self._watched.close()
        self._estimates.close()
        self._tasks.close()
        if self._run is not None:
            self._run.close()
            self._run = None
        self.classes.close()

    # images

    def refresh_images(self) -> None:
        """List the image layers again, and keep the chosen one if it is still there."""
        images = [layer for layer in self._viewer.layers if _is_plain_image(layer)]
        if self._image not in images:
            self._choose(images[-1] if images else None)
        elif self.session.image is not None and self._image is not None:
            self.session.rename_image(self._image.name)
        chosen = None if self._image is None else self._image.unique_id
        self.images_changed.emit([(one.unique_id, one.name) for one in images], chosen)

    def choose_image(self, key: object) -> None:
        """Segment the layer with this key from now on."""
        if self._refuses("image"):
            return
        for layer in self._viewer.layers:
            if isinstance(layer, Image) and layer.unique_id == key:
                self._choose(layer)

    def choose_channel_axis(self, axis: int | None) -> None:
        """Read the channels of the image along this axis."""
        if not self._refuses("image"):
            self._channel_axis = axis
            self._open()

    def _refuses(self, what: str) -> bool:
        """Return whether a run is under way, and say so if it is."""
        if self.is_running:
            self.session.tell(f"Cancel the run before choosing another {what}.", Severity.WARNING)
        return self.is_running

    def _choose(self, layer: Image | None) -> None:
        if layer is not self._image:
            self._image = layer
            self._channel_axis = None if layer is None else likely_channel_axis(layer)
            self._watched.close()
            if layer is not None:
                self._watched = watch(layer, self._on_image_changed)
            self._open()

    def _on_image_changed(self, event: Any) -> None:
        """Read the image again; a run goes on unless its pixels are others now."""
        ends = self.is_running and event.type == "data"
        if ends:
            self._drop_run()
        if self.is_running:
            self._is_stale = True
            return
        self._reopen()
        if ends:
            self.session.tell("The run has ended because the data of its image was replaced.")

    def _reopen(self) -> None:
        before, channels = self.session.source, self.session.settings.channels
        self._open()
        now = self.session.source
        if before is not None and now is not None and before.n_channels == now.n_channels:
            self.choose_channels(channels)

    def _open(self) -> None:
        """Read the chosen layer as an image; what cannot be read is said, not raised."""
        self._is_stale = False
        if self._image is None:
            self.session.set_image(None, None)
            return
        network = self.session.network
        dims = 2 if network is None else min(network.spec.spatial_dims, self._image.ndim)
        try:
            opened = open_layer(self._image, channel_axis=self._channel_axis, spatial_dims=dims)
        except TilesegError as error:
            self.session.set_image(None, None)
            self.session.report(error)
            return
        self.session.set_image(*opened)
        results = self._found(self._image)
        if results is not None:
            self.session.adopt_labels(results.classes, results.made_by, *results.areas())
        self._bind_classes()

    def _found(self, image: Image) -> Results | None:
        """Return the labels there are, also those that a dock which was closed has left."""
        assert self.session.source is not None, "an image was just opened"
        shape = self.session.source.label_shape
        known = self._results.pop(image, None)
        if known is not None and known.front.data.shape == tuple(shape):
            self._results[image] = known
            return known
        for results in find_results(self._viewer, image, shape):
            if results.is_whole:
                self._results[image] = results
                return results
        return None

    def _on_layers_changed(self, event: Any) -> None:
        if event.type != "removed":
            self.refresh_images()
            return
        use = self._run.use_of(event.value) if self._run is not None and self.is_running else ""
        if use or not self.is_running:
            self._drop_run()
        self._forget_results(event.value)
        self.refresh_images()
        if use:
            self.session.tell(f"The run has ended because its {use} layer was removed.")

    def _drop_run(self) -> None:
        """Let go of the last run and all it holds; a tile that is being computed ends alone."""
        if self._run is not None:
            self._run.close(timeout_s=0)
            self._run = None

    def _forget_results(self, removed: object) -> None:
        for image, results in list(self._results.items()):
            if removed is results.probabilities:
                results.probabilities = None
            if removed in results.layers:
                del self._results[image]
                if image is self._image:
                    self.session.lose_labels()
                    self._bind_classes()

    # models

    def choose_model(self, source: str) -> None:
        """Load a bundled model, a file or a folder."""
        self._load(source, None, None)

    def choose_weights(self, path: str, architecture: Architecture, classes: list[str]) -> None:
        """Load bare weights into an architecture."""
        self._load(path, architecture, classes)

    def _load(
        self,
        source: str,
        architecture: Architecture | None,
        classes: Sequence[str] | None,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        if self._refuses("model"):
            return

        def on_chosen() -> None:
            network, source = self.session.network, self.session.source
            assert network is not None, "a model was just chosen"
            if source is not None and len(source.spatial_shape) != network.spec.spatial_dims:
                self._open()
            then()

        self.models.load(source, architecture, classes, on_chosen)

    # settings

    def choose_channels(self, channels: tuple[int, ...] | None) -> None:
        """Let the model read these channels of the image."""
        self.session.set_settings(self.session.settings.but(channels=channels))

    def choose_settings(self, settings: RunSettings) -> None:
        """Do the next run like this."""
        self.session.set_settings(settings)
        self.models.measure_if_needed()

    # the run

    @property
    def is_running(self) -> bool:
        """Whether a run is under way, or paused."""
        return self._run is not None and self._run.is_running

    @property
    def focus(self) -> Focus | None:
        """Where the person looks, as the run that is under way knows it."""
        return self._run.focus if self._run is not None and self.is_running else None

    def run(self) -> None:
        """Segment the chosen image with the chosen model; a second run goes to the same layer."""
        if self.is_running:
            return
        if self._is_stale:
            self._reopen()
        if not self.session.view.can_run or self._image is None:
            self.session.tell(_what_is_missing(self.session), Severity.WARNING)
            return
        before = self._results.get(self._image)
        try:
            results, said = target(self._viewer, self.session, self._image, before)
        except TilesegError as error:
            self.session.report(error)
            return
        self._results[self._image] = results
        self._estimates.stop()
        self._run = Run(
            self._viewer,
            self.session,
            self._image,
            results,
            on_end=partial(self._on_run_ended, results),
            after=self._estimates.last,
        )
        self._bind_classes()
        self._exports.begin(results)
        self._run.start()
        if said:
            self.session.tell(said)

    def _on_run_ended(self, results: Results, carried: Carried) -> None:
        self._exports.end(results, carried)
        # what it says of the pixel under the cursor is from before the run
        self._viewer.update_status_from_cursor()

    def pause(self) -> None:
        """Hold the run."""
        if self._run is not None and self.session.view.can_pause:
            self._run.pause()

    def resume(self) -> None:
        """Let the run go on."""
        if self._run is not None and self.session.view.can_resume:
            self._run.resume()

    def cancel(self) -> None:
        """End the run; what is there stays."""
        if self._run is not None and self.session.view.can_cancel:
            self._run.cancel()

    def run_or_pause(self) -> None:
        """Do what the big button would do now: run, pause or resume."""
        state = self.session.view.state
        if state is State.RUNNING:
            self.pause()
        elif state is State.PAUSED:
            self.resume()
        else:
            self.run()

    # the result

    def _bind_classes(self) -> None:
        results = None if self._image is None else self._results.get(self._image)
        self.classes.bind(results)
        self._exports.bind(results)

    def export(self, path: str) -> None:
        """Write the labels of the chosen image into a file, in the background."""
        results = None if self._image is None else self._results.get(self._image)
        if results is None:
            self.session.tell("There are no labels to export yet: run first.", Severity.WARNING)
            return
        self._exports.export(results, Path(path))

    # the demo

    def open_sample_and_run(self) -> None:
        """Open the sample image, choose the model made for it, and run as soon as it is loaded."""
        if self._refuses("image"):
            return
        try:
            sample = loading.sample_image_layer()
        except TilesegError as error:
            self.session.report(error)
            return
        self._viewer.add_layer(sample)
        self._choose(sample)
        self.refresh_images()
        self._load(loading.SAMPLE_MODEL, None, None, then=self.run)


def _is_plain_image(layer: object) -> bool:
    return isinstance(layer, Image) and OURS not in layer.metadata


def _what_is_missing(session: Session) -> str:
    view = session.view
    if view.loading:
        return "The model is still being loaded."
    missing = {
        State.NO_IMAGE: "Open an image first: drop a file onto napari.",
        State.NO_MODEL: "Choose a model first.",
    }
    return missing.get(view.state, view.misfit or "This cannot run yet.")
