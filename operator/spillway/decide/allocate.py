"""How many replicas cost least: the newsvendor rule over own lanes, against hosted lanes and misses.

A replica is worth its price as long as it saves more hosted dollars (and misses) than it costs, in expectation over
the outcomes of demand. What no hosted lane may take is served at the attainment quantile whatever it costs:
data policy > ceiling > SLO > cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from spillway.decide.compared import Compared
from spillway.decide.forecast import Floats
from spillway.decide.overflow import Load, absorb, host
from spillway.decide.service import Service

GRID = 48
"""Replica counts evaluated at once; larger ranges are searched coarse, then fine."""
SEARCH_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class OwnLane:
    """What sizing needs to know of one self-hosted lane."""

    name: str
    service: Service
    usd_per_hour: float
    """Avoidable dollars of one replica."""
    min_replicas: int
    max_replicas: int
    """replicas.max, or what the pool allows if that is less."""
    attainment: float
    caution: float = 1.0
    """Upper over mean demand at the next tick: weights are set for the upper one, so own lanes are used that less."""

    @property
    def usd_per_work(self) -> float:
        """Dollars for one replica-hour's usable work, per in-flight-weighted request second of the first class."""
        seconds = [s for s in self.service.request_seconds.values() if s > 0]
        return self.usd_per_hour * (float(np.mean(seconds)) if seconds else 1.0)

    def usable(self, replicas: Floats | int) -> Floats:
        """Work that so many replicas take within the SLO (see `usable_replicas`)."""
        return usable_replicas(replicas, self.service.batch, self.attainment)


@dataclass(frozen=True, slots=True, eq=False)
class Sizing(Compared):
    """The cheapest number of replicas of one lane and why."""

    replicas: int
    """Without the lane's own bounds."""
    required: int
    """Fewest that serve what can't be hosted at the attainment quantile."""
    usd_per_replica_hour: float
    next_saves_usd_per_hour: float
    """What one replica more would save in hosted dollars and misses."""
    last_saves_usd_per_hour: float
    """What the last replica saves."""
    hosted_usd_per_hour: float
    """Expected hosted dollars at the replicas within the bounds."""
    capped: bool
    left: Mapping[str, Floats]
    """Requests a second that the bounded replicas don't take, by class key."""


def usable_replicas(replicas: Floats | int, batch: float, attainment: float) -> Floats:
    """Mean work, in replicas, at which the Poisson number in flight fits ``replicas`` with probability ``attainment``.

    With a full replica holding ``batch`` requests, work m means m*batch in flight on average with a standard deviation
    of sqrt(m*batch): m + z*sqrt(m/batch) = replicas. Larger fleets and batches need less headroom.
    """
    z = max(0.0, NormalDist().inv_cdf(min(max(attainment, 0.5), 0.99999)))
    spread = z / math.sqrt(max(batch, 1.0))
    root = (np.sqrt(spread**2 + 4 * np.asarray(replicas, dtype=np.float64)) - spread) / 2
    return np.asarray(root**2, dtype=np.float64)


