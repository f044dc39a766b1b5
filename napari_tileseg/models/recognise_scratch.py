"""U-Nets that people wrote themselves, recognised by the shapes of their layers and their order.

Names differ from code to code, but the layers form a chain: what one gives, the next one reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from napari_tileseg.models.recognised import Recognised, Unseen
from napari_tileseg.models.scratch import ACTIVATIONS, NAME, UPSAMPLING_CHOICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_tileseg.models.recognised import Shapes

_DEEPEST = 7
"""Nobody has a U-Net that halves its tile more often."""

_WORD = re.compile(r"[a-z]+|\d+")
_UP = ("up", "dec", "expan", "right", "ascend")
_DOWN = ("down", "enc", "contract", "left", "descend")
_FIRST = ("inc", "in", "init", "input", "first", "stem")
_LOWEST = ("bottle", "bottom", "bridge", "cent", "mid", "neck", "base", "latent")


@dataclass(frozen=True)
class _Layer:
    """One convolution or normalisation: its name and the shapes of its tensors."""

    name: str
    tensors: dict[str, tuple[int, ...]]

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.tensors["weight"][2:]

    @property
    def outputs(self) -> int:
        return self.tensors["weight"][0]

    @property
    def inputs(self) -> int:
        return self.tensors["weight"][1]


@dataclass(frozen=True)
class _Parts:
    """The layers of a network by what they are, in the order of the file."""

    down: list[_Layer]
    join: list[_Layer]
    up: list[_Layer]
    norms: list[_Layer]
    head: _Layer


def recognise_scratch(shapes: Shapes) -> list[Recognised]:
    """Return all ways in which the layers form a U-Net of double convolutions."""
    parts = _parts(shapes)
    if parts is None:
        return []
    found: dict[tuple[str, ...], Recognised] = {}
    for down in _orders(parts.down):
        if not _chains(down):
            continue
        for join, up in zip(_orders(parts.join), _orders(parts.up), strict=True):
            made = _as_unet(parts, down, join, up)
            if made is not None:
                found[tuple(made.sources.values())] = made
    return list(found.values())


def _parts(shapes: Shapes) -> _Parts | None:
    layers = _layers(shapes)
    convolutions = [one for one in layers if len(one.tensors.get("weight", ())) == 4]
    norms = [one for one in layers if one.tensors.keys() >= {"running_mean", "weight", "bias"}]
    up = [one for one in convolutions if one.kernel == (2, 2)]
    heads = [one for one in convolutions if one.kernel == (1, 1)]
    threes = [one for one in convolutions if one.kernel == (3, 3)]
    if len(heads) != 1 or not threes or len(layers) != len(up) + len(threes) + len(norms) + 1:
        return None
    side = _sides([one.name for one in threes])
    down = [one for one in threes if side(one.name) == "down"]
    join = [one for one in threes if side(one.name) == "up"]
    if len(down) + len(join) != len(threes) or len(norms) not in (0, len(threes)):
        return None
    return _Parts(down, join, up, norms, heads[0])


def _layers(shapes: Shapes) -> list[_Layer]:
    tensors: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        layer, _, kind = name.rpartition(".")
        if kind != "num_batches_tracked":
            tensors.setdefault(layer, {})[kind] = shape
    return [_Layer(name, kinds) for name, kinds in tensors.items()]


def _sides(names: list[str]) -> Callable[[str], str | None]:
    """Return what tells the way down from the way up by a name."""
    letters = {word for name in names for word in _WORD.findall(name.lower()) if len(word) == 1}
    up, down = [*_UP], [*_DOWN, *_FIRST[2:], *_LOWEST]
    single = {"d": "up", "e": "down"} if "e" in letters else {"d": "down", "u": "up"}

    def side(name: str) -> str | None:
        for word in _WORD.findall(name.lower()):
            if word in single:
                return single[word]
            if word.startswith(tuple(up)):
                return "up"
            if word.startswith(tuple(down)) or word in _FIRST:
                return "down"
        return None

    return side


def _orders(layers: list[_Layer]) -> Iterator[list[_Layer]]:
    """Yield the orders that layers may have: that of the file, by number, by falling number."""
    yield layers
    for direction in (1, -1):
        yield sorted(layers, key=lambda one: _rank(one.name, direction))


def _rank(name: str, direction: int) -> tuple[Any, ...]:
    words = _WORD.findall(name.lower())
    stage = 1
    if any(word in _FIRST for word in words[:1]):
        stage = 0
    elif any(word.startswith(_LOWEST) for word in words):
        stage = 2
    numbers = [int(word) for word in words if word.isdecimal()]
    first = direction * numbers[0] if numbers else 0
    return (stage, first, *numbers[1:])


def _chains(convolutions: list[_Layer]) -> bool:
    """Tell whether each reads what the one before gives; two to a level, at least two levels."""
    return (
        len(convolutions) >= 4
        and len(convolutions) % 2 == 0
        and all(after.inputs == before.outputs for before, after in pairwise(convolutions))
    )


def _as_unet(
    parts: _Parts, down: list[_Layer], join: list[_Layer], up: list[_Layer]
) -> Recognised | None:
    depth = len(down) // 2 - 1
    if depth > _DEEPEST or len(join) != 2 * depth or len(up) not in (0, depth):
        return None
    values = down[-1].outputs
    for level in range(depth):
        first, second = join[2 * level : 2 * level + 2]
        if up:
            # the weights of a transposed convolution are (inputs, outputs, h, w)
            if up[level].outputs != values:
                return None
            values = up[level].inputs
        skip = down[2 * (depth - level) - 1].outputs
        if first.inputs != values + skip or second.inputs != first.outputs:
            return None
        values = second.outputs
    if parts.head.inputs != values:
        return None
    return _described(parts, down, join, up)


def _described(
    parts: _Parts, down: list[_Layer], join: list[_Layer], up: list[_Layer]
) -> Recognised | None:
    convolutions = [*down, *join]
    biased = {"bias" in one.tensors for one in convolutions}
    norms = _norms_of(convolutions, parts.norms)
    has_offsets = all("bias" in one.tensors for one in (*up, parts.head))
    if len(biased) != 1 or norms is None or not has_offsets:
        return None
    arguments: dict[str, Any] = {
        "in_channels": down[0].inputs,
        "classes": parts.head.outputs,
        "widths": _pairs(down),
        "join_widths": _pairs(join),
        "up_widths": [one.inputs for one in up],
        "upsampling": "transposed" if up else "bilinear-aligned",
        "batch_norm": bool(norms),
        "bias": biased.pop(),
    }
    sources = {f"head.{kind}": f"{parts.head.name}.{kind}" for kind in ("weight", "bias")}
    sources |= _named("down", down, norms[: len(down)]) | _named("join", join, norms[len(down) :])
    for level, one in enumerate(up):
        sources |= {f"up.{level}.{kind}": f"{one.name}.{kind}" for kind in one.tensors}
    return Recognised(NAME, arguments, sources, _unseen(learnt=bool(up)))


def _norms_of(convolutions: list[_Layer], norms: list[_Layer]) -> list[_Layer] | None:
    """Return the normalisation after each convolution; None if they do not fit."""
    if not norms:
        return []
    if len(norms) != len(convolutions):
        return None
    found: list[_Layer] = []
    for one in convolutions:
        near = [norm for norm in norms if norm not in found]
        near.sort(key=lambda norm: _distance(one.name, norm.name))
        if near[0].outputs != one.outputs:
            return None
        found.append(near[0])
    return found


def _distance(convolution: str, norm: str) -> tuple[int, int]:
    """Rank normalisations by how much of their name is that of a convolution, then by number."""
    shared = 0
    for one, other in zip(convolution, norm, strict=False):
        if one != other:
            break
        shared += 1
    ends = [_WORD.findall(name.lower()) for name in (convolution, norm)]
    numbers = [int(words[-1]) if words and words[-1].isdecimal() else 0 for words in ends]
    behind = numbers[1] - numbers[0]
    return -shared, behind if behind >= 0 else 1000 - behind


def _pairs(convolutions: list[_Layer]) -> list[list[int]]:
    outputs = [one.outputs for one in convolutions]
    return [outputs[start : start + 2] for start in range(0, len(outputs), 2)]


def _named(part: str, convolutions: list[_Layer], norms: list[_Layer]) -> dict[str, str]:
    """Return the names that layers have in `ScratchUnet`, each with the one in the file."""
    sources: dict[str, str] = {}
    for index, one in enumerate(convolutions):
        place = f"{part}.{index // 2}.{3 * (index % 2)}"
        sources |= {f"{place}.{kind}": f"{one.name}.{kind}" for kind in one.tensors}
    for index, one in enumerate(norms):
        place = f"{part}.{index // 2}.{3 * (index % 2) + 1}"
        sources |= {f"{place}.{kind}": f"{one.name}.{kind}" for kind in one.tensors}
    return sources


def _unseen(*, learnt: bool) -> tuple[Unseen, ...]:
    unlearnt = UPSAMPLING_CHOICES[1:]
    ways = (
        () if learnt else (Unseen("upsampling", "how it upsamples", "bilinear-aligned", unlearnt),)
    )
    return (
        *ways,
        Unseen(
            "skip_first",
            "whether skips come before what is upsampled",
            True,
            (True, False),
        ),
        Unseen("activation", "its activation", "relu", ACTIVATIONS),
        Unseen("", "whether its convolutions are padded", True),
    )
