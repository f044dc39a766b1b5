"""Every knob once: its default, bounds, label, unit and help stand together here.

The form in the dock, the options of the command line and the settings saved with a
result are all made from these frozen classes, so they cannot disagree.
"""

from napari_tileseg.settings.losses import ClassWeights, Loss, LossSettings
from napari_tileseg.settings.precision import Precision
from napari_tileseg.settings.run import Blend, Mode, RunSettings, Tta, TtaMean
from napari_tileseg.settings.teach import Layers, TeachSettings, What
from napari_tileseg.settings.train import TrainSettings

__all__ = [
    "Blend",
    "ClassWeights",
    "Layers",
    "Loss",
    "LossSettings",
    "Mode",
    "Precision",
    "RunSettings",
    "TeachSettings",
    "TrainSettings",
    "Tta",
    "TtaMean",
    "What",
]
