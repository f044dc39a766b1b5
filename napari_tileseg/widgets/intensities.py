"""What a person calls each way to scale intensities."""

from __future__ import annotations

from napari_tileseg.engine.spec import NormalisationKind

NAMES = {
    NormalisationKind.FIXED: "Fixed, by number format",
    NormalisationKind.ZSCORE: "Mean and spread of the image",
    NormalisationKind.PERCENTILE: "Percentiles of the image",
    NormalisationKind.NONE: "As they are",
}

SHORT = {
    NormalisationKind.FIXED: "Fixed",
    NormalisationKind.ZSCORE: "Mean and spread",
    NormalisationKind.PERCENTILE: "Percentiles",
    NormalisationKind.NONE: "As they are",
}
"""Where there is little room."""
