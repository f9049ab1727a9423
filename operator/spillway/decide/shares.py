"""Which share of each class hosted lanes should get now, and the weights that say so.

The share follows from demand and warm capacity (not from its own effect), so it may be raised at once. It is lowered in
steps, and only after own lanes have been below saturation for a while.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillway.decide.forecast import Floats
from spillway.decide.overflow import Load, absorb, host

DEAD_BAND = 0.02
MAX_STEP_DOWN = 0.20
HOLD_TICKS = 2
LOW_LOAD = 0.95
"""Own lanes are calm below this share of what they serve within the SLO (headroom is taken off already)."""
DEMAND_QUANTILE = 0.9


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one own lane takes now: its warm replicas that are to stay."""

    lane: str
    request_seconds: Mapping[str, float]
    """Replica-seconds of a request, by class key."""
    usd_per_work: float
    usable_work: float
    """Work in replicas that it takes within the objectives."""
    backlog_work: float = 0.0
    """Work in replicas that requests which wait already ask for; at most half of the lane, as gauges lag."""

    @property
    def work(self) -> float:
        """What is left for new work."""
        return self.usable_work - min(self.backlog_work, self.usable_work / 2)


@dataclass(frozen=True, slots=True)
class Share:
    """A class's share for hosted lanes."""

    wanted: float
    """What the demand and warm capacity ask for, 0 to 1."""
    by_lane: Mapping[str, float]
    """Split of the hosted part over hosted lanes; sums to 1 where anything is hosted."""
    capped: bool
    """A ceiling keeps some of it on own lanes."""
    full: bool = False
    """Hosted lanes' limits keep some of it on own lanes."""


def wanted_shares(
    loads: Sequence[Load],
    own: Mapping[str, Sequence[Capacity]],
    upper: Mapping[str, float],
    mean: Mapping[str, float],
    ceiling_usd_per_hour: float,
) -> dict[str, Share]:
    """The share of each class that own lanes can't take at the upper demand, within ceilings at the mean demand.

    ``own`` gives each class's own lanes, cheapest first.
    """
    left: dict[str, Floats] = {load.key: np.asarray(upper[load.key]) for load in loads}
    for capacity in _distinct(own):
        mine = [load for load in loads if any(c.lane == capacity.lane for c in own[load.key])]
        rest = {load.key: left[load.key] for load in mine}
        left |= absorb(mine, rest, capacity.request_seconds, np.asarray(capacity.work))
    over = {}
    for load in loads:
        empty = sum(c.work for c in own[load.key]) <= 0
        share = 1.0 if empty else float(left[load.key]) / upper[load.key] if upper[load.key] > 0 else 0.0
        over[load.key] = share if load.outlets else 0.0
    if not loads:
        return {}
    hosted = host(loads, {k: np.asarray(over[k] * mean[k]) for k in over}, ceiling_usd_per_hour)
    return {load.key: _share(load, over[load.key], mean[load.key], hosted.requests, hosted.capped) for load in loads}


def _distinct(own: Mapping[str, Sequence[Capacity]]) -> list[Capacity]:
    found: dict[str, Capacity] = {}
    for capacities in own.values():
        for capacity in capacities:
            found.setdefault(capacity.lane, capacity)
    return sorted(found.values(), key=lambda c: (c.usd_per_work, c.lane))


def _share(load: Load, over: float, mean: float, requests: Mapping[tuple[str, str], Floats], capped: bool) -> Share:
    if not load.outlets or over <= 0:
        return Share(0.0, {}, False)
    taken = {
        outlet.lane: float(requests[load.key, outlet.lane])
        for outlet in load.outlets
        if (load.key, outlet.lane) in requests
    }
    total = sum(taken.values())
    if total <= 0:
        cheapest = {load.outlets[0].lane: 1.0}
        return Share(over if mean <= 0 else 0.0, cheapest, capped and mean > 0)
    allowed = total / mean
    split = {lane: value / total for lane, value in taken.items()}
    short = allowed < over - 1e-9
    return Share(min(over, allowed), split, capped and short, full=short and not capped)


def moved_share(wanted: float, before: float | None, calm: bool) -> float:
    """The share for this tick: up at once, down in steps and only when calm; small moves are not worth a write."""
    if before is None:
        return wanted
    end = wanted <= 0.0 or wanted >= 1.0
    if abs(wanted - before) < DEAD_BAND and not end:
        return before
    if wanted >= before:
        return wanted
    return max(wanted, before - MAX_STEP_DOWN) if calm else before


def weights(
    lanes: Sequence[str], hosted_share: float, hosted_split: Mapping[str, float], own_split: Mapping[str, float]
) -> dict[str, int]:
    """Whole percent by lane, summing to 100; a share between 0 and 1 is at least one percent on both sides."""
    percent = round(100 * hosted_share)
    if 0 < hosted_share < 1 and own_split and hosted_split:
        percent = min(99, max(1, percent))
    if not own_split:
        percent = 100 if hosted_split else 0
    if not hosted_split:
        percent = 0
    return dict.fromkeys(lanes, 0) | whole(hosted_split, percent) | whole(own_split, 100 - percent)


def whole(split: Mapping[str, float], total: int) -> dict[str, int]:
    """Integers in proportion to ``split`` that sum to ``total`` (largest remainders, then name); {} for no split."""
    amount = sum(split.values())
    if amount <= 0:
        return {}
    exact = {name: total * value / amount for name, value in split.items()}
    floors = {name: int(value + 1e-9) for name, value in exact.items()}
    missing = total - sum(floors.values())
    for name in sorted(exact, key=lambda n: (floors[n] - exact[n], n))[:missing]:
        floors[name] += 1
    return floors


def keep_if_close(current: Mapping[str, int], new: Mapping[str, int]) -> dict[str, int]:
    """The current weights where no lane moves by more than the dead band, and none to or from nothing."""
    if sum(current.values()) != 100 or set(current) != set(new):
        return dict(new)
    close = all(
        abs(current[lane] - new[lane]) <= 100 * DEAD_BAND and (current[lane] == 0) == (new[lane] == 0) for lane in new
    )
    return dict(current) if close else dict(new)
