"""What takes a while and runs in another thread: devices, models, files."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg.errors import ModelFitError
from napari_tileseg.io.samples import bundled_checkpoints, sample_image
from napari_tileseg.models.libraries import load_triton_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Image

    from napari_tileseg.engine.estimate import Estimate
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source
    from napari_tileseg.engine.spec import Architecture
    from napari_tileseg.models.recognised import Recognised
    from napari_tileseg.settings import Mode

SAMPLE_MODEL = "cells"
"""The bundled model whose image the demo opens."""


def devices() -> list[tuple[str, str]]:
    """Return what a run can use as (value, label), "auto" first.

    Also imports what a run needs, so that the window does not stand still at the first click.
    """
    load_triton_apart()
    for name in ("pandas", "napari_tileseg.engine.estimate", "napari_tileseg.models.registry"):
        import_module(name)
    from napari_tileseg.engine.device import device_choices

    known = device_choices()
    return [("auto", f"Automatic · {known[0][1]}"), *known]


def encoders() -> list[str]:
    """Return the names of all encoders; imports the libraries that have them."""
    load_triton_apart()
    from napari_tileseg.models.encoders import encoder_names

    return encoder_names()


def estimate(
    plan: Plan, source: Source, network: Network, should_stop: Callable[[], bool]
) -> Estimate:
    """Find out what a run costs; imports the engine."""
    load_triton_apart()  # asking what memory a network takes loads it
    from napari_tileseg.engine.estimate import estimate as measure

    return measure(plan, source, network, should_stop=should_stop, watched=True)


def bundled_names() -> list[str]:
    """Return the names of the models that come along."""
    return list(bundled_checkpoints())


def model(
    source: str,
    architecture: Architecture | None = None,
    classes: Sequence[str] | None = None,
    trust: bool = False,
) -> Network:
    """Load a model; imports torch and the libraries its architecture comes from."""
    from napari_tileseg.io.checkpoints import load_model

    return load_model(source, architecture=architecture, classes=classes, trust=trust)


def saved(network: Network, path: str, *, as_folder: bool) -> Path:
    """Write a model into a file, or a folder of segmentation-models-pytorch; return which."""
    from napari_tileseg.io.checkpoints import save_model
    from napari_tileseg.io.smp_folders_out import save_smp_folder

    if as_folder:
        return save_smp_folder(network, Path(path))
    return save_model(network, path)


def look(path: str) -> list[Recognised] | None:
    """Tell what bare weights may belong to; None if a file says so itself."""
    from napari_tileseg.io.checkpoints import look as look_at

    return look_at(path)


def assumptions(network: Network) -> str:
    """Return what bare weights did not tell, in one sentence; empty if nothing was assumed."""
    from napari_tileseg.io.bare_weights import ASSUMED

    return str(network.provenance.get(ASSUMED, ""))


def probe(network: Network, mode: Mode) -> None:
    """Find out how far a network looks in a mode; it remembers the answer."""
    from napari_tileseg.engine.geometry import required_halo

    with suppress(ModelFitError):  # is said when a plan is made
        required_halo(network, mode)


def sample_image_layer() -> Image:
    """Return the sample image as a layer."""
    from napari.layers import Image

    data, attributes = sample_layer_data()
    return Image(data, **attributes)


def sample_layer_data(model: str = SAMPLE_MODEL) -> tuple[Any, dict[str, Any]]:
    """Return the image to try a bundled model on, and what napari is told about it."""
    from napari_tileseg.io.images import open_image

    path = sample_image(model)
    with open_image(path) as opened:
        data = np.asarray(opened.levels[0])
    size = opened.pixel_size_um
    attributes: dict[str, Any] = {"name": path.stem, "rgb": opened.axes.endswith("C")}
    if size is not None:
        attributes |= {"scale": (size, size), "units": ("um", "um")}
    return data, attributes
