"""Networks out to ONNX, which other programs run; read back here, nothing of them is lost."""

from __future__ import annotations

import copy
import logging
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg.engine.spec import Architecture
from napari_tileseg.errors import CheckpointError, NetworkError
from napari_tileseg.io import own_format
from napari_tileseg.io.atomic import written_beside
from napari_tileseg.models.building import BUILD_ERRORS
from napari_tileseg.models.libraries import import_onnx, import_onnxscript, load_triton_apart
from napari_tileseg.models.onnx_family import NAME
from napari_tileseg.models.onnx_net import OnnxNet, failed, in_one_line, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_tileseg.engine.network import Network

TOLERANCE = 1e-3
"""How far onnxruntime may be from torch, as a share of the spread of the logits."""

EXPORT_ERRORS = (torch.onnx.errors.OnnxExporterError, *BUILD_ERRORS)
"""What torch raises when it cannot write a network as ONNX."""

_LEAST_PX = {2: 64, 3: 16}


def save_onnx(network: Network, path: Path) -> Path:
    """Save a network as one ONNX file, for tiles of any size where it allows that.

    Before the file is there, onnxruntime has answered as torch does.

    Parameters
    ----------
    network
        Any network; one that came from ONNX is written as it came.
    path
        The file to write.

    Raises
    ------
    CheckpointError
        If torch cannot write it as ONNX, or it answers otherwise there.
    OutputError
        If the file cannot be written; an existing one is untouched.
    TilesegError
        If the libraries that write and run ONNX are not installed.
    """
    onnx = import_onnx()
    network = own_copy(network)
    with written_beside(path) as part:
        answers = "logits"
        if isinstance(network.module, OnnxNet):
            part.write_bytes(network.module.content.numpy().tobytes())
            answers = network.module.answers
        else:
            _export(network, part)
        model = onnx.load(part)
        del model.metadata_props[:]
        about = own_format.to_text(network, Architecture(NAME, {"answers": answers}))
        onnx.helper.set_model_props(model, {own_format.KEY: about})
        part.write_bytes(model.SerializeToString())
    return path


def difference(network: Network, path: Path, tiles: torch.Tensor) -> float:
    """Return how far onnxruntime is from torch, as a share of the spread of the logits.

    Raises
    ------
    NetworkError
        If onnxruntime cannot run it.
    """
    session = open_session(path.read_bytes(), "cpu", torch.get_num_threads())
    (given,) = session.get_inputs()
    try:
        answer = torch.from_numpy(session.run(None, {given.name: tiles.numpy()})[0])
    except Exception as error:  # its kinds of errors have no common base
        raise failed(error) from error
    with torch.inference_mode():
        ours = network.module(tiles)
    return float((answer - ours).abs().max() / (ours.std() + 1e-12))


def export(network: Network, path: Path, tiles: torch.Tensor, *, any_size: bool) -> None:
    """Write what torch makes of a network; one of `EXPORT_ERRORS` if it makes nothing of it.

    Parameters
    ----------
    network, path
        What is written, and where.
    tiles
        What it is shown, (B, channels, *spatial) float32.
    any_size
        Whether it is to read other sizes and numbers of tiles as well.
    """
    load_triton_apart()  # torch loads it when it traces a network
    import_onnxscript()
    auto = torch.export.Dim.AUTO
    axes = {axis: auto for axis in range(tiles.ndim) if axis != 1}
    with _quietly():
        torch.onnx.export(
            network.module,
            (tiles,),
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=(axes,) if any_size else None,
        )


def reason(error: BaseException) -> str:
    """Return why a network cannot be written, in a line.

    What torch's exporter says itself is how to report that to its authors.
    """
    while isinstance(error, torch.onnx.errors.OnnxExporterError) and error.__cause__ is not None:
        error = error.__cause__
    return in_one_line(error)


def own_copy(network: Network) -> Network:
    """Copy a network into main memory: while it is traced, nobody else may run it."""
    return replace(network, module=copy.deepcopy(network.module).to("cpu").eval())


def tile_for(network: Network, times: Sequence[int], batch: int = 1) -> torch.Tensor:
    """Return noise with so many strides along each axis, and the margin around them."""
    spec = network.spec
    sizes = (one * spec.stride + 2 * spec.margin for one in times)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, len(spec.channels), *sizes, generator=generator)


def _export(network: Network, path: Path) -> None:
    """Write a network for any size, else for the size it suggests."""
    spec = network.spec
    least = max(2, -(-_LEAST_PX[spec.spatial_dims] // spec.stride))
    several = [least, least + 1, least][: spec.spatial_dims]
    suggested = [max(1, spec.tile // spec.stride)] * spec.spatial_dims
    why = ""
    for any_size, shown, times in (
        (True, tile_for(network, several, 2), [one + 1 for one in several]),
        (False, tile_for(network, suggested), suggested),
    ):
        try:
            export(network, path, shown, any_size=any_size)
            apart = difference(network, path, tile_for(network, times))
        except (*EXPORT_ERRORS, NetworkError) as error:
            why = why or reason(error)
            continue
        if apart <= TOLERANCE:
            return
        why = f"it answers otherwise there, by {apart:.2g} of the spread of its logits"
    raise CheckpointError(
        f"'{network.spec.name}' cannot be written as ONNX: {why}. Save it as .safetensors."
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep to oneself what the libraries have to say while they export."""
    before: Any = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
