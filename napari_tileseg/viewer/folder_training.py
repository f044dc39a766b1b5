"""Training from folders: a job, its best network, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_tileseg.errors import TilesegError
from napari_tileseg.io.layouts import Layout
from napari_tileseg.models.arguments import read_arguments
from napari_tileseg.models.libraries import load_triton_apart
from napari_tileseg.session.folder_training import (
    FolderChoice,
    FolderTraining,
    FolderView,
    resolve_folders,
)
from napari_tileseg.viewer import jobs, loading
from napari_tileseg.viewer.recent import recent_models
from napari_tileseg.viewer.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_tileseg.engine.network import Network
    from napari_tileseg.io.folders import Folders
    from napari_tileseg.training.train import TrainReport
    from napari_tileseg.training_job import Start

_NAME = "trained"
_PATIENCE_S = 30


class FolderTrainer:
    """Trains a network from folders, and keeps the best one.

    Attributes
    ----------
    changed
        Emits what a panel shows.
    listed
        Emits the models there are to go on from: bundled names, and paths used lately.
    devices_changed
        Emits (value, label) of what can be trained on.
    encoders_listed
        Emits the names of the encoders that a new network can have.
    network
        The best network so far; None before there is one.
    origin
        What it is called: its file, if it was saved.
    """

    changed = Signal(FolderView)
    listed = Signal(object, object)
    devices_changed = Signal(object)
    encoders_listed = Signal(object)

    def __init__(self) -> None:
        self._known = FolderTraining()
        self._tasks = Tasks()
        self._job: jobs.Job | None = None
        self.network: Network | None = None
        self.origin = _NAME

    @property
    def view(self) -> FolderView:
        """What a panel shows now."""
        return resolve_folders(self._known)

    def start(self) -> None:
        """List the models, and find out about devices in the background."""
        self.listed.emit(loading.bundled_names(), recent_models())
        self._tasks.start(loading.devices, self.devices_changed.emit, self._fail)
        # without it nothing is offered while a name is typed
        self._tasks.start(loading.encoders, self.encoders_listed.emit, lambda _: None)
        self._tell(self._known)

    def close(self) -> None:
        """End all work."""
        job, self._job = self._job, None
        if job is not None:
            job.close()
        self._tasks.close()

    def _tell(self, known: FolderTraining) -> None:
        self._known = known
        self.changed.emit(self.view)

    def choose(self, **changes: Any) -> None:
        """Change what is chosen, by the names of the fields of `FolderChoice`."""
        self._tell(replace(self._known, choice=replace(self._known.choice, **changes), said=""))

    # training

    def train(self) -> None:
        """Read the folders, and train."""
        if not self.view.can_train:
            return
        self.network, self.origin = None, _NAME
        self._job = jobs.Job(_stream(self._known.choice), self._on_item, spare_a_core=True)
        self._job.finished.connect(self._on_finished)
        self._tell(self._known.begun())
        self._job.start()

    def stop(self) -> None:
        """End the training after this step; the best network so far stays."""
        if self._job is not None and self.view.can_stop:
            self._tell(replace(self._known, stopping=True))
            self._job.cancel()

    def _on_item(self, item: str | TrainReport) -> None:
        if isinstance(item, str):
            self._tell(replace(self._known, summary=item))
            return
        if item.best is not None:
            self.network = _with_figures(item.best, item)
        self._tell(self._known.advanced(item))

    def _on_finished(self, outcome: jobs.Outcome) -> None:
        problem = _in_words(outcome.error) if isinstance(outcome, jobs.Failed) else ""
        self._tell(self._known.ended(problem))

    # the result

    def tell_used(self) -> None:
        """Say what it means that the network is in use."""
        said = "It is in use in this window."
        if self.origin == _NAME:
            said += " Save it, too, to have it again when the window was closed."
        self._tell(replace(self._known, said=said))

    def save(self, path: str, *, as_folder: bool = False) -> None:
        """Write the best network into a file, in the background.

        Parameters
        ----------
        path
            See `io.checkpoints.save_model`; the model is called like the file.
        as_folder
            Write a folder of segmentation-models-pytorch instead.
        """
        network = self.network
        if network is None:
            return
        name = Path(path).name if as_folder else Path(path).stem
        named = replace(network, spec=replace(network.spec, name=name))

        def write() -> Path:
            return loading.saved(named, path, as_folder=as_folder)

        def on_done(written: Path) -> None:
            can_be_taught = written.suffix.lower() != ".onnx"
            if self.network is network and can_be_taught:
                self.origin = str(written)
            self._tell(replace(self._known, said=f"The model was saved as {written}."))

        self._tasks.start(write, on_done, self._fail, patience_s=_PATIENCE_S)

    def _fail(self, error: BaseException) -> None:
        self._tell(replace(self._known, problem=_in_words(error)))


def _stream(
    choice: FolderChoice,
) -> Callable[[Callable[[], bool]], Iterator[str | TrainReport]]:
    """Say how to make the stream of a job; it is made in the job's thread."""

    def stream(_should_stop: Callable[[], bool]) -> Iterator[str | TrainReport]:
        load_triton_apart()
        from napari_tileseg.training.train import train
        from napari_tileseg.training_job import read_job

        folders, validation = _folders(choice)
        job = read_job(folders, _start(choice), choice.settings, validation)
        yield job.summary()
        yield from train(job.network, job.samples, validation=job.validation, settings=job.settings)

    return stream


def _folders(choice: FolderChoice) -> tuple[Folders, Folders | None]:
    from napari_tileseg.io.folders import Folders

    images = Path(choice.images)
    if choice.layout is not Layout.PAIRS:
        parts = (Folders(images, layout=choice.layout, split=one) for one in ("train", "val"))
        return next(parts), next(parts)
    if not choice.val_images:
        return Folders(images, Path(choice.masks)), None
    validation = Folders(Path(choice.val_images), Path(choice.val_masks))
    return Folders(images, Path(choice.masks)), validation


def _start(choice: FolderChoice) -> Start:
    from napari_tileseg.training_job import Start

    names = [one.strip() for one in choice.classes.split(",") if one.strip()]
    if choice.base:
        return Start(name=_NAME, base=choice.base, classes=names or None)
    new = choice.network
    return Start(
        name=_NAME,
        architecture=new.architecture,
        encoder=new.encoder or None,
        encoder_weights=new.encoder_weights,
        arguments=read_arguments(new.options.split()),
        normalise=new.normalise,
        classes=names or None,
    )


def _with_figures(network: Network, report: TrainReport) -> Network:
    """Write down in a network how it was trained, as its file says it."""
    figures: dict[str, Any] = {"minutes": round(report.seconds / 60, 1), "epochs": report.epoch}
    if report.validation is not None:
        figures["validation_miou"] = round(report.validation.miou, 4)
    return replace(network, provenance={**network.provenance, "training": figures})


def _in_words(error: BaseException) -> str:
    return str(error) if isinstance(error, TilesegError) else f"{type(error).__name__}: {error}"
