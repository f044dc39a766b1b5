"""Packages of bioimage.io: a folder or a zip archive with weights, and a file that describes them.

Only files of the package are read, nothing is downloaded, and no code in it is run: networks come
from ONNX, or are built by the registry from weights and a known name.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from napari_tileseg.engine.global_context import with_facts
from napari_tileseg.engine.network import Network
from napari_tileseg.engine.spec import Architecture
from napari_tileseg.errors import CheckpointError
from napari_tileseg.io import own_format
from napari_tileseg.io.bare_weights import ASSUMED
from napari_tileseg.io.bioimageio_meaning import Meaning, meaning_of
from napari_tileseg.io.limits import AGAIN, ANOTHER, FROM_OTHERS, check_text, contents, no_more_than
from napari_tileseg.io.limits import shown as plain
from napari_tileseg.io.onnx_content import OnnxContent, inside
from napari_tileseg.io.onnx_files import network_of
from napari_tileseg.io.onnx_recipes import Said, recipe_of
from napari_tileseg.io.specs import named_classes
from napari_tileseg.io.state_dicts import fill, read_weights
from napari_tileseg.models import registry
from napari_tileseg.models.libraries import import_bioimageio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml")
"""What the file is called that describes a package; the second name is the newer one."""

_LIBRARIES = {
    "segmentation_models_pytorch": "smp",
    "monai.networks.nets": "monai",
    "torchvision.models.segmentation": "torchvision",
}
"""Whose networks are built, and how the registry calls them; nothing is imported by its name."""

_TORCHVISION = {"fcn": "FCN", "deeplabv3": "DeepLabV3"}
_DOWNLOADED = ("encoder_weights", "weights", "weights_backbone", "progress")
_LONGEST = 1 << 18
"""Bytes of a description: YAML is read slowly, and a few thousand are usual."""

_MOST_PARTS = 20_000
_SPARE = 64 << 20
_DENSEST = 20
"""An archive that unpacks to so many times its size was made to fill the disk."""


@dataclass(frozen=True)
class Package:
    """A package that is unpacked.

    Attributes
    ----------
    name
        What a person calls it.
    folder
        Where its files are.
    described
        What `bioimageio.spec` makes of its description.
    """

    name: str
    folder: Path
    described: Any

    def file(self, source: Any, sha256: object = None) -> Path:
        """Return a file of the package, unchanged.

        Raises
        ------
        CheckpointError
            If it is elsewhere, missing, or not what the description says.
        """
        named = str(getattr(source, "path", source))
        path = None if "://" in named else inside(self.folder, named)
        if path is None or not path.is_file():
            raise CheckpointError(
                f"The weights '{plain(named)}' are not inside the package '{self.name}'. Download "
                "the whole package, or put the file into it."
            )
        if sha256 is not None:
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != str(sha256):
                raise CheckpointError(
                    f"'{path.name}' in '{self.name}' is not the file that its description means. "
                    f"{AGAIN}"
                )
        return path


def read_package(path: Path, classes: Sequence[str] | None) -> tuple[Network, Path]:
    """Read a package of bioimage.io.

    Parameters
    ----------
    path
        A folder or a zip archive.
    classes
        Names in the order of the label values, instead of those in the package.

    Returns
    -------
    The network, and the file that it comes from: that of its weights, or the archive.

    Raises
    ------
    CheckpointError
        If it is damaged or harmful, or asks for what is not there; says what.
    TilesegError
        If the libraries that it needs are not installed.
    """
    with _unpacked(path) as folder:
        package = Package(path.name, folder, _described(path.name, folder))
        meaning = meaning_of(package.described, path.name)
        network, weights = _network(package, meaning)
        if classes is not None:
            spec = network.spec
            named = named_classes(classes, spec.n_outputs, spec.name, spec.task)
            network = replace(network, spec=replace(spec, classes=named))
        return network, weights if path.is_dir() else path


def _network(package: Package, meaning: Meaning) -> tuple[Network, Path]:
    weights = package.described.weights
    states, onnx = weights.pytorch_state_dict, weights.onnx
    from_library = states is not None and hasattr(states.architecture, "import_from")
    if from_library and (onnx is None or states.architecture.import_from in _LIBRARIES):
        architecture = _architecture(package, states)
        path = package.file(states.source, states.sha256)
        return _from_states(package, path, architecture, meaning), path
    if onnx is not None:
        path = package.file(onnx.source, onnx.sha256)
        return _from_onnx(package, path, meaning), path
    if states is not None:
        raise CheckpointError(
            f"The network in '{package.name}' is code in the file "
            f"'{plain(states.architecture.source)}', which would be run, so it is not opened. "
            "Use a package with ONNX weights, or of a network of segmentation-models-pytorch."
        )
    there = ", ".join(name for name, value in weights if value is not None)
    raise CheckpointError(
        f"'{package.name}' has weights of the kinds {there} only. Use a package with ONNX weights, "
        "or convert it with bioimageio.core."
    )


def _architecture(package: Package, states: Any) -> Architecture:
    wanted = states.architecture
    library = _LIBRARIES.get(wanted.import_from)
    if library is None:
        raise CheckpointError(
            f"'{package.name}' asks for the library '{plain(wanted.import_from)}', which could run "
            f"any code. Networks are taken from {', '.join(_LIBRARIES)}. Use a package with ONNX "
            "weights."
        )
    arguments = {k: v for k, v in wanted.kwargs.items() if k not in _DOWNLOADED and v is not None}
    name = str(wanted.callable)
    if library == "torchvision":
        kind, _, backbone = name.partition("_")
        name = _TORCHVISION.get(kind, name)
        arguments = {"classes": arguments.pop("num_classes", 21), "backbone": backbone, **arguments}
    return Architecture(registry.full_name(f"{library}.{name}"), arguments)


def _from_states(
    package: Package, path: Path, architecture: Architecture, meaning: Meaning
) -> Network:
    weights = read_weights(path)
    with no_more_than(path, weights):
        module = registry.build(architecture)
    fill(module, weights, path.name, architecture.name)
    known = registry.facts(module, architecture)
    spec = meaning.spec(known.outputs, "logits")
    own_format.check_fit(spec, known, package.name)
    return Network(module, with_facts(spec, module, known), architecture, _told(meaning))


def _from_onnx(package: Package, path: Path, meaning: Meaning) -> Network:
    found = OnnxContent.of_file(path)
    answers = meaning.answers(found.answers)
    said = Said(meaning.in_channels, meaning.stride, meaning.margin, meaning.outputs, answers)
    recipe = recipe_of(found, said)
    spec = meaning.spec(recipe.arguments["classes"], answers)
    return replace(network_of(found, recipe, spec), provenance=_told(meaning))


def _told(meaning: Meaning) -> dict[str, Any]:
    provenance = dict(meaning.provenance)
    if meaning.assumed:
        provenance[ASSUMED] = meaning.assumed
    return provenance


def _described(name: str, folder: Path) -> Any:
    spec = import_bioimageio()
    path = next(folder / one for one in DESCRIPTIONS if (folder / one).is_file())
    check_text(path)
    if path.stat().st_size > _LONGEST:
        raise _no_description(name, f"it has {path.stat().st_size:,} bytes")
    try:
        text = path.read_text("utf-8")
        content = yaml.safe_load(text)
        _count(content, {})
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"'{path.name}' in '{name}' cannot be read. Copy or download the package again."
        ) from error
    if not isinstance(content, dict) or content.get("type") != "model":
        raise CheckpointError(f"'{name}' is no package of a model. {ANOTHER}")
    version = str(content.get("format_version"))
    if not version.startswith("0.5."):
        raise CheckpointError(
            f"'{name}' is of the format {plain(version)} of bioimage.io; packages of the format "
            "0.5 can be opened. Convert it: bioimageio update-format"
        )
    context = spec.ValidationContext(root=folder, perform_io_checks=False, file_name=path.name)
    try:
        found = spec.build_description(content, context=context)
    except Exception as error:  # whatever a library makes of what somebody wrote
        raise _no_description(name, str(error)) from error
    if isinstance(found, spec.InvalidDescr):
        problems = [one for detail in found.validation_summary.details for one in detail.errors]
        first = problems[0] if problems else None
        said = "" if first is None else f"{'.'.join(map(str, first.loc))}: {first.msg}"
        raise _no_description(name, said)
    return found


def _count(found: object, known: dict[int, int]) -> int:
    """Count the parts of a description; a few lines that repeat each other can be very many."""
    if not isinstance(found, (dict, list)):
        return 1
    if id(found) not in known:
        known[id(found)] = _MOST_PARTS  # if it is met again before it is counted, it has no end
        parts = found.values() if isinstance(found, dict) else found
        known[id(found)] = 1 + sum(_count(one, known) for one in parts)
    if known[id(found)] > _MOST_PARTS:
        raise ValueError("it has more parts than any description")
    return known[id(found)]


def _no_description(name: str, said: str) -> CheckpointError:
    return CheckpointError(
        f"The description in '{name}' is not one of bioimage.io ({plain(said)}). Use another copy, "
        "or tell whoever made the package."
    )


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Give the folder of a package, for as long as it is needed."""
    if path.is_dir():
        yield path
        return
    try:
        found = contents(path)
        about = next(one for one in found if one.filename.rpartition("/")[2] in DESCRIPTIONS)
        start = about.filename.rpartition("/")[0]
        wanted = [one for one in found if one.filename.startswith(start) and not one.is_dir()]
        size = sum(one.file_size for one in wanted)
        if size > max(_SPARE, _DENSEST * path.stat().st_size):
            raise CheckpointError(
                f"'{path.name}' unpacks to {size:,} bytes, far more than it has itself. "
                f"{FROM_OTHERS}"
            )
        with TemporaryDirectory(prefix="tileseg-") as folder, zipfile.ZipFile(path) as archive:
            for one in wanted:  # extract() keeps what it writes inside the folder
                archive.extract(one, folder)
            yield Path(folder) / start
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise CheckpointError(
            f"'{path.name}' is not complete or is damaged, so it cannot be unpacked. {AGAIN}"
        ) from error
