"""Which architecture weights belong to: found from their names and shapes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.models.recognise_scratch import recognise_scratch
from napari_tileseg.models.recognise_smp import recognise_smp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_tileseg.models.recognised import Recognised, Shapes


def recognise(shapes: Shapes) -> list[Recognised]:
    """Return all known architectures whose tensors have exactly these names and shapes.

    Parameters
    ----------
    shapes
        Of a whole state dict; names may have anything before them, such as "module.".

    Returns
    -------
    None fits: an empty list. More than one: they differ in what leaves no trace in names and
    shapes and has no usual value, so that only whoever trained the network knows.
    """
    return recognise_smp(shapes) or recognise_scratch(shapes)


def recognise_as(shapes: Shapes, name: str, arguments: Mapping[str, Any]) -> Recognised | None:
    """Complete an architecture of which a person gave a part, from names and shapes.

    Parameters
    ----------
    shapes
        See `recognise`.
    name
        The full name of the architecture.
    arguments
        What was given; it has precedence over what could only be assumed.

    Returns
    -------
    None if the weights do not tell, or tell otherwise.
    """
    found = recognise_smp(shapes, arguments.get("encoder_name")) or recognise_scratch(shapes)
    fitting = [one for one in found if one.name == name and _agree(one, arguments)]
    return fitting[0] if len(fitting) == 1 else None


def _agree(found: Recognised, arguments: Mapping[str, Any]) -> bool:
    unseen = {one.argument for one in found.unseen}
    return all(
        _plain(found.arguments[key]) == _plain(value)
        for key, value in arguments.items()
        if key in found.arguments and key not in unseen
    )


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
