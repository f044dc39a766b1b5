"""Segment images of any size with a neural network, tile by tile, where you look first.

>>> import napari_tileseg as nts
>>> model = nts.load_model("axon_myelin_sem")
>>> labels = nts.predict(image, model)
>>> nts.export(labels, "labels.ome.tif", classes=model.classes)
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tileseg.dataset import Dataset
    from napari_tileseg.engine.predict import predict, stream
    from napari_tileseg.evaluation import evaluate
    from napari_tileseg.io.checkpoints import load_model, save_model
    from napari_tileseg.io.labels import export
    from napari_tileseg.training.post_process import post_process
    from napari_tileseg.training.teaching import fine_tune

__all__ = [
    "Dataset",
    "__version__",
    "evaluate",
    "export",
    "fine_tune",
    "load_model",
    "post_process",
    "predict",
    "save_model",
    "stream",
]

_HOME = {
    "Dataset": "napari_tileseg.dataset",
    "evaluate": "napari_tileseg.evaluation",
    "export": "napari_tileseg.io.labels",
    "fine_tune": "napari_tileseg.training.teaching",
    "load_model": "napari_tileseg.io.checkpoints",
    "post_process": "napari_tileseg.training.post_process",
    "predict": "napari_tileseg.engine.predict",
    "save_model": "napari_tileseg.io.checkpoints",
    "stream": "napari_tileseg.engine.predict",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("napari-tileseg")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'napari_tileseg' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
