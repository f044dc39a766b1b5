"""From the options of `tileseg train` to a network and samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING, Any

from napari_tileseg.cli.model_options import class_names
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import NOT_COMPUTED, NormalisationKind, Task
from napari_tileseg.errors import ModelFitError, SettingsError
from napari_tileseg.io.checkpoints import load_model
from napari_tileseg.io.folders import labelled_images
from napari_tileseg.training.samples import Sample
from napari_tileseg.training.start import ARCHITECTURE, ENCODER, new_network, with_background

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_tileseg.engine.network import Network
    from napari_tileseg.settings import TrainSettings


@dataclass(frozen=True, eq=False)
class Labelled:
    """One image with its mask in memory, and the checksum of its file."""

    name: str
    pixels: NDArray[Any]
    axes: str | None
    mask: NDArray[np.uint8]
    pixel_size_um: float | None
    sha256: str


@dataclass(frozen=True, eq=False)
class TrainJob:
    """Everything a training needs."""

    network: Network
    samples: list[Sample]
    validation: list[Sample]
    settings: TrainSettings

    def summary(self) -> str:
        """Return what a person should know before it starts."""
        spec = self.network.spec
        pixels = sum(sample.mask.size for sample in self.samples)
        chosen = f"; the best is chosen on {len(self.validation)}" if self.validation else ""
        return (
            f"{spec.name}: {', '.join(one.name for one in spec.classes)}; learning from "
            f"{len(self.samples)} images ({pixels / 1e6:.1f} megapixels){chosen}."
        )


def read_job(args: argparse.Namespace, settings: TrainSettings) -> TrainJob:
    """Read all images and build or load the network; nothing is trained yet."""
    images = list(_read(args.images, args.masks))
    held_out = list(_read(args.val_images, args.val_masks)) if args.val_images else []
    _require_apart(images, held_out)
    network = _renamed(args, load_model(args.base)) if args.base else _new(args, settings, images)
    provenance = {
        "made_by": f"tileseg train {version('napari-tileseg')}",
        "libraries": {name: version(name) for name in ("torch", "segmentation-models-pytorch")},
        "start": network.provenance if args.base else f"encoder: {args.encoder_weights or 'none'}",
        "settings": settings.changed(),
        "images": {
            "train": [{"name": one.name, "sha256": one.sha256} for one in images],
            "validation": [{"name": one.name, "sha256": one.sha256} for one in held_out],
        },
    }
    return TrainJob(
        replace(network, provenance=provenance),
        [_sample(one, network) for one in images],
        [_sample(one, network) for one in held_out],
        settings,
    )


def _read(images: Path, masks: Path) -> Iterator[Labelled]:
    for one in labelled_images(images, masks):
        yield Labelled(one.name, one.read(), one.axes, one.mask, one.pixel_size_um, one.sha256())


def _require_apart(images: list[Labelled], held_out: list[Labelled]) -> None:
    learnt = {one.sha256 for one in images}
    both = [one.name for one in held_out if one.sha256 in learnt]
    if both:
        raise ModelFitError(
            f"These images are both learnt from and used to choose the best model: "
            f"{', '.join(both)}. Keep them apart, or the scores mean nothing."
        )


def _sample(one: Labelled, network: Network) -> Sample:
    return Sample.of(one.pixels, one.mask, network.spec, axes=one.axes, name=one.name)


def _new(args: argparse.Namespace, settings: TrainSettings, images: list[Labelled]) -> Network:
    arguments: dict[str, Any] = {}
    if args.decoder_channels:
        arguments["decoder_channels"] = _whole_numbers(args.decoder_channels)
        arguments["encoder_depth"] = len(arguments["decoder_channels"])
    sizes = [one.pixel_size_um for one in images if one.pixel_size_um]
    return new_network(
        args.name or args.out.stem,
        class_names(args.classes) if args.classes else _numbered(images),
        _channel_names(images[0]),
        architecture=args.arch or ARCHITECTURE,
        encoder=args.encoder or ENCODER,
        encoder_weights=args.encoder_weights,
        normalise=NormalisationKind(args.normalise or "zscore"),
        tile=args.tile or settings.patch,
        pixel_size_um=args.pixel_size or (median(sizes) if sizes else None),
        seed=settings.seed,
        arguments=arguments,
    )


def _renamed(args: argparse.Namespace, network: Network) -> Network:
    spec = network.spec
    names = class_names(args.classes) if args.classes else [one.name for one in spec.classes]
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
        name=args.name or args.out.stem,
        classes=classes,
        tile=args.tile or spec.tile,
        pixel_size_um=args.pixel_size or spec.pixel_size_um,
    )
    return replace(network, spec=spec)


def _numbered(images: list[Labelled]) -> list[str]:
    """Name as many classes as the masks need, at least two."""
    highest = max(int(one.mask[one.mask != NOT_COMPUTED].max(initial=0)) for one in images)
    return ["background", *(f"class {index}" for index in range(1, max(highest, 1) + 1))]


def _channel_names(image: Labelled) -> tuple[str, ...]:
    count = Source(image.pixels, axes=image.axes, name=image.name).n_channels
    if count == 1:
        return ("grey",)
    if count in (3, 4):
        return ("red", "green", "blue")
    return tuple(f"channel {index}" for index in range(count))


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise SettingsError(
            f"--decoder-channels '{text}' is no list of whole numbers, like 128,64,32,16,16."
        ) from None
