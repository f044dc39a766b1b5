"""Lengths as image files give them, in micrometres."""

from __future__ import annotations

import math

_MICROMETRES = {
    "pm": 1e-6,
    "picometer": 1e-6,
    "å": 1e-4,
    "angstrom": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "in": 25_400.0,
    "inch": 25_400.0,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
}

_LONGEST = 1e5


def in_micrometres(length: object, unit: str | None) -> float | None:
    """Return a length per pixel in micrometres; None if it says nothing about the specimen."""
    if not isinstance(length, (int, float)) or unit is None:
        return None
    name = unit.strip().replace("\\u00B5", "µ").replace("\u03bc", "µ").lower()
    factor = _MICROMETRES.get(name)
    if factor is None or not math.isfinite(length) or not 0 < length * factor < _LONGEST:
        return None
    return float(length * factor)
