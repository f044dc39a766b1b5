"""The architectures of our own: what they are called, and what can be chosen about them."""

from __future__ import annotations

from napari_tileseg.models.arguments import Argument
from napari_tileseg.models.documented import BASE_CHANNELS, ENCODER_NAME, UPSAMPLING
from napari_tileseg.models.own_nets import OwnNet

OWN_NETS = {
    one.name: one
    for one in (
        OwnNet(
            "res-unet",
            "res_unet:ResUnet",
            "A U-Net of residual units (Zhang et al., 2018).",
            (
                Argument("depth", 3, "How often it halves its input; 3 in the paper.", at_most=6),
                BASE_CHANNELS,
                UPSAMPLING,
            ),
        ),
        OwnNet(
            "segnet",
            "segnet:Segnet",
            "The 13 convolutions of VGG16 and as many back, with each maximum put back where it "
            "was found (Badrinarayanan et al., 2017).",
            (
                Argument(
                    "pooling",
                    "max",
                    "How it halves: 'max' puts each maximum back where it was found, 'average' "
                    "spreads the mean over the four pixels it came from.",
                    ("max", "average"),
                ),
                BASE_CHANNELS,
            ),
        ),
        OwnNet(
            "fcn",
            "fcn:Fcn",
            "Fully convolutional VGG16 with summed scores: FCN-32s, 16s and 8s (Long et al., "
            "2015).",
            (
                Argument(
                    "variant",
                    "8s",
                    "Down to which stride scores are summed: 32s is coarse, 8s is fine.",
                    ("32s", "16s", "8s"),
                ),
                Argument(
                    "head_channels",
                    4096,
                    "How many channels its two widest layers have, where nearly all of its "
                    "weights are.",
                    at_most=4096,
                ),
                BASE_CHANNELS,
            ),
        ),
        OwnNet(
            "apcnet",
            "apcnet:Apcnet",
            "Adaptive pyramid context: each place chooses between the means of regions at several "
            "scales (He et al., 2019).",
            (
                ENCODER_NAME,
                Argument("encoder_output_stride", 8, "How far the encoder downsamples.", (8, 16)),
                Argument(
                    "scales",
                    [1, 2, 3, 6],
                    "Into how many regions along a side the tile is divided, one module each.",
                ),
                Argument(
                    "channels",
                    256,
                    "How many channels each module has; 512 in the paper.",
                    at_most=1024,
                ),
            ),
            ("depends on the tile's size (describes regions of the whole tile)",),
        ),
    )
}
