"""The controller: what people ask for in the panels becomes work on layers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_tileseg.errors import TilesegError
from napari_tileseg.session import Severity, State
from napari_tileseg.viewer import loading
from napari_tileseg.viewer.chosen import Chosen
from napari_tileseg.viewer.classes import ClassTools
from napari_tileseg.viewer.estimates import Estimates
from napari_tileseg.viewer.exports import Exports
from napari_tileseg.viewer.models import Models
from napari_tileseg.viewer.next_place import NextPlace
from napari_tileseg.viewer.projects import Projects
from napari_tileseg.viewer.review import Review
from napari_tileseg.viewer.runs import Runs
from napari_tileseg.viewer.tasks import Tasks
from napari_tileseg.viewer.teaching import Teaching
from napari_tileseg.viewer.tries import Tries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.schedule import Focus
    from napari_tileseg.engine.spec import Architecture
    from napari_tileseg.session import Session
    from napari_tileseg.settings import RunSettings


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
    devices_changed
        Emits what a run can use as (value, label).
    chosen, classes, models, tries, runs, places, teaching, projects
        The parts of the work: the image with its labels, the classes, the models and what they
        would say, the runs, where the model is unsure, what it is taught, and where all of it is
        saved.
    """

    devices_changed = Signal(object)

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer = viewer
        self.session = session
        self.chosen = Chosen(viewer, session)
        self.classes = ClassTools(viewer, session)
        self.review = Review(viewer, session)
        self._tasks = Tasks()
        self.models = Models(session, self._tasks)
        self.tries = Tries(viewer, session, self.chosen, self._tasks)
        self._exports = Exports(session, self._tasks)
        self._estimates = Estimates(session)
        self.places = NextPlace(viewer, session)
        self.runs = Runs(viewer, session, self.chosen, self._exports, self._estimates, self.places)
        self.teaching = Teaching(viewer, session, self.chosen, self.runs, self.models, self._tasks)
        self.projects = Projects(
            viewer,
            session,
            self.chosen,
            self._tasks,
            history=self.teaching.history,
            is_running=lambda: self.is_running or self.teaching.is_teaching,
            load_model=lambda source, then: self._load(source, None, None, then),
        )
        self._bound = ExitStack()

    # begin and end

    def start(self) -> None:
        """Look at the viewer, list the models, and find out about devices in the background."""
        for event in ("inserted", "removed", "renamed", "reordered"):
            emitter = getattr(self._viewer.layers.events, event)
            emitter.connect(self._on_layers_changed)
            self._bound.callback(emitter.disconnect, self._on_layers_changed)
        self.chosen.altered.connect(self._on_image_altered)
        for part in (
            self.classes,
            self.review,
            self.places,
            self._exports,
            self.teaching,
            self.projects,
        ):
            # whoever works on the labels of the chosen image is told which those are
            self.chosen.bound.connect(part.bind)
        self.refresh_images()
        self.models.refresh()
        self.projects.start()
        self._tasks.start(loading.devices, self.devices_changed.emit, self.session.report)

    def close(self) -> None:
        """End all work and let go of the viewer; where one part fails, the others still end."""
        parts = (
            self._bound,
            self.chosen,
            self._estimates,
            self._tasks,
            self.runs,
            self.projects,
            self.teaching,
            self.classes,
            self.review,
        )
        with ExitStack() as ends:
            for part in reversed(parts):
                ends.callback(part.close)

    # images

    def refresh_images(self) -> None:
        """List the image layers again, and keep the chosen one if it is still there."""
        self.chosen.refresh()

    def choose_image(self, key: object) -> None:
        """Segment the layer with this key from now on."""
        if not self._refuses("image"):
            self.chosen.choose_key(key)

    def choose_channel_axis(self, axis: int | None) -> None:
        """Read the channels of the image along this axis."""
        if not self._refuses("image"):
            self.chosen.choose_channel_axis(axis)

    def _refuses(self, what: str) -> bool:
        """Return whether work on it is under way, and say so if it is."""
        teaches = self.teaching.is_teaching
        work = "run" if self.is_running else "teaching" if teaches and what == "model" else ""
        if work:
            self.session.tell(
                f"Cancel the {work} before choosing another {what}.", Severity.WARNING
            )
        return bool(work)

    def _on_image_altered(self, pixels_replaced: bool) -> None:
        """Read the image again; a run goes on unless its pixels are others now."""
        ends = self.is_running and pixels_replaced
        if ends:
            self.runs.drop()
        if self.is_running:
            self.chosen.is_stale = True
            return
        self.chosen.reopen()
        if ends:
            self.session.tell("The run has ended because the data of its image was replaced.")

    def _on_layers_changed(self, event: Any) -> None:
        if event.type != "removed":
            self.refresh_images()
            return
        use = self.runs.use_of(event.value)
        if use or not self.is_running:
            self.runs.drop()
        self.chosen.forget(event.value)
        self.teaching.forget(event.value)
        self.refresh_images()
        if use:
            self.session.tell(f"The run has ended because its {use} layer was removed.")

    # models

    def choose_model(self, source: str) -> None:
        """Load a bundled model, a file or a folder."""
        self._load(source, None, None)

    def choose_weights(self, path: str, architecture: Architecture, classes: list[str]) -> None:
        """Load bare weights into an architecture."""
        self._load(path, architecture, classes)

    def choose_trusted(self, path: str) -> None:
        """Load a file that runs code, because a person said that it may."""
        self._load(path, None, None, trust=True)

    def _load(
        self,
        source: str,
        architecture: Architecture | None,
        classes: Sequence[str] | None,
        then: Callable[[], object] = lambda: None,
        *,
        trust: bool = False,
    ) -> None:
        if self._refuses("model"):
            return

        def on_chosen() -> None:
            self._on_model_chosen()
            then()

        self.models.load(source, architecture, classes, on_chosen, trust=trust)

    def choose_network(self, network: Network, origin: str) -> None:
        """Segment with a network that is in memory from now on."""
        if self._refuses("model"):
            return
        self.session.set_model(network, origin)
        self._on_model_chosen()
        self.models.measure_if_needed()

    def _on_model_chosen(self) -> None:
        """Read the image anew if the model before saw it along other axes."""
        network, source = self.session.network, self.session.source
        assert network is not None, "a model was just chosen"
        if source is not None and len(source.spatial_shape) != network.spec.spatial_dims:
            self.chosen.open()

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
        return self.runs.is_running

    @property
    def focus(self) -> Focus | None:
        """Where the person looks, as the run that is under way knows it."""
        return self.runs.focus

    def run(self) -> None:
        """Segment the chosen image with the chosen model; a second run goes to the same layer."""
        self.runs.start()

    def run_view(self) -> None:
        """Segment what is on screen; labels elsewhere stay as they are."""
        self.runs.start(only_view=True)

    def pause(self) -> None:
        """Hold the run."""
        self.runs.pause()

    def resume(self) -> None:
        """Let the run go on."""
        self.runs.resume()

    def cancel(self) -> None:
        """End the run; what is there stays."""
        self.runs.cancel()

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

    def export(self, path: str) -> None:
        """Write the labels of the chosen image into a file, in the background."""
        results = self.chosen.results
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
        self.chosen.choose(sample)
        self.refresh_images()
        self._load(loading.SAMPLE_MODEL, None, None, then=self.run)
