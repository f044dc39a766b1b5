"""Who said what, as patterns that can be told apart without colours and on any image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_tileseg.annotation.survey import CORRECTED, OPEN, REVIEWED

PERIOD = 16
"""A pattern repeats after so many pixels of the screen."""

LEGEND = "//// corrected   \\\\\\\\ reviewed   · · · not computed yet"

_DARK = (0, 0, 0, 150)
_VEIL = (128, 128, 128, 60)
_DOT = (235, 235, 235, 220)
_STROKE = (255, 255, 255, 220)
_RIGHT = (120, 230, 255, 220)
_STATES = 8


def hatched(cells: npt.NDArray[np.uint8], origin: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Draw a survey: a line up for corrected, a line down for reviewed, dots for open.

    Parameters
    ----------
    cells
        (H, W) as `annotation.survey` says, one cell a pixel of the screen.
    origin
        Where the first cell lies; patterns stay in their place when that moves.

    Returns
    -------
    (H, W, 4) uint8, red, green, blue, opacity. A region that a person vouches for has a line
    around it.
    """
    rows = (np.arange(cells.shape[0]) + origin[0]) % PERIOD
    columns = (np.arange(cells.shape[1]) + origin[1]) % PERIOD
    place = (rows[:, None] * PERIOD + columns).astype(np.uint16)
    picture = _PATTERNS[cells.astype(np.uint16) * np.uint16(PERIOD**2) + place]
    picture[_borders((cells & (CORRECTED | REVIEWED)) != 0)] = _packed(_STROKE)
    colours: npt.NDArray[np.uint8] = picture.view(np.uint8).reshape(*cells.shape, 4)
    return colours


def _borders(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return both pixels at each border, so that a screen of fewer pixels shows one of them."""
    border = np.zeros_like(inside)
    down, right = inside[1:] != inside[:-1], inside[:, 1:] != inside[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= right
    border[:, :-1] |= right
    return border


def _packed(colour: tuple[int, int, int, int]) -> np.uint32:
    return np.uint32(np.array(colour, np.uint8).view(np.uint32)[0])


def _patterns() -> npt.NDArray[np.uint32]:
    """Return (states * PERIOD²,) the colour of each state at each place of the pattern."""
    table = np.zeros((_STATES, PERIOD, PERIOD), np.uint32)
    row, column = np.mgrid[:PERIOD, :PERIOD]
    up, down = (row + column) % PERIOD, (row - column) % PERIOD
    dots = (row % (PERIOD // 2) < 2) & (column % (PERIOD // 2) < 2)
    for state in range(_STATES):
        if state & OPEN:
            table[state] = np.where(dots, _packed(_DOT), _packed(_VEIL))
        for bit, line, colour in ((CORRECTED, up, _STROKE), (REVIEWED, down, _RIGHT)):
            if state & bit:
                table[state][line == 2] = _packed(_DARK)
                table[state][line < 2] = _packed(colour)
    return table.ravel()


_PATTERNS = _patterns()
