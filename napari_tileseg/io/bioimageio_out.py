"""Networks out as packages of bioimage.io, checked by its own library before they are there."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg.engine.normalise import scaling_for
from napari_tileseg.engine.source import Source
from napari_tileseg.engine.spec import NormalisationKind, Task
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io import own_format
from napari_tileseg.io.atomic import written_beside
from napari_tileseg.io.limits import shown
from napari_tileseg.io.onnx_files import read_onnx
from napari_tileseg.io.onnx_out import own_copy, save_onnx
from napari_tileseg.models.libraries import import_bioimageio, import_onnx
from napari_tileseg.models.onnx_net import OnnxNet
from napari_tileseg.models.smp_decoders import SMP_DECODERS

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network

_FORMAT = "0.5.4"
"""The oldest that has all we write, so that more programs read it."""

_SPACE = {2: "yx", 3: "zyx"}
_LEAST_PX = {2: 128, 3: 32}
_SMP = "smp."
_ONNX = "weights.onnx"
_SHORTEST = 5


def save_package(network: Network, path: Path) -> Path:
    """Save a network as a package of bioimage.io: a zip archive that other programs open.

    It holds the weights of a network of segmentation-models-pytorch, or ONNX of any other one,
    what is done to intensities, and an input with the answer to it.

    Parameters
    ----------
    network
        Any network.
    path
        The archive to write.

    Raises
    ------
    CheckpointError
        If it cannot be written as ONNX, or the library of bioimage.io finds fault with it.
    OutputError
        If the file cannot be written; an existing one is untouched.
    TilesegError
        If the libraries that this needs are not installed.
    """
    import_bioimageio()
    network = own_copy(network)
    with TemporaryDirectory(prefix="tileseg-") as name:
        folder = Path(name)
        if not _is_of_smp(network):
            # whether that is bound to one size shows when it is read
            network = read_onnx(save_onnx(network, folder / _ONNX), None, None)
        _write(network, folder)
        _validate(network.spec.name, folder)
        with written_beside(path) as part, zipfile.ZipFile(part, "w") as archive:
            for one in sorted(folder.iterdir()):
                archive.write(one, one.name)
    return path


def _is_of_smp(network: Network) -> bool:
    return network.architecture is not None and network.architecture.name.startswith(_SMP)


def _write(network: Network, folder: Path) -> None:
    given, answer = _test_tensors(network)
    np.save(folder / "test_input.npy", given)
    np.save(folder / "test_output.npy", answer)
    (folder / "README.md").write_text(_card(network), encoding="utf-8")
    spec = network.spec
    description: dict[str, Any] = {
        "format_version": _FORMAT,
        "type": "model",
        "name": _name(spec.name),
        "description": f"Segments {', '.join(one.name for one in spec.classes)}.",
        "documentation": _file(folder, "README.md"),
        "authors": [{"name": one} for one in _authors(network)],
        "tags": ["semantic-segmentation"],
        "inputs": [_input(network, folder, given)],
        "outputs": [_output(network, folder)],
        "weights": _weights(network, folder),
        "config": {own_format.KEY: _own_description(network)},
    }
    # JSON is YAML as well
    text = json.dumps(description, indent=1, ensure_ascii=False)
    (folder / "bioimageio.yaml").write_text(text, encoding="utf-8")


def _name(name: str) -> str:
    """Return a name with the signs that the format allows."""
    plain = "".join(
        one if one.isascii() and (one.isalnum() or one in " _+-()") else " " for one in name
    )
    plain = " ".join(plain.split())[:128]
    return plain if len(plain) >= _SHORTEST else f"model {plain}".strip()


def _authors(network: Network) -> list[str]:
    said = network.provenance.get("authors")
    named = [shown(one) for one in said] if isinstance(said, list) else []
    return named or ["unknown"]


def _card(network: Network) -> str:
    spec = network.spec
    size = "unknown" if spec.pixel_size_um is None else f"{spec.pixel_size_um:g} micrometres"
    return (
        f"# {shown(spec.name)}\n\n"
        f"Reads {', '.join(map(shown, spec.channels))}; answers with one value for each pixel and "
        f"class ({', '.join(shown(one.name) for one in spec.classes)}). Pixel size: {size}.\n\n"
        "Written by napari-tileseg, which also reads it back, with classes and colours.\n\n"
        "## Validation\n\nNot known here: try it on images of which you know the answer.\n"
    )


def _own_description(network: Network) -> str:
    assert network.architecture is not None
    return own_format.to_text(network, network.architecture)


def _file(folder: Path, name: str) -> dict[str, str]:
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return {"source": name, "sha256": digest}


def _test_tensors(network: Network) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return an image, (1, channels, *spatial), and the answer that the package promises for it."""
    spec, dims = network.spec, network.spec.spatial_dims
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (len(spec.channels), *_shape(network, odd=True)))
    kind = np.uint8 if spec.normalisation.kind is NormalisationKind.FIXED else np.float32
    image = pixels.astype(kind)
    source = Source(image, axes="C" + _SPACE[dims].upper(), name=spec.name)
    channels = range(len(spec.channels))
    scaling = scaling_for(source, spec.normalisation, channels, spec.name)
    with torch.inference_mode():
        tiles = scaling.apply(torch.from_numpy(image[None]))
        logits = network.module(tiles).float()
        answer = logits.softmax(1) if spec.task is Task.MULTICLASS else logits.sigmoid()
    return image[None], answer.numpy()


