"""What was found out about networks, kept on this computer so that it is found out once.

One small JSON file for each network in the user's cache folder, or in TILESEG_CACHE. What
cannot be read counts as unknown, and a folder that cannot be written is no reason to complain.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from platformdirs import user_cache_path

from napari_tileseg.engine import probe
from napari_tileseg.engine.probe import ReceptiveField
from napari_tileseg.errors import TilesegError
from napari_tileseg.io.atomic import written_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_tileseg.engine.network import Network

_LIBRARIES = ("torch", "segmentation-models-pytorch", "timm", "monai")
"""What builds networks: another version of them can build another network."""


class KnownFields:
    """The receptive fields that were probed for on this computer; a `probe.Memory`.

    Networks of which the architecture is not known are left out: equal weights can be used in
    different ways.
    """

    def __init__(self) -> None:
        self._keys: WeakKeyDictionary[Network, str] = WeakKeyDictionary()

    def get(self, network: Network, which: str) -> ReceptiveField | None:
        """Return what was found, None if nothing is known."""
        path = self._path(network, which)
        if path is None:
            return None
        try:
            return _field(json.loads(path.read_text(encoding="utf-8")), network)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, network: Network, which: str, field: ReceptiveField) -> None:
        """Write down what was found."""
        path = self._path(network, which)
        if path is None:
            return
        values = {
            "model": network.spec.name,
            "before": field.before,
            "after": field.after,
            "bounded": field.bounded,
            "size_dependent": field.size_dependent,
        }
        with contextlib.suppress(OSError, TilesegError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_beside(path) as part:
                part.write_text(json.dumps(values), encoding="utf-8")

    def _path(self, network: Network, which: str) -> Path | None:
        if network.architecture is None:
            return None
        key = self._keys.get(network)
        if key is None:
            key = self._keys[network] = _digest(network)
        return _folder() / "receptive fields" / f"{key[:40]} {which}.json"


def use_known_facts() -> None:
    """Have networks probed once on this computer, not once in each run of the program."""
    if not isinstance(probe.memory(), KnownFields):
        probe.remember_in(KnownFields())


def _folder() -> Path:
    chosen = os.environ.get("TILESEG_CACHE")
    return Path(chosen) if chosen else user_cache_path("napari-tileseg", appauthor=False)


def _field(values: dict[str, Any], network: Network) -> ReceptiveField:
    before, after = (tuple(int(one) for one in values[name]) for name in ("before", "after"))
    if not len(before) == len(after) == network.spec.spatial_dims or min(*before, *after) < 0:
        raise ValueError("the field of another network")
    if not isinstance(values["bounded"], bool) or not isinstance(values["size_dependent"], bool):
        raise TypeError("neither yes nor no")
    return ReceptiveField(before, after, values["bounded"], values["size_dependent"])


def _digest(network: Network) -> str:
    digest = hashlib.sha256()
    for text in _description(network):
        digest.update(f"{text}\n".encode())
    if "sha256" in network.provenance:  # of its file; saves going through the weights again
        digest.update(str(network.provenance["sha256"]).encode())
        return digest.hexdigest()
    for name, tensor in network.module.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _description(network: Network) -> Iterator[str]:
    spec = network.spec
    yield f"probe {probe.VERSION}"
    yield f"{network.architecture}"
    yield f"{spec.stride} {spec.margin} {spec.spatial_dims} {len(spec.channels)}"
    yield repr(network.module)
    for library in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            yield f"{library} {metadata.version(library)}"
