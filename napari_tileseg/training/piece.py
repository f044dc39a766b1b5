"""How large the pieces are that a network learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.engine.context import context_module, has_context
from napari_tileseg.errors import SettingsError

if TYPE_CHECKING:
    from napari_tileseg.engine.network import Network

_REGIONS, _FEWEST_REGIONS, _ENOUGH_PX = 3, 2, 1024
"""So many regions along each side a piece has for a network of which regions see one another, or
fewer if they are large."""


def piece_size(network: Network, wanted: int | None, usual: int) -> int:
    """Return the side of what a network answers for at once, in pixels.

    Parameters
    ----------
    network
        What learns.
    wanted
        The size that a person wants, if any.
    usual
        The size for most networks if nobody says; one that knows the whole image through its
        regions is shown more, else no region would ever see another one.

    Raises
    ------
    SettingsError
        If it cannot be what a person wants.
    """
    stride = network.spec.stride
    if wanted is not None:
        if wanted % stride:
            below = max(wanted // stride, 1) * stride
            raise SettingsError(
                f"The patch is {wanted} px, but '{network.spec.name}' reads multiples of "
                f"{stride} px; choose {below} or {below + stride}."
            )
        return wanted
    if has_context(network):
        region = context_module(network.module).region
        usual = region * min(_REGIONS, max(_FEWEST_REGIONS, _ENOUGH_PX // region))
    return max(usual // stride, 1) * stride
