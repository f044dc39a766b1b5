"""What only the image can tell: the mode that is cheapest, context, precision, tiles and batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from napari_tileseg.engine.calibrate import calibrated_halo
from napari_tileseg.engine.geometry import cropped_grid, required_halo
from napari_tileseg.engine.normalise import scaling_for
from napari_tileseg.engine.plan import (
    as_blended,
    as_cropped,
    left_open,
    seams_possible,
    worth_measuring,
)
from napari_tileseg.engine.precision import resolved_precision
from napari_tileseg.engine.probe import receptive_field
from napari_tileseg.engine.tiles import round_up
from napari_tileseg.engine.tune import tuned
from napari_tileseg.settings import Blend, Mode, Precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.normalise import Scaling
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source

_CHEAP = 1.1
"""Exact tiles that show the network so many times the pixels of the image are cheap enough."""


@dataclass(frozen=True)
class Found:
    """What settling a plan came to, as far as it is needed to settle another one likewise.

    Attributes
    ----------
    mode, halo, batch, precision
        As in `Plan`.
    tile
        The largest side of a tile, in pixels.
    """

    mode: Mode
    halo: int | None
    tile: int
    batch: int
    precision: Precision


def settle(
    plan: Plan,
    source: Source,
    network: Network,
    scaling: Scaling | None = None,
    check: Callable[[], None] | None = None,
) -> Plan:
    """Decide what has to be measured on the image; a settled plan comes back as it is.

    Parameters
    ----------
    plan
        From `make_plan`.
    source, network
        What it was made for. The network is brought to the device of the plan.
    scaling
        From raw pixels to what the network reads, if it is known.
    check
        Called often; may raise `Cancelled`.

    Raises
    ------
    ModelFitError
        If mode 'calibrated' was asked for and no context is ever enough.
    Cancelled, ImageError, NetworkError
        From reading the image and running the network.
    """
    if plan.settled:
        return plan
    network.module.to(plan.device).eval()
    spec = network.spec
    if scaling is None:
        scaling = scaling_for(source, spec.normalisation, plan.channels, spec.name, check)
    plan = _with_mode(plan, source, network, scaling, check)
    plan = resolved_precision(plan, source, network, scaling)
    if plan.mode.crops and worth_measuring(source, network):
        plan = tuned(plan, source, network, check)
    return replace(plan, settled=True)


def settled_as(plan: Plan, source: Source, network: Network, found: Found) -> Plan:
    """Return a settled plan with what an earlier run found, as far as it was left open.

    What a person chose otherwise stays as chosen; whoever compares the two plans sees it.
    """
    wanted = plan.settings
    tile = wanted.tile or found.tile
    if plan.mode is not found.mode and left_open(wanted):
        plan = replace(plan, mode=found.mode, halo=found.halo)
    if plan.mode.crops and plan.mode is found.mode and found.halo is not None:
        roomy = max(tile, 2 * found.halo + network.spec.stride)
        grid = cropped_grid(source, network, found.halo, round_up(roomy, network.spec.stride))
        plan = replace(plan, grid=grid, blend=Blend.CROP, halo=found.halo)
    elif plan.mode is Mode.BLEND:
        plan = as_blended(plan, source, network)
    return replace(
        plan,
        batch=wanted.batch or found.batch,
        precision=found.precision if plan.precision is Precision.AUTO else plan.precision,
        settled=True,
    )


def _with_mode(
    plan: Plan,
    source: Source,
    network: Network,
    scaling: Scaling,
    check: Callable[[], None] | None,
) -> Plan:
    """Measure what calibrated tiles need, and take the cheapest way if that was left open."""
    if plan.mode is not Mode.CALIBRATED:
        return plan
    free = plan.settings.mode is Mode.AUTO
    if free and not receptive_field(network).bounded:
        return as_blended(plan, source, network, seams_possible(network))
    needed = required_halo(network, Mode.EXACT)
    exact = as_cropped(plan, source, network, Mode.EXACT, needed, _exactly(needed))
    blended = as_blended(plan, source, network)
    if exact is not None and (plan.tolerance == 0 or (free and _cheap(exact, source))):
        return exact
    found = calibrated_halo(source, network, plan, scaling, check)
    calibrated = None
    if found.halo is not None:
        calibrated = as_cropped(plan, source, network, Mode.CALIBRATED, found.halo, found.sentence)
    if not free:
        return calibrated or exact or blended
    ways = [way for way in (exact, calibrated, blended) if way is not None]
    best = min(ways, key=lambda way: way.grid.seen_px)
    if best is not blended:
        return best
    why = f"{found.sentence} " if found.halo is None else ""
    note = f"{why}Overlapping tiles are blended: that is the least work here."
    return replace(best, notes=(*best.notes, note))


def _exactly(halo: int) -> str:
    return f"{halo} px of context: labels are those of the whole image at once."


def _cheap(way: Plan, source: Source) -> bool:
    return way.grid.seen_px <= _CHEAP * prod(source.spatial_shape)
