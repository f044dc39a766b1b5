"""What there is to learn from: looked at anew, in the background, after a person has worked."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_tileseg.engine.spec import Task
from napari_tileseg.errors import TilesegError
from napari_tileseg.training.learnable import why_it_cannot_learn
from napari_tileseg.viewer.images import likely_channel_axis, open_layer
from napari_tileseg.viewer.lesson_job import Example

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_tileseg.annotation.vouchings import Vouchings
    from napari_tileseg.engine.network import Network
    from napari_tileseg.session import Session
    from napari_tileseg.training.held_out import Readiness
    from napari_tileseg.viewer.chosen import Chosen
    from napari_tileseg.viewer.results import Results
    from napari_tileseg.viewer.tasks import Tasks

_REST_MS = 400
"""Nothing is looked at before nobody has painted for so long."""


class ReadinessWatch:
    """Tells the session whether there is enough to learn from, in all images of the viewer.

    Parameters
    ----------
    session, chosen, tasks
        Who is told, which images there are, and where it is found out.
    """

    def __init__(self, session: Session, chosen: Chosen, tasks: Tasks) -> None:
        self._session = session
        self._chosen = chosen
        self._tasks = tasks
        self._bound = ExitStack()
        self._newest = 0
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST_MS)
        self._timer.timeout.connect(self.look)
        # a window may be closed in two ways at once, and Qt deletes the timer after the first
        self._for_good = ExitStack()
        self._for_good.callback(self._timer.stop)

    def bind(self, results: Results | None) -> None:
        """Follow these labels from now on."""
        self._bound.close()
        for layer in [] if results is None else results.layers:
            layer.events.vouched_changed.connect(self._on_vouched)
            self._bound.callback(layer.events.vouched_changed.disconnect, self._on_vouched)
        self._tell_marks()
        self._timer.start()

    def close(self) -> None:
        """Stop for good."""
        self._bound.close()
        self._for_good.close()
        self._newest += 1

    def _on_vouched(self, event: object = None) -> None:
        self._timer.start()

    def again(self) -> None:
        """Look anew soon: the model is another one."""
        self._timer.start()

    def _tell_marks(self) -> None:
        results = self._chosen.results
        layers = [] if results is None else results.layers
        self._session.learning.show_marks(
            sum(layer.corrected.count for layer in layers),
            sum(layer.reviewed.count for layer in layers),
        )

    def look(self) -> None:
        """Find out now."""
        self._tell_marks()
        network = self._session.network
        self._newest += 1
        number = self._newest
        if network is None:
            self._session.learning.show_readiness(None)
            return
        examples = self.examples()
        spec, words = network.spec, [one.vouchings for one in examples]
        sources = [one.source for one in examples]
        why_not = _why_not(network)

        def work() -> Readiness:
            from napari_tileseg.training.familiar import familiar
            from napari_tileseg.training.held_out import gap_px, readiness

            return readiness(words, gap_px(spec), familiar([network], sources))

        def on_done(found: Readiness) -> None:
            if number == self._newest:
                self._session.learning.show_readiness(found, why_not)

        self._tasks.start(work, on_done, self._session.report)

    def examples(self) -> list[Example]:
        """Return all images of the viewer in which the model can learn something."""
        shown = self.shown()
        found = [] if shown is None or not shown.vouchings.count else [shown]
        for image, results in self._chosen.all_results:
            if image is self._chosen.layer or not self._is_alike(results):
                continue
            words = results.front.freeze()
            source = None if not words.count else self._source_of(image, results, words)
            if source is not None:
                found.append(source)
        return found

    def shown(self) -> Example | None:
        """Return the image on screen with what is vouched for in it."""
        results, source = self._chosen.results, self._session.source
        if results is None or source is None or results.multilabel:
            return None
        channels = self._session.settings.channels
        return Example(source, channels, results.front.freeze())

    def _is_alike(self, results: Results) -> bool:
        shown = self._chosen.results
        names = [one.name for one in self._session.classes]
        alike = [one.name for one in results.classes] == names
        return shown is not None and not results.multilabel and alike

    def _source_of(self, image: Image, results: Results, words: Vouchings) -> Example | None:
        network = self._session.network
        assert network is not None, "examples are for a model"
        axis = results.channel_axis if results.made_by else likely_channel_axis(image)
        chosen = results.channels
        if chosen is not None and len(chosen) != len(network.spec.channels):
            chosen = None  # for another model
        try:
            source, _ = open_layer(image, channel_axis=axis)
            channels = source.check(network.spec, chosen)
        except TilesegError:
            # it could not be segmented by this model either
            return None
        return None if source.label_shape != words.shape else Example(source, channels, words)


def _why_not(network: Network) -> str:
    spec = network.spec
    if spec.spatial_dims != 2:
        return f"'{spec.name}' reads volumes; only models that read single planes can be taught."
    if spec.task is Task.MULTILABEL:
        return (
            f"'{spec.name}' can give a pixel several classes at once; such models cannot be taught."
        )
    return why_it_cannot_learn(network)
