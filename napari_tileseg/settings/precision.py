"""The number format a network computes in."""

from __future__ import annotations

from napari_tileseg.knobs import Choice


class Precision(Choice):
    """The number format the network computes in; merging is always exact."""

    AUTO = "auto", "Automatic", "half precision where a comparison shows it faster and harmless"
    FP32 = "fp32", "Full (fp32)", "32-bit floating point"
    BF16 = "bf16", "Half (bf16)", "faster on recent devices; a few pixels may differ"
    BF16_DECODER = (
        "bf16-decoder",
        "Half, encoder full (bf16)",
        "the encoder in fp32: less fast, and fewer pixels differ",
    )
    FP16 = "fp16", "Half (fp16)", "faster on GPUs; a few pixels may differ"


NOT_FOR_LEARNING = (Precision.FP16, Precision.BF16_DECODER)
"""Formats to compute labels in, but not to learn in."""
