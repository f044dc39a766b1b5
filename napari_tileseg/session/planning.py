"""From what is chosen to a plan, and to what the panels say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.session.texts import count
from napari_tileseg.session.wanted import Cost, PlanFacts, Wanted
from napari_tileseg.settings import Mode

if TYPE_CHECKING:
    from napari_tileseg.engine.estimate import Estimate
    from napari_tileseg.engine.network import Network
    from napari_tileseg.engine.plan import Plan
    from napari_tileseg.engine.source import Source
    from napari_tileseg.settings import RunSettings

PROBED = (Mode.EXACT, Mode.FROZEN_NORM)
"""The modes whose plan depends on how far the network looks, which takes a while to find out."""


def planned(source: Source, network: Network, settings: RunSettings) -> Plan:
    """Make a plan; imports the engine."""
    from napari_tileseg.engine.plan import make_plan

    return make_plan(source, network, settings)


def channel_misfit(source: Source, network: Network, wanted: Wanted) -> str:
    """Say that somebody has to choose channels, in words for where the choice is below."""
    names = network.spec.channels
    if wanted.settings.channels is not None or source.n_channels == len(names):
        return ""
    reads = f"This model reads {count(len(names), 'channel', 'channels')} ({', '.join(names)})"
    return f"{reads}; this image has {source.n_channels}. Choose below what it gets."


def plan_facts(plan: Plan | None) -> PlanFacts | None:
    """Return what is said about a plan."""
    if plan is None:
        return None
    return PlanFacts(
        plan.n_tiles, plan.tile, plan.mode is Mode.WHOLE, plan.blend.label, plan.batch, plan.notes
    )


def cost_of(estimate: Estimate) -> Cost:
    """Return what is said about the cost of a run."""
    return Cost(estimate.seconds, estimate.memory)
