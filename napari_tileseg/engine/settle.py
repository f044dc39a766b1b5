"""What only the image can tell: the mode that is cheapest, context, precision, tiles and batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from napari_tileseg.engine.allocator import pages_kept
from napari_tileseg.engine.amounts import percent_of
from napari_tileseg.engine.calibrate import calibrated
from napari_tileseg.engine.device import prepared
from napari_tileseg.engine.geometry import crop_sizes, cropped_grid, required_halo
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

    from napari_tileseg.engine.calibrate import Calibration
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.normalise import Scaling
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.precision import Comparison
    from napari_tileseg.engine.source import Source

_CHEAP, _DEAR = 1.1, 4.0
"""Tiles that show the network so many times the pixels of the image are cheap enough not to
look for cheaper ones, or too much work to choose them unasked."""


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
    *,
    watched: bool = False,
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
    watched
        Whether a person waits for the first labels: tiles are smaller then.

    Raises
    ------
    ModelFitError
        If mode 'calibrated' was asked for and no context is ever enough.
    Cancelled, ImageError, NetworkError
        From reading the image and running the network.
    """
    if plan.settled:
        return plan
    prepared(network.module, plan.device)
    spec = network.spec
    if scaling is None:
        scaling = scaling_for(source, spec.normalisation, plan.channels, spec.name, check)
    with pages_kept(plan.device):
        plan, found = _with_mode(plan, source, network, scaling, check)
        plan, half = resolved_precision(plan, source, network, scaling)
        if found is not None and half is not None:
            plan, found = _both_within_tolerance(plan, source, network, found, half)
        if plan.mode.crops and worth_measuring(source, network):
            halo_for = _fixed(plan.halo) if found is None else found.least_halo
            plan = tuned(plan, source, network, halo_for, check, watched=watched)
    if found is not None and plan.mode is Mode.CALIBRATED:
        said = found.sentence(plan.halo, max(plan.tile))
        if half is not None and plan.precision is not Precision.FP32:
            said += f" Computing in {plan.precision} changes {percent_of(half.flips)} more."
        plan = replace(plan, notes=(*plan.notes, said))
    return replace(plan, settled=True)


def _both_within_tolerance(
    plan: Plan, source: Source, network: Network, found: Calibration, half: Comparison
) -> tuple[Plan, Calibration]:
    """Let context keep what half precision leaves of the tolerance; fp32 where that is dearer."""
    left = replace(found, tolerance=found.tolerance - half.flips)
    way = _least_context(plan, source, network, left)
    if way is None or way.grid.seen_px > plan.grid.seen_px * half.speed_up:
        return replace(plan, precision=Precision.FP32), found
    return way, left


def _fixed(halo: int | None) -> Callable[[int], int | None]:
    return lambda _: halo


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
) -> tuple[Plan, Calibration | None]:
    """Measure what cropped tiles need, and take the cheapest way if that was left open."""
    if plan.mode is not Mode.CALIBRATED:
        return plan, None
    free = plan.settings.mode is Mode.AUTO
    if free and not receptive_field(network).bounded:
        return as_blended(plan, source, network, seams_possible(network)), None
    needed = required_halo(network, Mode.EXACT)
    exact = as_cropped(plan, source, network, Mode.EXACT, needed, _exactly(needed))
    if exact is not None and (plan.tolerance == 0 or (free and _cheap(exact, source, _CHEAP))):
        return exact, None
    found = calibrated(source, network, plan, scaling, check)
    way = _least_context(plan, source, network, found)
    if way is not None and not (free and not _cheap(way, source, _DEAR)):
        return way, found
    if exact is not None and not (free and not _cheap(exact, source, _DEAR)):
        return exact, None
    return as_blended(plan, source, network, _too_dear(found)), None


def _least_context(plan: Plan, source: Source, network: Network, found: Calibration) -> Plan | None:
    """Return the plan with the context that tiles of a usual size need, if there is any."""
    spec, tile = network.spec, plan.settings.tile
    sizes = [round_up(tile, spec.stride)] if tile else crop_sizes(spec, spec.tile // 4)
    for size in sizes:
        halo = found.least_halo(size)
        if halo is not None:
            grid = cropped_grid(source, network, halo, size)
            return replace(plan, grid=grid, mode=Mode.CALIBRATED, blend=Blend.CROP, halo=halo)
    return None


def _too_dear(found: Calibration) -> str:
    why = "" if len(found.curves) else f"{found.sentence(None, 0)} "
    return (
        f"{why}Overlapping tiles are blended: the context that keeps the tolerance would be the "
        "greater part of the work."
    )


def _exactly(halo: int) -> str:
    return f"{halo} px of context: labels are those of the whole image at once."


def _cheap(way: Plan, source: Source, share: float) -> bool:
    return way.grid.seen_px <= share * prod(source.spatial_shape)
