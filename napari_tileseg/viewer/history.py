"""From one version of a model to another, with the labels that each had made."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari_tileseg.session.versions import Version, Versions
from napari_tileseg.viewer import loading
from napari_tileseg.viewer.keepsakes import Keepsake
from napari_tileseg.viewer.links import OURS, class_names

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image

    from napari_tileseg.engine.network import Network
    from napari_tileseg.session import Session, View
    from napari_tileseg.viewer.chosen import Chosen
    from napari_tileseg.viewer.models import Models
    from napari_tileseg.viewer.results import Results
    from napari_tileseg.viewer.runs import Runs
    from napari_tileseg.viewer.tasks import Tasks

_PATIENCE_S = 30
"""A window that closes waits so long for a file that is being written, in seconds."""


class History:
    """Knows the versions of the model, and brings back any of them.

    Parameters
    ----------
    session, chosen, runs, models, tasks
        Who is told, whose labels are kept, who computes anew, who measures, who packs.

    Attributes
    ----------
    versions
        All of them.
    """

    def __init__(
        self, session: Session, chosen: Chosen, runs: Runs, models: Models, tasks: Tasks
    ) -> None:
        self._session = session
        self._chosen = chosen
        self._runs = runs
        self._models = models
        self._tasks = tasks
        self.versions = Versions()
        self.versions.changed.connect(self._list)
        self._kept: dict[int, WeakKeyDictionary[Image, Keepsake]] = {}
        self._to_run: Network | None = None
        session.changed.connect(self._on_changed)
        session.planned.connect(self._on_planned)

    def close(self) -> None:
        """Let go of the session."""
        self._session.changed.disconnect(self._on_changed)
        self._session.planned.disconnect(self._on_planned)

    def _list(self) -> None:
        self._session.learning.list_versions(self.versions.rows())

    def _on_changed(self, view: View) -> None:
        network, active = self._session.network, self.versions.active
        if network is not self._to_run:
            self._to_run = None
        if network is not (None if active is None else active.network):
            self.versions.follow(network, view.origin)

    def use(self, version: Version) -> None:
        """Take a version into use: its own labels come back, or are computed anew."""
        self._stop_run()
        before = self.versions.active
        if before is not None:
            self._keep(before)
        self._session.set_model(version.network, version.origin)
        self.versions.follow(version.network, version.origin)
        kept = self._kept.pop(version.number, WeakKeyDictionary())
        for image, results in self._chosen.all_results:
            keepsake = kept.pop(image, None)
            if keepsake is not None and keepsake.fits(results):
                keepsake.put_back(results)
                if image is self._chosen.layer:
                    self._session.count_areas(*results.areas())
                    continue
            elif before is not None and results.means_the_same(before.network):
                _take_over(results, version)
            if image is self._chosen.layer:
                self._run()

    def take_up(self, version: Version) -> None:
        """Use a version that made the labels which are there: nothing is computed anew."""
        self._session.set_model(version.network, version.origin)
        self._models.measure_if_needed()

    def return_to(self, number: int) -> None:
        """Go back, or forward, to a version of the history."""
        version = self.versions.get(number)
        if version is not self.versions.active:
            self.use(version)

    def _stop_run(self) -> None:
        if self._runs.is_running:
            self._runs.drop()
            self._session.cancel()

    def _keep(self, version: Version) -> None:
        """Keep the labels of all images as this version leaves them."""
        kept = self._kept[version.number] = WeakKeyDictionary()
        for image, results in self._chosen.all_results:
            keepsake = kept[image] = Keepsake(results)
            self._tasks.start(keepsake.pack, lambda _: None, self._session.report)

    def _run(self) -> None:
        """Compute the labels of the chosen image, as soon as there is a plan."""
        if self._session.needs_measuring:
            self._to_run = self._session.network
            self._models.measure_if_needed()
        elif self._session.view.can_run:
            self._runs.start()

    def _on_planned(self, plan: object) -> None:
        waiting = self._to_run
        if plan is not None and waiting is not None and waiting is self._session.network:
            self._to_run = None
            self._runs.start()

    def save(self, path: str, as_folder: bool = False) -> None:
        """Write the model in use into a file, in the background.

        Parameters
        ----------
        path
            See `io.checkpoints.save_model`.
        as_folder
            Write a folder of segmentation-models-pytorch instead.
        """
        network = self._session.network
        if network is None:
            return

        def write() -> Path:
            return loading.saved(network, path, as_folder=as_folder)

        def on_done(written: Path) -> None:
            self._session.learning.show_saving(False)
            self._session.tell(f"The model was saved as {written}.")

        def on_failed(error: BaseException) -> None:
            self._session.learning.show_saving(False)
            self._session.report(error, kept="The model is still in use here.")

        self._session.learning.show_saving(True)
        self._tasks.start(write, on_done, on_failed, patience_s=_PATIENCE_S)


def _take_over(results: Results, version: Version) -> None:
    """Let labels go on with a version that was taught on them, also if they were renamed since."""
    n_classes = len(version.network.classes)
    if results.multilabel or results.means_the_same(version.network):
        return
    if len(results.classes) == n_classes:
        known = dict(results.front.metadata[OURS])
        same = tuple(range(n_classes))
        known["meanings"] = {**known["meanings"], class_names(version.network): same}
        results.front.metadata = results.front.metadata | {OURS: known}
