"""From folders and a place to start to a network and samples: where `io` and `training` meet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import NOT_COMPUTED, NormalisationKind, Task
from napari_tileseg.errors import CheckpointError, ModelFitError
from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.io.pairs import use_all
from napari_tileseg.io.state_dicts import read_weights
from napari_tileseg.models.encoders import ENCODER, WEIGHTS
from napari_tileseg.models.pretrained import FileWeights
from napari_tileseg.models.registry import ARCHITECTURE
from napari_tileseg.training.samples import Sample, check_mask
from napari_tileseg.training.start import ENCODER_NOTE, new_network, with_background
from napari_tileseg.training.train import PATCH_PX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.io.folders import Folders
    from napari_tileseg.io.layouts import Pair
    from napari_tileseg.settings import TrainSettings


@dataclass(frozen=True)
class Start:
    """Where a training starts, and what the model is called; None leaves it to the data.

    Attributes
    ----------
    name
        What to call the model.
    base
        A finished model to go on from; None begins a new network.
    architecture, encoder, arguments, normalise
        Of a new network; see `training.start.new_network`.
    encoder_weights
        A name ("imagenet", "lite0-package", "none") or a file.
    classes
        Names in the order of the mask values; one name alone is the foreground of a network
        with one output.
    pixel_size_um, tile
        In micrometres and pixels.
    """

    name: str
    base: str | Path | None = None
    architecture: str | None = None
    encoder: str | None = None
    encoder_weights: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    normalise: NormalisationKind = NormalisationKind.ZSCORE
    classes: list[str] | None = None
    pixel_size_um: float | None = None
    tile: int | None = None


@dataclass(frozen=True, eq=False)
class TrainJob:
    """Everything a training needs; `note` says what did not go as it was asked for."""

    network: Network
    samples: list[Sample]
    validation: list[Sample]
    settings: TrainSettings
    note: str = ""

    def summary(self) -> str:
        """Return what a person should know before it starts."""
        spec = self.network.spec
        pixels = sum(sample.mask.size for sample in self.samples)
        chosen = f"; the best is chosen on {len(self.validation)}" if self.validation else ""
        return (
            f"{spec.name}: {', '.join(one.name for one in spec.classes)}; learning from "
            f"{len(self.samples)} images ({pixels / 1e6:.1f} megapixels){chosen}."
            f"{' ' if self.note else ''}{self.note}"
        )


@dataclass(frozen=True, eq=False)
class _Labelled:
    """One image with its mask in memory, and the checksum of its file."""

    name: str
    pixels: NDArray[Any]
    axes: str | None
    mask: NDArray[np.uint8]
    pixel_size_um: float | None
    sha256: str

    def sample(self, network: Network) -> Sample:
        return Sample.of(self.pixels, self.mask, network.spec, axes=self.axes, name=self.name)


def read_job(
    folders: Folders, start: Start, settings: TrainSettings, validation: Folders | None = None
) -> TrainJob:
    """Read all images and build or load the network; nothing is trained yet.

    Parameters
    ----------
    folders
        What to learn from.
    start
        Where to start.
    settings
        How to train.
    validation
        What the best network is chosen by.

    Raises
    ------
    ModelFitError, ImageError
        If files do not pair up, cannot be read or do not fit; all such files are named.
    CheckpointError, SettingsError
        If the network cannot be loaded or built.
    """
    base = _going_on(start) if start.base else None
    encoder_weights = None if base else _encoder_weights(start)
    names = [one.name for one in base.classes] if base else start.classes
    images = _read(folders, names)
    held_out = _read(validation, names) if validation else []
    _require_apart(images, held_out)
    network = base or _new(start, encoder_weights, folders, settings, images)
    fallen_back = network.provenance.get(ENCODER_NOTE, "") if base is None else ""
    begun = fallen_back or f"encoder: {start.encoder_weights or 'none'}"
    provenance = {
        "made_by": f"tileseg train {version('napari-tileseg')}",
        "libraries": {name: version(name) for name in ("torch", "segmentation-models-pytorch")},
        "start": base.provenance if base else begun,
        "settings": settings.changed(),
        "images": {
            "train": [{"name": one.name, "sha256": one.sha256} for one in images],
            "validation": [{"name": one.name, "sha256": one.sha256} for one in held_out],
        },
    }
    return TrainJob(
        replace(network, provenance=provenance),
        use_all(images, lambda one: one.sample(network)),
        use_all(held_out, lambda one: one.sample(network)),
        settings,
        fallen_back,
    )


def _read(folders: Folders, classes: list[str] | None) -> list[_Labelled]:
    """Read all images with the label values of a model, whose classes may not be known yet."""
    if classes and len(classes) > 1:
        folders = folders.arranged(classes)

    def read(pair: Pair) -> _Labelled:
        with folders.open(pair) as one:
            pixels = one.read()
            shape = Source(pixels, axes=one.axes, name=one.name).label_shape
            check_mask(one.mask, shape, NOT_COMPUTED + 1, one.name)  # any class, for now
            return _Labelled(one.name, pixels, one.axes, one.mask, one.pixel_size_um, one.sha256())

    return use_all(folders.paired.pairs, read)


def _require_apart(images: list[_Labelled], held_out: list[_Labelled]) -> None:
    learnt = {one.sha256 for one in images}
    both = [one.name for one in held_out if one.sha256 in learnt]
    if both:
        raise ModelFitError(
            f"These images are both learnt from and used to choose the best model: "
            f"{', '.join(both)}. Keep them apart, or the scores mean nothing."
        )


def _new(
    start: Start,
    encoder_weights: str | FileWeights | None,
    folders: Folders,
    settings: TrainSettings,
    images: list[_Labelled],
) -> Network:
    sizes = [one.pixel_size_um for one in images if one.pixel_size_um]
    known = folders.classes
    names = [one.name for one in known] if known else _numbered(images)
    network = new_network(
        start.name,
        start.classes or names,
        _channel_names(images[0]),
        architecture=start.architecture or ARCHITECTURE,
        encoder=start.encoder or ENCODER,
        encoder_weights=encoder_weights,
        normalise=start.normalise,
        tile=start.tile or settings.patch or PATCH_PX,
        pixel_size_um=start.pixel_size_um or (median(sizes) if sizes else None),
        seed=settings.seed,
        arguments=start.arguments,
    )
    if start.classes or known is None:
        return network
    return replace(network, spec=replace(network.spec, classes=known))


def _encoder_weights(start: Start) -> str | FileWeights | None:
    """Return what was asked for by name, or what is in the file."""
    wanted = start.encoder_weights
    if wanted is None or wanted in WEIGHTS:
        return wanted
    path = Path(wanted)
    if not path.is_file():
        raise CheckpointError(
            f"There is no file with encoder weights at {path}. Give the path of one, or one of "
            f"these names: {', '.join(WEIGHTS)}."
        )
    return FileWeights(path.name, read_weights(path))


def _going_on(start: Start) -> Network:
    assert start.base is not None
    network = load_model(start.base)
    spec = network.spec
    names = start.classes or [one.name for one in spec.classes]
    if len(names) == 1 and spec.task is Task.BINARY:
        names = list(with_background(names[0], spec.classes[0].name))
    if len(names) != len(spec.classes):
        raise ModelFitError(
            f"'{spec.name}' has {len(spec.classes)} classes, but --classes names {len(names)}. "
            "Leave out --base to train a new network with these classes."
        )
    classes = tuple(replace(one, name=name) for one, name in zip(spec.classes, names, strict=True))
    spec = replace(
        spec,
        name=start.name,
        classes=classes,
        tile=start.tile or spec.tile,
        pixel_size_um=start.pixel_size_um or spec.pixel_size_um,
    )
    return replace(network, spec=spec)


def _numbered(images: list[_Labelled]) -> list[str]:
    """Name as many classes as the masks need, at least two."""
    highest = max(int(one.mask[one.mask != NOT_COMPUTED].max(initial=0)) for one in images)
    return ["background", *(f"class {index}" for index in range(1, max(highest, 1) + 1))]


def _channel_names(image: _Labelled) -> tuple[str, ...]:
    count = Source(image.pixels, axes=image.axes, name=image.name).n_channels
    if count == 1:
        return ("grey",)
    if count in (3, 4):
        return ("red", "green", "blue")
    return tuple(f"channel {index}" for index in range(count))
