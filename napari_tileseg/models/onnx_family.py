"""ONNX networks as an architecture that files can name; it can be read, but not trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import CheckpointError
from napari_tileseg.models.arguments import Argument, check_choice, check_names
from napari_tileseg.models.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

NAME = "onnx"

ANSWERS = ("logits", "sigmoid", "softmax")
"""What an ONNX network can answer with: logits, or what was made of them."""

_BYTES = "bytes"
_LARGEST = 2**31
_LARGEST_PX = 65_536
_LEAST = {
    _BYTES: 1,
    "in_channels": 1,
    "classes": 1,
    "spatial_dims": 2,
    "stride": 1,
    "margin": 0,
    "bytes_per_px": 0,
}
_MAY_BE_OPEN = ("side", "batch")

_ANSWERS = Argument("answers", "logits", "What it answers with.", ANSWERS)


@dataclass(frozen=True)
class OnnxFamily:
    """What `models.onnx_net` runs; its arguments were read from the file, or found by trying."""

    summary: str = "A network in an ONNX file, run by onnxruntime; it cannot be trained."
    has_encoder: bool = False

    def arguments(self) -> tuple[Argument, ...]:
        """Return what a person can say about a file."""
        return (_ANSWERS,)

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the module with room for its file; `CheckpointError` if an argument is wrong."""
        from napari_tileseg.models.onnx_net import OnnxNet

        check_names(NAME, arguments, (*_LEAST, *_MAY_BE_OPEN, _ANSWERS.name))
        check_choice(NAME, arguments.get(_ANSWERS.name), _ANSWERS)
        for name in (*_LEAST, *_MAY_BE_OPEN):
            value = arguments.get(name)
            most = _LARGEST if name.startswith(_BYTES) else _LARGEST_PX
            if value is None and name in _MAY_BE_OPEN:
                continue
            if type(value) is not int or not _LEAST.get(name, 1) <= value <= most:
                raise CheckpointError(
                    f"The argument {name} of {NAME} is {value!r}; it has to be a whole number. "
                    "Open the ONNX file itself, and save the model again."
                )
        return OnnxNet(
            arguments[_BYTES],
            side=arguments.get("side"),
            batch=arguments.get("batch"),
            margin=arguments["margin"],
            answers=arguments[_ANSWERS.name],
            outputs=arguments["classes"],
            bytes_per_px=arguments["bytes_per_px"],
        )

    def facts_of(self, module: nn.Module, arguments: Mapping[str, Any]) -> Facts:
        """Return what a description has to say about a module that `build` made."""
        return Facts(
            arguments["stride"],
            (),
            arguments["in_channels"],
            arguments["classes"],
            arguments["margin"],
            arguments["spatial_dims"],
        )


ONNX = OnnxFamily()
