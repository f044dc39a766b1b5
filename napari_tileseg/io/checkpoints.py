"""Networks in and out of files. Nothing that is loaded here can run code."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.device import resolve_device
from napari_tileseg.engine.global_context import with_facts
from napari_tileseg.engine.network import Network
from napari_tileseg.errors import CheckpointError, NotTrustedError, OutputError
from napari_tileseg.io import own_format
from napari_tileseg.io.atomic import written_beside
from napari_tileseg.io.bare_weights import network_of, recognised
from napari_tileseg.io.bioimageio_in import DESCRIPTIONS, read_package
from napari_tileseg.io.bioimageio_out import save_package
from napari_tileseg.io.formats import IF_TRUSTED, Format, kind_of, recognise
from napari_tileseg.io.hugging_face import fetched, is_on_hub, name_on_hub
from napari_tileseg.io.known_facts import use_known_facts
from napari_tileseg.io.limits import ANOTHER, FROM_OTHERS, check_text, no_more_than
from napari_tileseg.io.onnx_files import check_stored, look_at, read_onnx
from napari_tileseg.io.onnx_out import save_onnx
from napari_tileseg.io.samples import bundled_checkpoints
from napari_tileseg.io.smp_folder import is_smp_config, read_smp_folder
from napari_tileseg.io.smp_folders_out import DESCRIPTION
from napari_tileseg.io.specs import described, named_classes
from napari_tileseg.io.state_dicts import (
    Weights,
    fill,
    read_metadata,
    read_safetensors,
    read_torch,
    read_weights,
)
from napari_tileseg.io.trusted import from_trusted, trusted_content
from napari_tileseg.models import registry
from napari_tileseg.models.onnx_net import OnnxNet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from napari_tileseg.engine.spec import Architecture, ModelSpec
    from napari_tileseg.models.recognised import Recognised

_FOR_OTHERS = {".onnx": save_onnx, ".zip": save_package}


def bundled_models() -> dict[str, Path]:
    """Return the checkpoints that come with the program, by name."""
    return bundled_checkpoints()


def load_model(
    source: str | Path,
    *,
    device: str = "cpu",
    architecture: Architecture | None = None,
    classes: Sequence[str] | None = None,
    trust: bool = False,
) -> Network:
    """Load a network that is ready to run; nothing is downloaded unless a person asks for it.

    No code in the file is run, unless somebody said that the file is to be trusted.

    Parameters
    ----------
    source
        The name of a bundled model, our own .safetensors file, a folder written by
        `save_pretrained` of segmentation-models-pytorch, a file with a state dict, an ONNX
        network, or a package of bioimage.io (a folder or a zip archive). "hf:OWNER/NAME" fetches
        such a folder from Hugging Face, unless it is there from before.
    device
        Where it will run: "auto", "cpu", "cuda", "cuda:1", "mps".
    architecture
        How to build the network a bare state dict belongs to, or a part of it. Without it, it
        is found from names and shapes; `provenance["assumed"]` says what these do not tell.
    classes
        Names in the order of the label values, instead of those in the file.
    trust
        Open the file even if that runs code in it (pickled networks, TorchScript, .pt2). Files
        of exactly this content need not be trusted again on this computer.

    Raises
    ------
    NotTrustedError
        If opening it would run code; says what to do instead.
    CheckpointError
        If the file is missing, damaged, or does not fit.
    DeviceError
        If there is no such device.
    """
    target = resolve_device(device)
    path = _find(source)
    # a folder of the hub is called by a digest
    name = name_on_hub(str(source)) if is_on_hub(source) else path.name
    try:
        try:
            network = _loaded(path, architecture, classes)
        except NotTrustedError as error:
            if path.is_dir() or kind_of(path) is Format.BIOIMAGEIO:
                raise CheckpointError(
                    f"'{path.name}' cannot be opened as a whole. "
                    f"{str(error).replace(IF_TRUSTED, '').strip()} If you trust it, open that file "
                    f"by itself instead of '{path.name}'."
                ) from error
            trusted = trusted_content(path, trust=trust)
            if trusted is None:
                raise
            network = from_trusted(path, trusted, architecture, classes)
            network = replace(network, provenance=_provenance(path, network.provenance))
    except CheckpointError as error:
        if name in str(error):
            raise
        remedy = "" if architecture else f" {ANOTHER}"
        raise CheckpointError(f"'{name}' cannot be used. {error}{remedy}") from error
    except (MemoryError, RecursionError) as error:
        raise CheckpointError(
            f"'{name}' asks for more memory than there is, or is nested without end. {FROM_OTHERS}"
        ) from error
    if network.spec.name == path.name != name:
        network = replace(network, spec=replace(network.spec, name=name))
    network.module.to(target)
    use_known_facts()
    return network


def look(source: str | Path) -> list[Recognised] | None:
    """Tell what bare weights may belong to; None if a file describes its network itself.

    Raises
    ------
    NotTrustedError
        If opening it would run code, and nobody has vouched for it.
    CheckpointError
        If the file is missing or cannot be used.
    """
    path = _find(source)
    kind = recognise(path)
    if kind in (Format.SMP_FOLDER, Format.BIOIMAGEIO) or (
        kind is Format.SAFETENSORS and _is_part_of_folder(path)
    ):
        return None
    if kind is Format.ONNX:
        return look_at(path)
    if kind is Format.SAFETENSORS and own_format.KEY in read_metadata(path):
        return None
    weights = read_weights(path)
    with no_more_than(path, weights):
        return recognised(weights)


def save_model(network: Network, path: str | Path, *, half: bool = False) -> Path:
    """Save a network with its description as one file.

    Parameters
    ----------
    network
        Any network that knows its architecture.
    path
        What it is called decides: NAME.safetensors, also if it has no suffix, is our own format;
        NAME.onnx is ONNX, and NAME.zip a package of bioimage.io, for other programs.
    half
        Store weights as 16-bit numbers: half the size; they are loaded as 32-bit numbers. Only in
        our own format.

    Returns
    -------
    The file that was written.

    Raises
    ------
    CheckpointError
        If the network does not know how to be built again, or cannot be written as ONNX.
    OutputError
        If the file cannot be written; an existing one is untouched.
    TilesegError
        If a library that this needs is not installed.
    """
    target = Path(path)
    if not target.suffix:
        target = target.with_suffix(".safetensors")
    suffix = target.suffix.lower()
    if suffix != ".safetensors" and (half or suffix not in _FOR_OTHERS):
        what = "16-bit models" if half else "Models"
        others = "" if half else f" (or {' or '.join(_FOR_OTHERS)}, for other programs)"
        raise OutputError(
            f"{what} are saved as .safetensors{others}, not as {target.suffix}. "
            f"Name the file {target.with_suffix('.safetensors').name}."
        )
    if network.architecture is None:
        raise CheckpointError(
            f"'{network.spec.name}' cannot be saved: how to build it is not known. "
            "Load it together with its architecture."
        )
    if suffix in _FOR_OTHERS:
        return _FOR_OTHERS[suffix](network, target)
    content = own_format.to_bytes(network, network.architecture, half=half)
    with written_beside(target) as part:
        part.write_bytes(content)
    return target


def _find(source: str | Path) -> Path:
    bundled = bundled_models()
    if isinstance(source, str) and source in bundled:
        return bundled[source]
    if is_on_hub(source):
        return fetched(str(source))
    path = Path(source).expanduser()
    if path.name in DESCRIPTIONS and path.is_file():
        return path.resolve().parent
    if source != "" and path.exists():
        # "." and ".." have no name that a person would know
        return path.resolve() if path.is_dir() else path
    beside = [one.name for one in path.parent.glob("*")] if path.parent.is_dir() else []
    near = get_close_matches(path.name, [*bundled, *beside], n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    names = ", ".join(bundled) or "none"
    raise CheckpointError(
        f"There is no file, folder or bundled model '{source}'.{hint} "
        f"Bundled models: {names}. Check the name and the folder."
    )


def _loaded(
    path: Path, architecture: Architecture | None, classes: Sequence[str] | None
) -> Network:
    kind = recognise(path)
    if kind is Format.SAFETENSORS and _is_part_of_folder(path):
        path, kind = path.parent, Format.SMP_FOLDER
    if kind is Format.SMP_FOLDER:
        return _from_smp_folder(path, classes)
    if kind is Format.SAFETENSORS:
        return _from_safetensors(path, architecture, classes)
    if kind is Format.BIOIMAGEIO:
        network, source = read_package(path, classes)
        return replace(network, provenance=_provenance(source, network.provenance))
    if kind is Format.ONNX:
        network = read_onnx(path, architecture, classes)
        return replace(network, provenance=_provenance(path, network.provenance))
    return _from_state_dict(path, read_torch(path), architecture, classes)


def _is_part_of_folder(path: Path) -> bool:
    return path.name == "model.safetensors" and is_smp_config(path.parent / "config.json")


def _from_smp_folder(folder: Path, classes: Sequence[str] | None) -> Network:
    found = read_smp_folder(folder)
    weights = read_weights(found.weights)
    with no_more_than(found.weights, weights):
        module = registry.build(found.architecture)
    fill(module, weights, found.weights.name, found.architecture.name)
    stored = folder / DESCRIPTION
    if stored.is_file():
        return _as_described(module, found.architecture, stored, found.weights, classes)
    name = folder.resolve().name
    spec = described(module, found.architecture, name, classes, found.encoder_weights)
    return Network(module, spec, found.architecture, _provenance(found.weights, {}))


def _as_described(
    module: nn.Module,
    architecture: Architecture,
    stored: Path,
    weights: Path,
    classes: Sequence[str] | None,
) -> Network:
    """Return a network of which a file beside its weights says all the rest."""
    check_text(stored)
    try:
        found = own_format.read(stored.read_text("utf-8"), stored.name)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{stored.name} in '{stored.parent.name}' cannot be read. Copy the folder again."
        ) from error
    spec = _spec(module, architecture, found, stored.name, classes)
    return Network(module, spec, architecture, _provenance(weights, found.provenance))


def _spec(
    module: nn.Module,
    architecture: Architecture,
    found: own_format.Description,
    file_name: str,
    classes: Sequence[str] | None,
) -> ModelSpec:
    known = registry.facts(module, architecture)
    own_format.check_fit(found.spec, known, file_name)
    spec = with_facts(found.spec, module, known)
    if classes is None:
        return spec
    return replace(spec, classes=named_classes(classes, spec.n_outputs, spec.name))


def _from_safetensors(
    path: Path, architecture: Architecture | None, classes: Sequence[str] | None
) -> Network:
    weights, metadata = read_safetensors(path)
    if own_format.KEY not in metadata:
        return _from_state_dict(path, weights, architecture, classes)
    found = own_format.read(metadata[own_format.KEY], path.name)
    with no_more_than(path, weights):
        module = registry.build(found.architecture)
    fill(module, weights, path.name, found.architecture.name)
    if isinstance(module, OnnxNet):
        check_stored(module, path.name)
    spec = _spec(module, found.architecture, found, path.name, classes)
    return Network(module, spec, found.architecture, _provenance(path, found.provenance))


def _from_state_dict(
    path: Path,
    weights: Weights,
    architecture: Architecture | None,
    classes: Sequence[str] | None,
) -> Network:
    with no_more_than(path, weights):
        network = network_of(path, weights, architecture, classes)
    return replace(network, provenance=_provenance(path, network.provenance))


def _provenance(path: Path, stored: dict[str, Any]) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    return {**stored, "file": path.name, "sha256": digest}
