"""The U-Net that people write themselves, as an architecture that files can name."""

from __future__ import annotations

from napari_tileseg.models.arguments import Argument
from napari_tileseg.models.own_nets import OwnNet

NAME = "scratch-unet"

UPSAMPLING_CHOICES = ("transposed", "nearest", "bilinear", "bilinear-aligned")
ACTIVATIONS = ("relu", "leaky-relu", "elu", "gelu", "silu")

SCRATCH_UNET = OwnNet(
    NAME,
    "scratch_unet:ScratchUnet",
    "A U-Net of double convolutions with any widths, as people write it themselves.",
    (
        Argument(
            "widths",
            [[64, 64], [128, 128], [256, 256], [512, 512], [1024, 1024]],
            "Channels after both convolutions of each level, from the finest on.",
        ),
        Argument(
            "join_widths",
            [[512, 512], [256, 256], [128, 128], [64, 64]],
            "Channels after both convolutions of each level on the way back.",
        ),
        Argument(
            "up_widths",
            [512, 256, 128, 64],
            "Channels after each transposed convolution; none if nothing is learnt there.",
        ),
        Argument(
            "upsampling",
            "transposed",
            "How features are brought to twice their size.",
            UPSAMPLING_CHOICES,
        ),
        Argument("batch_norm", False, "Whether convolutions are normalised.", (False, True)),
        Argument("bias", True, "Whether convolutions have an offset.", (False, True)),
        Argument("activation", "relu", "What follows each convolution.", ACTIVATIONS),
        Argument(
            "skip_first",
            True,
            "Whether skips come before what is upsampled.",
            (False, True),
        ),
    ),
)
