"""Which axis of an array is which."""

from __future__ import annotations

from napari_tileseg.errors import ImageError


def spatial_axes(spatial_dims: int) -> str:
    """Return the letters of the axes that a network slides over: "YX" or "ZYX"."""
    return "ZYX"[-spatial_dims:]


def name_axes(
    shape: tuple[int, ...], axes: str | None, spatial_dims: int, rgb: bool | None, name: str
) -> str:
    """Return one letter an axis, channels as C; see `engine.source.Source`.

    Raises
    ------
    ImageError
        If `axes` does not fit the shape.
    """
    if axes is None:
        return _guessed_axes(shape, spatial_dims, rgb)
    named = axes.upper().replace("S", "C")
    spatial = spatial_axes(spatial_dims)
    if len(named) != len(shape):
        raise ImageError(
            f"'{name}' has {len(shape)} axes (shape {shape}), but axes='{axes}' names {len(named)}."
        )
    if len(set(named)) != len(named) or not set(spatial) <= set(named):
        raise ImageError(
            f"axes='{axes}' has to name each axis once and include "
            f"{' and '.join(spatial)}, for instance 'C{spatial}'."
        )
    return named


def _guessed_axes(shape: tuple[int, ...], spatial_dims: int, rgb: bool | None) -> str:
    if rgb is None:
        rgb = (
            len(shape) > spatial_dims
            and shape[-1] in (3, 4)
            and all(size > 30 for size in shape[-3:-1])
        )
    spatial = spatial_axes(spatial_dims)
    count = len(shape) - spatial_dims - rgb
    spare = [letter for letter in "ABDEFGHTZ" if letter not in spatial]
    leading = "".join(spare[len(spare) - count :]) if count else ""
    return leading + spatial + ("C" if rgb else "")
