"""What takes a while and runs in another thread: devices, models, files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.io.samples import bundled_checkpoints, sample_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari.layers import Image

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.spec import Architecture
    from napari_tileseg.session import Session
    from napari_tileseg.viewer.results import Snapshot

SAMPLE_MODEL = "cells"
"""The bundled model that was made for the sample image."""


def devices() -> list[tuple[str, str]]:
    """Return what a run can use as (value, label), "auto" first; imports torch."""
    from napari_tileseg.engine.device import device_choices

    known = device_choices()
    return [("auto", f"Automatic · {known[0][1]}"), *known]


def bundled_names() -> list[str]:
    """Return the names of the models that come along."""
    return list(bundled_checkpoints())


def model(
    source: str, architecture: Architecture | None = None, classes: Sequence[str] | None = None
) -> Network:
    """Load a model; imports torch and the libraries its architecture comes from."""
    from napari_tileseg.io.checkpoints import load_model

    return load_model(source, architecture=architecture, classes=classes)


def sample_image_layer() -> Image:
    """Return the sample image as a layer."""
    from napari.layers import Image

    data, attributes = sample_layer_data()
    return Image(data, **attributes)


def sample_layer_data() -> tuple[Any, dict[str, Any]]:
    """Return the sample image and what napari is told about it."""
    from napari_tileseg.io.images import open_image

    with open_image(sample_image()) as opened:
        data = opened.levels[0].compute()
    attributes: dict[str, Any] = {"name": "cells", "rgb": opened.axes.endswith(("C", "S"))}
    if opened.pixel_size_um is not None:
        attributes |= {"scale": (opened.pixel_size_um,) * 2, "units": ("um", "um")}
    return data, attributes


def exporter(snapshot: Snapshot, session: Session, path: Path) -> Callable[[], Path]:
    """Return what writes labels, as they are now, when it is called in another thread."""
    image = session.image
    pixel_size = None if image is None else image.pixel_size_um
    provenance = {"model": session.view.origin, "settings": session.settings.changed()}

    def write() -> Path:
        from napari_tileseg.io.labels import export

        return export(
            snapshot.labels,
            path,
            classes=snapshot.classes,
            pixel_size_um=pixel_size,
            provenance=provenance,
        )

    return write
