"""Networks in and out of files. Nothing that is loaded here can run code."""

from __future__ import annotations

import json
from dataclasses import replace
from difflib import get_close_matches
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save as safetensors_bytes

from napari_tileseg.engine.device import resolve_device
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture, ModelSpec
from napari_tileseg.errors import CheckpointError, OutputError
from napari_tileseg.io.atomic import written_beside
from napari_tileseg.io.formats import Format, recognise
from napari_tileseg.io.samples import bundled_checkpoints
from napari_tileseg.io.smp_folder import is_smp_config, read_smp_folder
from napari_tileseg.io.specs import described, named_classes
from napari_tileseg.io.state_dicts import (
    Weights,
    fill,
    outputs_of,
    read_safetensors,
    read_torch,
)
from napari_tileseg.models import registry

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = "napari-tileseg"
VERSION = 1
_OF_THE_FILE = ("file", "sha256")


def bundled_models() -> dict[str, Path]:
    """Return the checkpoints that come with the program, by name."""
    return bundled_checkpoints()


def load_model(
    source: str | Path,
    *,
    device: str = "cpu",
    architecture: Architecture | None = None,
    classes: Sequence[str] | None = None,
) -> Network:
    """Load a network that is ready to run; no code in the file is run, nothing is downloaded.

    Parameters
    ----------
    source
        The name of a bundled model, our own .safetensors file, a folder written by
        `save_pretrained` of segmentation-models-pytorch, or a file with a state dict.
    device
        Where it will run: "auto", "cpu", "cuda", "cuda:1", "mps".
    architecture
        How to build the network; needed for a bare state dict only.
    classes
        Names in the order of the label values, instead of those in the file.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, not safe to use, or does not fit.
    DeviceError
        If there is no such device.
    """
    target = resolve_device(device)
    path = _find(source)
    kind = recognise(path)
    if kind is Format.SAFETENSORS and _is_part_of_folder(path):
        path, kind = path.parent, Format.SMP_FOLDER
    if kind is Format.SMP_FOLDER:
        network = _from_smp_folder(path, classes)
    elif kind is Format.SAFETENSORS:
        network = _from_safetensors(path, architecture, classes)
    else:
        network = _from_state_dict(path, read_torch(path), architecture, classes)
    network.module.to(target)
    return network


def save_model(network: Network, path: str | Path, *, half: bool = False) -> Path:
    """Save a network with its description as one .safetensors file.

    Parameters
    ----------
    network
        Any network that knows its architecture.
    path
        Gets the suffix .safetensors if it has none.
    half
        Store weights as 16-bit numbers: half the size; they are loaded as 32-bit numbers.

    Returns
    -------
    The file that was written.

    Raises
    ------
    CheckpointError
        If the network does not know how to be built again.
    OutputError
        If the file cannot be written; an existing one is untouched.
    """
    target = Path(path)
    if not target.suffix:
        target = target.with_suffix(".safetensors")
    if target.suffix.lower() != ".safetensors":
        raise OutputError(
            f"Models are saved as .safetensors, not as {target.suffix}. "
            f"Name the file {target.with_suffix('.safetensors').name}."
        )
    if network.architecture is None:
        raise CheckpointError(
            f"'{network.spec.name}' cannot be saved: how to build it is not known. "
            "Load it together with its architecture."
        )
    description = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": {
            "name": network.architecture.name,
            "arguments": network.architecture.arguments,
        },
        "spec": network.spec.to_dict(),
        "provenance": {k: v for k, v in network.provenance.items() if k not in _OF_THE_FILE},
    }
    weights = {name: _stored(one, half) for name, one in network.module.state_dict().items()}
    content = safetensors_bytes(weights, {FORMAT: json.dumps(description)})
    with written_beside(target) as part:
        part.write_bytes(content)
    return target


