"""How much a hosted lane may be given now, by how many requests its provider has refused of late.

Declared limits are what a contract says; a provider that answers 429 or 5xx takes less. The lane is then given a part
of what it served, the rest goes to the next one, and while nothing is refused the limit doubles every 45 s until it
is forgotten. In an outage a trickle goes on, by which its end is seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from spillway.decide.demand import fresh
from spillway.decide.memory import ProviderLimit
from spillway.decide.snapshot import LaneSnapshot, PlanSnapshot

REFUSED_SHARE = 0.05
"""A provider that refuses more of the requests is given less; single errors happen to all."""
FEWEST_REFUSED = 3.0
"""Refusals within the reading's window; fewer say nothing."""
WINDOW_SECONDS = 60.0
"""Readings are rates over about so long: one cut shows after it, and no other is made before."""
CUT = 0.8
TRICKLE_SHARE = 0.02
TRICKLE_PER_SECOND = 0.05
DOUBLING_SECONDS = 45.0
FORGOTTEN_SECONDS = 900.0


def provider_limits(snapshot: PlanSnapshot, before: Mapping[str, ProviderLimit]) -> dict[str, ProviderLimit]:
    """The limits in force, by lane name; lanes whose providers take what they get have none."""
    found = {}
    for lane in snapshot.lanes:
        limit = _limit(snapshot, lane, before.get(lane.name))
        if limit is not None:
            found[lane.name] = limit
    return found


def rates_of(limits: Mapping[str, ProviderLimit]) -> dict[str, float]:
    """Requests a second by lane name."""
    return {name: limit.requests_per_second for name, limit in limits.items()}


def _limit(snapshot: PlanSnapshot, lane: LaneSnapshot, before: ProviderLimit | None) -> ProviderLimit | None:
    served = errors = None
    if lane.hosted is not None and lane.hosted.errors_per_second is not None:
        served = 0.0 if lane.hosted.requests_per_second is None else fresh(lane.hosted.requests_per_second, snapshot)
        errors = fresh(lane.hosted.errors_per_second, snapshot)
    if served is None or errors is None:
        # Nobody counts: what was known stands for a while.
        return before if before is not None and snapshot.at - before.cut_at < FORGOTTEN_SECONDS else None
    tried = served + errors
    if errors * WINDOW_SECONDS >= FEWEST_REFUSED and errors > REFUSED_SHARE * tried:
        return _cut(snapshot.at, served, errors, before)
    if before is None or snapshot.at - before.cut_at >= FORGOTTEN_SECONDS:
        return None
    elapsed = min(max(snapshot.at - before.at, 0.0), WINDOW_SECONDS)
    grown = before.requests_per_second * math.exp2(elapsed / DOUBLING_SECONDS)
    return ProviderLimit(grown, snapshot.at, before.cut_at, before.refused_share)


def _cut(now: float, served: float, errors: float, before: ProviderLimit | None) -> ProviderLimit:
    if before is not None and now - before.cut_at < WINDOW_SECONDS:
        return ProviderLimit(before.requests_per_second, now, before.cut_at, before.refused_share)
    tried = served + errors
    limit = max(CUT * served, TRICKLE_SHARE * tried, TRICKLE_PER_SECOND)
    if before is not None:
        limit = min(limit, before.requests_per_second)
    return ProviderLimit(limit, now, now, errors / tried)
