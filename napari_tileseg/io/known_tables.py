"""The classes and colours of PASCAL VOC and of Cityscapes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.engine.spec import NOT_COMPUTED
from napari_tileseg.io.colour_tables import ColourTable, Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VOC = """
background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse
motorbike person pottedplant sheep sofa train tvmonitor
"""
_VOC_VOID = 0xE0E0C0

# Cordts et al. (2016), "The Cityscapes Dataset": labels -1 to 33 in their order, the number of
# the class that is trained and evaluated ("" if none) and the colour
_CITYSCAPES = """
license plate||00008e
unlabeled||000000
ego vehicle||000000
rectification border||000000
out of roi||000000
static||000000
dynamic||6f4a00
ground||510051
road|0|804080
sidewalk|1|f423e8
parking||faaaa0
rail track||e6968c
building|2|464646
wall|3|66669c
fence|4|be9999
guard rail||b4a5b4
bridge||966464
tunnel||96785a
pole|5|999999
polegroup||999999
traffic light|6|faaa1e
traffic sign|7|dcdc00
vegetation|8|6b8e23
terrain|9|98fb98
sky|10|4682b4
person|11|dc143c
rider|12|ff0000
car|13|00008e
truck|14|000046
bus|15|003c64
caravan||00005a
trailer||00006e
train|16|005064
motorcycle|17|0000e6
bicycle|18|770b20
"""


@cache
def voc() -> ColourTable:
    """Return the 21 classes of PASCAL VOC; its cream-coloured border is unknown."""
    classes = [Entry(_voc_colour(index), name) for index, name in enumerate(_VOC.split())]
    return ColourTable("voc", [*classes, Entry(_VOC_VOID, "void")])


def _voc_colour(index: int) -> int:
    """Return a colour of the palette: three bits of the index go to each bit of R, G and B."""
    colour = 0
    for bit in range(8):
        triple = (index >> 3 * bit) & 7
        for channel in range(3):
            colour |= ((triple >> channel) & 1) << (7 - bit) << 8 * (2 - channel)
    return colour


@cache
def cityscapes() -> ColourTable:
    """Return the 19 classes of Cityscapes that are evaluated; all other colours are unknown."""
    rows = _rows()
    classes = {int(colour, 16): name for name, number, colour in rows if number}
    others = {int(colour, 16) for _, number, colour in rows if not number}
    unknown = [Entry(colour, "void") for colour in sorted(others - classes.keys())]
    return ColourTable("cityscapes", [Entry(c, name) for c, name in classes.items()] + unknown)


@cache
def cityscapes_label_ids() -> NDArray[np.uint8]:
    """Return what each value of a `labelIds` picture means: (256,) class indices or 255."""
    meaning = np.full(256, NOT_COMPUTED, np.uint8)
    for label, (_, number, _) in enumerate(_rows(), start=-1):
        if number:
            meaning[label] = int(number)
    return meaning


def _rows() -> list[tuple[str, str, str]]:
    lines = _CITYSCAPES.strip().splitlines()
    return [(name, number, colour) for name, number, colour in (one.split("|") for one in lines)]
