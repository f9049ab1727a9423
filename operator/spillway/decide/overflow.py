"""Who gets own capacity first, and what becomes of the rest: hosted within limits and ceilings, or missed.

Everything works on arrays of any shape (outcomes, or replica counts times outcomes) of requests a second, so that
sizing and traffic shares follow the very same rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillway.api import LatencyClass
from spillway.decide.eligibility import Outlet
from spillway.decide.forecast import Floats

_RANK = {LatencyClass.DEFERRABLE: 0, LatencyClass.BACKGROUND: 1, LatencyClass.INTERACTIVE: 2}


@dataclass(frozen=True, slots=True)
class Load:
    """What sizing and sharing need to know of one class."""

    key: str
    latency: LatencyClass
    outlets: tuple[Outlet, ...]
    """Hosted lanes, cheapest first; none means own GPUs only."""
    attainment: float
    """Share of requests that must meet the SLO, 0 to 1."""
    miss_usd: float = 0.0
    tier: str | None = None
    tier_usd_per_hour: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Hosted:
    """What becomes of work that own GPUs don't take."""

    requests: Mapping[tuple[str, str], Floats]
    """Requests a second by (class key, hosted lane)."""
    missed: Mapping[str, Floats]
    """Requests a second that no hosted lane may take, by class key."""
    usd_per_hour: Floats
    capped: bool
    """Whether a dollar ceiling kept something from hosted lanes."""


def own_first(loads: Sequence[Load], seconds: Mapping[str, float]) -> list[Load]:
    """The order in which classes get own capacity; its reverse is the order of spilling.

    First who may not leave, then the more urgent, then who is dearest to host per second of own work.
    """

    def urgency(load: Load) -> tuple[int, int, float, str]:
        price = load.outlets[0].usd_per_request / max(seconds.get(load.key, 0.0), 1e-9) if load.outlets else 0.0
        return (1 if load.outlets else 0, -_RANK[load.latency], -price, load.key)

    return sorted(loads, key=urgency)


def absorb(
    loads: Sequence[Load], rates: Mapping[str, Floats], seconds: Mapping[str, float], capacity: Floats
) -> dict[str, Floats]:
    """What is left of each class's requests a second once ``capacity`` replica-seconds a second are used up."""
    room = capacity
    left = {}
    for load in own_first(loads, seconds):
        work = rates[load.key] * seconds[load.key]
        taken = np.minimum(work, room)
        room = room - taken
        left[load.key] = (work - taken) / seconds[load.key]
    return left


def host(loads: Sequence[Load], rates: Mapping[str, Floats], ceiling_usd_per_hour: float) -> Hosted:
    """Send what is left to hosted lanes, the most urgent class first, within limits and ceilings."""
    zero = np.zeros(np.broadcast_shapes(*(rates[load.key].shape for load in loads)))
    spent, capped = zero, False
    spent_by_tier: dict[str | None, Floats] = {}
    used: dict[str, Floats] = {}
    requests: dict[tuple[str, str], Floats] = {}
    missed = {}
    for load in sorted(loads, key=lambda item: (-_RANK[item.latency], item.key)):
        rest = rates[load.key] + zero
        for outlet in load.outlets:
            hourly = 3600 * outlet.usd_per_request
            wanted = rest
            if math.isfinite(outlet.max_requests_per_second):
                free = np.maximum(1 - used.get(outlet.lane, zero), 0.0)
                wanted = np.minimum(wanted, free * outlet.max_requests_per_second)
            budgets = (
                ceiling_usd_per_hour - spent if math.isfinite(ceiling_usd_per_hour) else None,
                load.tier_usd_per_hour - spent_by_tier.get(load.tier, zero)
                if math.isfinite(load.tier_usd_per_hour)
                else None,
            )
            taken = wanted
            for budget in budgets:
                if budget is not None and hourly > 0:
                    affordable = np.maximum(budget, 0.0) / hourly
                    capped = capped or bool((wanted > affordable * (1 + 1e-9) + 1e-12).any())
                    taken = np.minimum(taken, affordable)
            rest = rest - taken
            spent = spent + taken * hourly
            spent_by_tier[load.tier] = spent_by_tier.get(load.tier, zero) + taken * hourly
            if math.isfinite(outlet.max_requests_per_second):
                used[outlet.lane] = used.get(outlet.lane, zero) + taken / outlet.max_requests_per_second
            requests[load.key, outlet.lane] = taken
            if not rest.any():
                break
        missed[load.key] = rest
    return Hosted(requests, missed, spent, capped)
