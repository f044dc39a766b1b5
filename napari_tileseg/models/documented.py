"""Arguments that several architectures have."""

from __future__ import annotations

from napari_tileseg.models.arguments import Argument

IN_CHANNELS = Argument("in_channels", 3, "How many channels of an image it reads.")

CLASSES = Argument("classes", 2, "How many logits it gives for each pixel.")

ENCODER_NAME = Argument(
    "encoder_name",
    "resnet34",
    "The encoder, by its name in segmentation-models-pytorch, or 'tu-' and its name in timm.",
)

BASE_CHANNELS = Argument(
    "base_channels",
    64,
    "How many channels its first level has; the levels below have more.",
    at_most=256,
)

UPSAMPLING = Argument(
    "upsampling",
    "transposed",
    "How features are brought to twice their size: by a transposed convolution, by interpolation "
    "(nothing is learnt), or by shuffling channels into pixels.",
    ("transposed", "bilinear", "nearest", "pixelshuffle"),
)
