"""Whether a network can be written as ONNX, and answers there as it does here."""

from __future__ import annotations

import logging
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg.models.building import BUILD_ERRORS

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network

_TOLERANCE = 1e-3


def onnx_export(network: Network) -> str:
    """Export a network, and say "ok", or why not.

    It answers for the same tile in onnxruntime up to a thousandth of the spread of the logits.
    """
    try:
        runtime = import_module("onnxruntime")
        import_module("onnxscript")
    except ImportError as error:
        return f"not tried: {error.name} is not installed"
    side = 2 * network.spec.stride + 2 * network.spec.margin
    tile = torch.rand(1, len(network.spec.channels), side, side)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        path = Path(folder) / "network.onnx"
        try:
            torch.onnx.export(network.module, (tile,), path, dynamo=True, verbose=False)
            answer = _answer(runtime, path, tile)
        except (torch.onnx.errors.OnnxExporterError, *BUILD_ERRORS) as error:
            return f"no: {_first_line(error)}"
        finally:
            logging.disable(logging.NOTSET)
    with torch.inference_mode():
        ours = network.module(tile)
    apart = float((answer - ours).abs().max() / (ours.std() + 1e-12))
    return "ok" if apart <= _TOLERANCE else f"no: it answers otherwise there, by {apart:.2g}"


def _answer(runtime: Any, path: Path, tile: torch.Tensor) -> torch.Tensor:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: tile.numpy()}
    return torch.from_numpy(session.run(None, given)[0])


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(iter(lines), type(error).__name__)[:200]