def size_lane(lane: OwnLane, loads: Sequence[Load], rates: Mapping[str, Floats], ceiling_usd_per_hour: float) -> Sizing:
    """The cheapest replicas of one lane for the outcomes ``rates`` (requests a second by class key)."""
    seconds = lane.service.request_seconds
    work = lane.caution * sum((rates[load.key] * seconds[load.key] for load in loads), np.zeros(1))
    most = _enough(lane, float(np.max(work)))

    made: dict[bytes, _Evaluated] = {}

    def evaluate(counts: Floats) -> _Evaluated:
        key = counts.tobytes()
        if key not in made:
            made[key] = _evaluate(lane, loads, rates, counts, ceiling_usd_per_hour)
        return made[key]

    required = _search(
        most, lambda counts: np.where(evaluate(counts).unserved <= 1 - lane.attainment + 1e-9, counts, np.inf)
    )
    cheapest = _search(most, lambda counts: evaluate(counts).usd_per_hour + lane.usd_per_hour * counts)
    free = max(required, cheapest)
    bounded = min(max(free, lane.min_replicas), max(lane.max_replicas, lane.min_replicas))
    around = evaluate(np.array([max(free - 1, 0), free, free + 1, bounded], dtype=np.float64))
    left = absorb(loads, {k: v[None, :] for k, v in rates.items()}, seconds, lane.usable(bounded)[None, None])
    return Sizing(
        replicas=free,
        required=required,
        usd_per_replica_hour=lane.usd_per_hour,
        next_saves_usd_per_hour=float(around.usd_per_hour[1] - around.usd_per_hour[2]),
        last_saves_usd_per_hour=float(around.usd_per_hour[0] - around.usd_per_hour[1]),
        hosted_usd_per_hour=float(around.hosted_usd_per_hour[3]),
        capped=around.capped,
        left={key: value[0] for key, value in left.items()},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Evaluated:
    """By replica count: expected dollars beside the lane's own, and how often something is left unserved."""

    usd_per_hour: Floats
    hosted_usd_per_hour: Floats
    unserved: Floats
    capped: bool


def _evaluate(
    lane: OwnLane, loads: Sequence[Load], rates: Mapping[str, Floats], counts: Floats, ceiling: float
) -> _Evaluated:
    wide = {load.key: rates[load.key][None, :] for load in loads}
    usable, seconds = lane.usable(counts)[:, None], lane.service.request_seconds
    left = absorb(loads, wide, seconds, usable / lane.caution)
    result = host(loads, left, ceiling)
    full = result if lane.caution == 1.0 else host(loads, absorb(loads, wide, seconds, usable), ceiling)
    missed_usd = sum((3600 * load.miss_usd * result.missed[load.key] for load in loads), np.zeros(1))
    unserved = sum((full.missed[load.key] for load in loads), np.zeros(1))
    hosted = np.broadcast_to(result.usd_per_hour, left[loads[0].key].shape).mean(axis=1)
    shape = left[loads[0].key].shape
    total = sum((rates[load.key] for load in loads), np.zeros(1))
    return _Evaluated(
        usd_per_hour=hosted + np.broadcast_to(missed_usd, shape).mean(axis=1),
        hosted_usd_per_hour=np.asarray(hosted),
        unserved=np.broadcast_to(unserved > 1e-6 * np.maximum(total, 1e-9), shape).mean(axis=1),
        capped=result.capped,
    )


def _enough(lane: OwnLane, work: float) -> int:
    """Replicas beyond which nothing is left to serve."""
    spread = max(0.0, NormalDist().inv_cdf(min(max(lane.attainment, 0.5), 0.99999)))
    return min(SEARCH_LIMIT, math.ceil(work + spread * math.sqrt(work / max(lane.service.batch, 1.0)) - 1e-9))


def _search(most: int, cost_of: Callable[[Floats], Floats]) -> int:
    """The smallest count from 0 to ``most`` with the least cost; coarse first where the range is wide."""
    low, high = 0, most
    while True:
        stride = max(1, math.ceil((high - low) / GRID))
        counts = np.unique(np.append(np.arange(low, high + 1, stride), high))
        costs = np.asarray(cost_of(counts.astype(np.float64)))
        best = int(counts[int(np.argmin(costs > costs.min() + 1e-9))])
        if stride == 1:
            return best
        low, high = max(low, best - stride), min(high, best + stride)


def allocate(
    lanes: Sequence[OwnLane],
    loads: Mapping[str, Sequence[Load]],
    rates: Mapping[str, Mapping[str, Floats]],
    ceiling_usd_per_hour: float,
) -> dict[str, Sizing]:
    """Size several own lanes, the cheapest per unit of work first; the next gets what is left.

    ``loads`` and ``rates`` are by lane: a lane's own horizon decides. The minimum of dearer lanes is there anyway, so
    it is taken off first.
    """
    ordered = sorted(lanes, key=lambda lane: (lane.usd_per_work, lane.name))
    taken: dict[str, Floats] = {}
    sized = {}
    for index, lane in enumerate(ordered):
        mine = {key: np.maximum(value - taken.get(key, 0.0), 0.0) for key, value in rates[lane.name].items()}
        for later in ordered[index + 1 :]:
            if later.min_replicas > 0:
                shared = [load for load in loads[later.name] if load.key in mine]
                seconds = later.service.request_seconds
                room = later.usable(later.min_replicas)
                mine |= absorb(shared, {load.key: mine[load.key] for load in shared}, seconds, room)
        sizing = size_lane(lane, loads[lane.name], mine, ceiling_usd_per_hour)
        for key, value in mine.items():
            taken[key] = taken.get(key, 0.0) + (value - sizing.left[key])
        sized[lane.name] = sizing
    return sized