def _stored(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous().clone()
    if not half or not tensor.is_floating_point():
        return tensor
    short = tensor.half()
    # a few statistics exceed the range of 16 bits; those stay as they are
    return short if bool(torch.isfinite(short).all()) else tensor


def _find(source: str | Path) -> Path:
    bundled = bundled_models()
    if isinstance(source, str) and source in bundled:
        return bundled[source]
    path = Path(source).expanduser()
    if path.exists():
        return path
    beside = [one.name for one in path.parent.glob("*")] if path.parent.is_dir() else []
    near = get_close_matches(path.name, [*bundled, *beside], n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    names = ", ".join(bundled) or "none"
    raise CheckpointError(
        f"There is no file, folder or bundled model '{source}'.{hint} "
        f"Bundled models: {names}. Check the name and the folder."
    )


def _is_part_of_folder(path: Path) -> bool:
    return path.name == "model.safetensors" and is_smp_config(path.parent / "config.json")


def _from_smp_folder(folder: Path, classes: Sequence[str] | None) -> Network:
    found = read_smp_folder(folder)
    if recognise(found.weights) is Format.SAFETENSORS:
        weights, _ = read_safetensors(found.weights)
    else:
        weights = read_torch(found.weights)
    module = registry.build(found.architecture)
    fill(module, weights, found.weights.name, found.architecture.name)
    name = folder.resolve().name
    spec = described(module, found.architecture, name, classes, found.encoder_weights)
    return Network(module, spec, found.architecture, _provenance(found.weights, {}))


def _from_safetensors(
    path: Path, architecture: Architecture | None, classes: Sequence[str] | None
) -> Network:
    weights, metadata = read_safetensors(path)
    if FORMAT not in metadata:
        return _from_state_dict(path, weights, architecture, classes)
    description = _description(path, metadata[FORMAT])
    recipe = _architecture(path, description)
    module = registry.build(recipe)
    fill(module, weights, path.name, recipe.name)
    spec = ModelSpec.from_dict(description.get("spec", {}))
    _check_fit(path, spec, registry.facts(module, recipe))
    if classes is not None:
        spec = replace(spec, classes=named_classes(classes, spec.n_outputs, spec.name))
    provenance = description.get("provenance")
    return Network(
        module, spec, recipe, _provenance(path, provenance if isinstance(provenance, dict) else {})
    )


def _from_state_dict(
    path: Path,
    weights: Weights,
    architecture: Architecture | None,
    classes: Sequence[str] | None,
) -> Network:
    if architecture is None:
        raise CheckpointError(
            f"'{path.name}' holds weights, but not how to build their network. Give the "
            "architecture and its arguments, for example "
            "Architecture('smp.Unet', {'encoder_name': 'resnet34', 'classes': 3})."
        )
    arguments = dict(architecture.arguments)
    outputs = outputs_of(weights)
    if outputs is not None:
        arguments.setdefault("classes", outputs)
    recipe = Architecture(registry.full_name(architecture.name), arguments)
    module = registry.build(recipe)
    fill(module, weights, path.name, recipe.name)
    spec = described(module, recipe, path.stem, classes)
    return Network(module, spec, recipe, _provenance(path, {}))


def _description(path: Path, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        version = found["version"]
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"The description inside '{path.name}' cannot be read. Copy or download it again."
        ) from error
    if version != VERSION:
        raise CheckpointError(
            f"'{path.name}' was saved by a newer version (its format is {version}; this program "
            f"reads {VERSION}). Update napari-tileseg: pip install --upgrade napari-tileseg"
        )
    return dict(found)


def _architecture(path: Path, description: dict[str, Any]) -> Architecture:
    found = description.get("architecture")
    if (
        not isinstance(found, dict)
        or not isinstance(found.get("name"), str)
        or not isinstance(found.get("arguments"), dict)
    ):
        raise CheckpointError(
            f"'{path.name}' does not say how to build its network. Save it again."
        )
    return Architecture(registry.full_name(found["name"]), found["arguments"])


def _check_fit(path: Path, spec: ModelSpec, known: registry.Facts) -> None:
    if spec.n_outputs != known.outputs:
        raise CheckpointError(
            f"'{path.name}' names {len(spec.classes)} classes ({spec.task}), but its network gives "
            f"{known.outputs} outputs. The file contradicts itself: save it again with matching "
            "classes."
        )
    if len(spec.channels) != known.in_channels:
        raise CheckpointError(
            f"'{path.name}' says that it reads {len(spec.channels)} channels, but its network "
            f"reads {known.in_channels}. The file contradicts itself: save it again."
        )


def _provenance(path: Path, stored: dict[str, Any]) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    return {**stored, "file": path.name, "sha256": digest}
