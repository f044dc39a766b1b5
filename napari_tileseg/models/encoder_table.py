"""Makes the table by which encoders are recognised: run it again for a newer library.

python -m napari_tileseg.models.encoder_table
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.models.building import BUILD_ERRORS
from napari_tileseg.models.libraries import import_smp
from napari_tileseg.models.recognise_encoders import (
    TABLE,
    behaviour,
    fingerprint,
    shapes_of,
    without_memory,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn

Found = list[tuple[str, str, str, int]]
"""The fingerprint of each encoder, what it does, its name, and its depth (0: all it has)."""

_DEPTHS = (5, 4, 3)
_TRANSFORMERS = ("vit_", "deit", "beit", "eva", "flexivit", "samvit", "test_vit", "xcit", "cait")
"""Beginnings of the names in timm that DPT is used with."""


def main() -> int:
    """Write the table beside this file."""
    names = all_names()
    text = as_json(feature_encoders(names), whole_encoders(names))
    Path(__file__).with_name(TABLE).write_text(text, encoding="utf-8")
    return 0


def all_names() -> list[str]:
    """Return every encoder there is: those of the library, and with "tu-" those of timm."""
    import timm

    own = import_smp().encoders.get_encoder_names()
    return [*own, *(f"tu-{name}" for name in timm.list_models())]


def feature_encoders(names: Iterable[str], depths: Iterable[int] = _DEPTHS) -> Found:
    """Look at encoders as most decoders use them."""
    get_encoder = import_smp().encoders.get_encoder
    found: Found = []
    for name in names:
        if not name.startswith("tu-"):  # these have all their weights at any depth
            found += _looked_at(name, 0, partial(get_encoder, name))
        elif not name.removeprefix("tu-").startswith(_TRANSFORMERS):
            for depth in depths:
                found += _looked_at(name, depth, partial(get_encoder, name, depth=depth))
    return found


def whole_encoders(names: Iterable[str]) -> Found:
    """Look at transformers as DPT uses them."""
    found: Found = []
    for name in names:
        plain = name.removeprefix("tu-")
        if plain.startswith(_TRANSFORMERS):
            found += _looked_at(name, 0, partial(_as_in_dpt, plain))
    return found


def as_json(features: Found, whole: Found) -> str:
    """Return the content of the table, a line for each fingerprint."""
    parts = {"features": _names_by_mark(features), "whole": _names_by_mark(whole)}
    told = (
        f"{json.dumps(kind)}: {{\n"
        + ",\n".join(f"{json.dumps(mark)}: {json.dumps(one[mark])}" for mark in sorted(one))
        + "}"
        for kind, one in parts.items()
    )
    return "{" + ",\n".join(told) + "}\n"


def _as_in_dpt(name: str) -> nn.Module:
    import timm
    from torch import nn

    holder = nn.Module()
    holder.model = timm.create_model(name)
    return holder


def _looked_at(name: str, depth: int, make: Callable[[], Any]) -> Found:
    try:
        module = without_memory(make)
    except BUILD_ERRORS:
        return []  # not every model of timm can be an encoder
    return [(fingerprint(shapes_of(module)), behaviour(module), name, depth)]


def _names_by_mark(found: Found) -> dict[str, dict[str, list[int]]]:
    """Return one name for each thing that encoders of the same names and shapes do."""
    groups: dict[str, dict[tuple[str, int], list[str]]] = defaultdict(lambda: defaultdict(list))
    for mark, does, name, depth in found:
        groups[mark][does, depth].append(name)
    table: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for mark, by_behaviour in groups.items():
        for (_, depth), same in by_behaviour.items():
            depths = table[mark].setdefault(min(same, key=_rank), [])
            depths += [depth] if depth else []
    return table


def _rank(name: str) -> tuple[bool, int, str]:
    return "tf_" in name, len(name), name


if __name__ == "__main__":
    sys.exit(main())
