"""Networks of segmentation-models-pytorch, recognised by their names and shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_tileseg.models.building import BUILD_ERRORS
from napari_tileseg.models.libraries import import_smp
from napari_tileseg.models.recognise_decoders import read_decoder
from napari_tileseg.models.recognise_encoders import (
    candidates,
    channels_read,
    shapes_of,
    without_memory,
)
from napari_tileseg.models.recognised import Recognised

if TYPE_CHECKING:
    from napari_tileseg.models.recognise_decoders import Reading
    from napari_tileseg.models.recognised import Shapes

_HEADS = ("segmentation_head.0.weight", "segmentation_head.head.0.weight")
_SECOND_HEAD = "classification_head."
_USUAL_DEPTH = {"PSPNet": 3, "DPT": 4}
_FORMER = {
    "decoder.0.": "decoder.aspp.",
    "decoder.1.": "decoder.conv.",
    "decoder.2.": "decoder.bn.",
}
"""How parts of DeepLabV3 were called before version 0.4 of the library."""


def recognise_smp(shapes: Shapes, encoder: str | None = None) -> list[Recognised]:
    """Return all networks of the library that weights of such names and shapes fit.

    Parameters
    ----------
    shapes
        Names may have anything before them.
    encoder
        Its name, if it is known; any else is looked up.
    """
    sources = _sources(shapes)
    own = {name: shapes[source] for name, source in sources.items()}
    reading = read_decoder(own)
    if reading is None:
        return []
    weights = {
        name.removeprefix("encoder."): shape
        for name, shape in own.items()
        if name.startswith("encoder.")
    }
    if encoder:
        pairs = [(encoder, depth) for depth in reading.depths]
    else:
        found = candidates(weights, whole=reading.name == "DPT")
        pairs = [
            (name, depth)
            for name, fitting in found
            for depth in reading.depths
            if depth in (fitting or reading.depths)
        ]
    fits = (_if_it_fits(own, reading, name, depth) for name, depth in pairs)
    return [replace(one, sources=sources) for one in fits if one is not None]


def _sources(shapes: Shapes) -> dict[str, str]:
    """Return the names without what stands before them in the file, each with the one there."""
    before = [name.removesuffix(head) for name in shapes for head in _HEADS if name.endswith(head)]
    if not before:
        return {}
    first = min(before, key=lambda text: ("ema" in text, len(text)))
    names = {name.removeprefix(first): name for name in shapes if name.startswith(first)}
    names = {name: old for name, old in names.items() if not name.startswith(_SECOND_HEAD)}
    if "decoder.0.convs.0.0.weight" in names:
        names = {_modern(name): old for name, old in names.items()}
    return names


def _modern(name: str) -> str:
    for former, now in _FORMER.items():
        if name.startswith(former):
            return now + name.removeprefix(former)
    return name


def _if_it_fits(own: Shapes, reading: Reading, encoder: str, depth: int) -> Recognised | None:
    """Return the network with this encoder, if all its tensors are the ones there are."""
    arguments: dict[str, Any] = {
        "encoder_name": encoder,
        "in_channels": 3,
        **reading.arguments,
        **_of_depth(reading.name, depth),
    }
    wanted, built = _counted(own), _built(reading.name, arguments)
    channels = channels_read(_encoder(wanted), _encoder(built))
    if channels is None or _rest(wanted) != _rest(built):
        return None
    arguments["in_channels"] = channels
    return Recognised(f"smp.{reading.name}", arguments, unseen=reading.unseen)


def _encoder(shapes: Shapes) -> Shapes:
    return {name: shape for name, shape in shapes.items() if name.startswith("encoder.")}


def _rest(shapes: Shapes) -> Shapes:
    return {name: shape for name, shape in shapes.items() if not name.startswith("encoder.")}


def _of_depth(name: str, depth: int) -> dict[str, int]:
    """Return the arguments that follow from the encoder's depth, unless they are the usual."""
    if depth == _USUAL_DEPTH.get(name, 5):
        return {}
    if name == "PSPNet":
        return {"encoder_depth": depth, "upsampling": 2**depth}
    if name == "FPN":  # its finest level is the third from the coarsest one
        return {"encoder_depth": depth, "upsampling": 2 ** (depth - 3)}
    return {"encoder_depth": depth}


def _built(name: str, arguments: dict[str, Any]) -> Shapes:
    """Return the shapes of a network, none if it cannot be built."""
    make = getattr(import_smp(), name)
    try:
        return shapes_of(without_memory(lambda: make(**arguments, encoder_weights=None)))
    except BUILD_ERRORS:
        return {}


def _counted(shapes: Shapes) -> Shapes:
    return {name: one for name, one in shapes.items() if not name.endswith("num_batches_tracked")}