def _shape(network: Network, *, odd: bool) -> tuple[int, ...]:
    """Return the least size that is read along each axis, or one that differs along them."""
    spec = network.spec
    side = _only_side(network)
    if side is not None:
        return (side,) * spec.spatial_dims
    times = max(2, -(-_LEAST_PX[spec.spatial_dims] // spec.stride))
    more = [odd * (axis == spec.spatial_dims - 1) for axis in range(spec.spatial_dims)]
    return tuple((times + one) * spec.stride + 2 * spec.margin for one in more)


def _only_side(network: Network) -> int | None:
    module = network.module
    return module.side if isinstance(module, OnnxNet) else None


def _input(network: Network, folder: Path, given: np.ndarray[Any, Any]) -> dict[str, Any]:
    spec, module = network.spec, network.module
    one_by_one = isinstance(module, OnnxNet) and module.batch is not None
    axes: list[dict[str, Any]] = [
        {"type": "batch", "size": 1} if one_by_one else {"type": "batch"},
        {"type": "channel", "channel_names": [shown(one) for one in spec.channels]},
    ]
    for name, least in zip(_SPACE[spec.spatial_dims], _shape(network, odd=False), strict=True):
        any_size = {"min": least, "step": spec.stride}
        size = any_size if _only_side(network) is None else least
        axes.append({"type": "space", "id": name, "size": size, **_scale(network)})
    return {
        "id": "image",
        "axes": axes,
        "data": {"type": str(given.dtype)},
        "test_tensor": _file(folder, "test_input.npy"),
        "preprocessing": _preprocessing(network),
    }


def _scale(network: Network) -> dict[str, Any]:
    size = network.spec.pixel_size_um
    return {} if size is None else {"unit": "micrometer", "scale": size}


def _output(network: Network, folder: Path) -> dict[str, Any]:
    spec = network.spec
    found = spec.classes[1:] if spec.task is Task.BINARY else spec.classes
    offset = -2 * spec.margin
    axes: list[dict[str, Any]] = [
        {"type": "batch"},
        {"type": "channel", "channel_names": [shown(one.name) for one in found]},
    ]
    for name in _SPACE[spec.spatial_dims]:
        size = {"tensor_id": "image", "axis_id": name, "offset": offset}
        axes.append({"type": "space", "id": name, "size": size, **_scale(network)})
    return {
        "id": "probabilities",
        "axes": axes,
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "test_tensor": _file(folder, "test_output.npy"),
        "postprocessing": _postprocessing(network),
    }


def _preprocessing(network: Network) -> list[dict[str, Any]]:
    float32 = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
    # what the steps end with is cast to the type of the image, if nothing else is said
    return [float32, *_scaling(network), float32]


def _scaling(network: Network) -> list[dict[str, Any]]:
    wanted, channels = network.spec.normalisation, len(network.spec.channels)
    over = {"axes": list(_SPACE[network.spec.spatial_dims])}
    steps: list[dict[str, Any]] = []
    unit = 1.0
    if wanted.kind is NormalisationKind.NONE:
        return steps
    if wanted.kind is NormalisationKind.FIXED:
        unit = 255.0
    elif wanted.kind is NormalisationKind.ZSCORE:
        steps.append({"id": "zero_mean_unit_variance", "kwargs": over})
    else:
        more = {"min_percentile": wanted.low, "max_percentile": wanted.high}
        steps.append({"id": "scale_range", "kwargs": {**over, **more}})
    mean, std = ([unit * v for v in values] for values in (wanted.mean, wanted.std))
    kwargs: dict[str, Any] = {"mean": mean[0], "std": std[0]}
    if len(mean) > 1 or len(std) > 1:
        each = {"mean": _for_each(mean, channels), "std": _for_each(std, channels)}
        kwargs = {**each, "axis": "channel"}
    if kwargs != {"mean": 0.0, "std": 1.0}:
        steps.append({"id": "fixed_zero_mean_unit_variance", "kwargs": kwargs})
    return steps


def _for_each(values: list[float], channels: int) -> list[float]:
    return values * channels if len(values) == 1 else values


def _postprocessing(network: Network) -> list[dict[str, Any]]:
    if isinstance(network.module, OnnxNet) and network.module.answers != "logits":
        return []
    if network.spec.task is Task.MULTICLASS:
        return [{"id": "softmax", "kwargs": {"axis": "channel"}}]
    return [{"id": "sigmoid"}]


def _weights(network: Network, folder: Path) -> dict[str, Any]:
    architecture = network.architecture
    if architecture is None or not _is_of_smp(network):
        sets = import_onnx().load(folder / _ONNX).opset_import
        opset = next(one.version for one in sets if not one.domain)
        return {"onnx": {**_file(folder, _ONNX), "opset_version": opset}}
    torch.save(own_format.weights_of(network), folder / "weights.pt")
    return {
        "pytorch_state_dict": {
            **_file(folder, "weights.pt"),
            "architecture": {
                "import_from": "segmentation_models_pytorch",
                "callable": architecture.name.removeprefix(_SMP),
                "kwargs": {
                    **SMP_DECODERS[architecture.name].completed(architecture.arguments),
                    "encoder_weights": None,
                },
            },
            "pytorch_version": torch.__version__.partition("+")[0],
        }
    }


def _validate(name: str, folder: Path) -> None:
    spec = import_bioimageio()
    found = spec.load_description(folder / "bioimageio.yaml", perform_io_checks=True)
    if isinstance(found, spec.InvalidDescr):
        problems = [one for detail in found.validation_summary.details for one in detail.errors]
        said = "; ".join(f"{'.'.join(map(str, one.loc))}: {one.msg}" for one in problems[:3])
        raise CheckpointError(
            f"'{name}' cannot become a package of bioimage.io: {shown(said)}. "
            "Save it as .safetensors or .onnx."
        )
