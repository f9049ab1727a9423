"""The vocabulary of allocation: lanes, classes, what binds them, and joint demand paths. All values are given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spillway.api import LatencyClass
from spillway.decide.allocation.types import Floats
from spillway.decide.compared import Compared

RANK = {LatencyClass.DEFERRABLE: 0, LatencyClass.BACKGROUND: 1, LatencyClass.INTERACTIVE: 2}
"""Urgency: who is served first where dollars or GPUs are short."""


class AllocationError(ValueError):
    """A problem that contradicts itself; the message names object, field and way out."""


@dataclass(frozen=True, slots=True, eq=False)
class Response(Compared):
    """Mean work that an own lane spills under its cap and hold, by Ready replicas and offered work."""

    counts: Floats
    """(N,) Ready replicas: 0, 1, ... without gaps."""
    load: Floats
    """(G,) offered work in replicas (requests a second times replica-seconds a request), ascending from 0."""
    left: Floats
    """(N, G) work in replicas that is not taken: convex and growing in load, falling in replicas."""

    def table(self, load: Floats, most: int, least: int = 0) -> Floats:
        """``left`` at each given load (any shape) for least..most replicas: shape (*load.shape, most + 1 - least).

        Linear between grid points; beyond the last one everything more is left. Replicas beyond the grid shrink what
        is left by the ratio of the last two rows, which continues a convex fall.
        """
        flat = np.asarray(load, dtype=np.float64).ravel()
        index = np.minimum(np.maximum(np.searchsorted(self.load, flat, side="right") - 1, 0), len(self.load) - 2)
        low, high = self.load[index], self.load[index + 1]
        part = np.minimum(np.maximum((flat - low) / (high - low), 0.0), 1.0)[:, None]
        grid = len(self.left)
        first = min(least, max(grid - 2, 0))
        by_load = np.ascontiguousarray(self.left[first : most + 1].T)
        found = by_load.take(index, axis=0)
        found *= 1 - part
        found += by_load.take(index + 1, axis=0) * part
        found += np.maximum(flat - self.load[-1], 0.0)[:, None]
        if most + 1 > grid:
            last, before = found[:, -1:], found[:, -2:-1] if found.shape[1] > 1 else found[:, -1:]
            ratio = np.divide(last, before, out=np.zeros_like(last), where=before > 0)
            found = np.concatenate([found, last * np.minimum(ratio, 1.0) ** np.arange(1, most + 2 - grid)], axis=1)
        return found[:, least - first :].reshape(*np.shape(load), most + 1 - least)

    def left_at(self, replicas: int, load: Floats | float) -> Floats:
        """What so many Ready replicas leave of the offered work."""
        return np.asarray(self.table(np.asarray(load, dtype=np.float64), replicas, replicas)[..., 0])


@dataclass(frozen=True, slots=True, eq=False)
class LaneProblem:
    """One own lane."""

    name: str
    usd_per_replica_hour: float
    """Avoidable dollars, paid from a replica's creation."""
    min_replicas: int
    max_replicas: int
    ready: int
    startup_seconds: float
    work_seconds: Mapping[str, float]
    """Replica-seconds a request, by key of the classes that may use the lane (policy, model, equivalence)."""
    response: Response
    pending_seconds: tuple[float, ...] = ()
    """Seconds until each replica under way is Ready."""
    minimum_up_seconds: float = 0.0
    """A replica stays at least so long after its order."""
    pool: str | None = None
    gpus_per_replica: int = 1
    terminal_usd: Floats | None = None
    """Dollars that 0, 1, ... Ready replicas are worth together at the horizon's end; None: nothing."""


@dataclass(frozen=True, slots=True)
class HostedOption:
    """A hosted lane that a class may use."""

    lane: str
    usd_per_request: float
    max_requests_per_second: float = math.inf
    """By requests a minute and concurrency, if the class had the lane to itself."""
    tokens_per_request: float = 0.0
    """Counts against the lane's tokens per minute (`Problem.hosted_tokens_per_minute`)."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassProblem:
    """One class of traffic."""

    key: str
    latency: LatencyClass
    hosted: tuple[HostedOption, ...]
    """None means own GPUs only."""
    miss_usd: float
    """Dollars that a request served late or not at all is worth (see `prices.MissPrice`)."""
    demand: Floats
    """(S, K) requests a second: equally likely joint paths over the periods, the same S for all classes."""
    tier: str | None = None
    """Name of a ceiling in `Problem.tier_usd_per_hour` that the class's hosted dollars count against."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What to allocate over K periods from now on."""

    period_seconds: Floats
    """(K,) the first period begins now."""
    lanes: tuple[LaneProblem, ...]
    classes: tuple[ClassProblem, ...]
    ceiling_usd_per_hour: float = math.inf
    """On hosted dollars."""
    tier_usd_per_hour: Mapping[str, float] = field(default_factory=dict)
    pools: Mapping[str, float] = field(default_factory=dict)
    """GPUs by pool that the plan's lanes may hold, those held included; a pool not named is unlimited."""
    hosted_tokens_per_minute: Mapping[str, float] = field(default_factory=dict)
    pacing: float = 1.0
    """Price factor on hosted dollars where a month's budget runs out early (see `prices.pacing_factor`)."""

    def __post_init__(self) -> None:
        shapes = {item.demand.shape for item in self.classes}
        if len(shapes) > 1 or any(len(s) != 2 or s[1] != len(self.period_seconds) or s[0] < 1 for s in shapes):
            raise AllocationError(f"classes: demand has shapes {sorted(shapes)}; give (S, {len(self.period_seconds)})")
        if len(self.period_seconds) < 1 or float(np.min(self.period_seconds)) <= 0:
            raise AllocationError("period_seconds: give at least one period longer than 0 s")
        known = {item.key for item in self.classes}
        for lane in self.lanes:
            if lane.min_replicas > lane.max_replicas:
                raise AllocationError(f"lane {lane.name}: min_replicas is above max_replicas; raise max_replicas")
            bad = [key for key, seconds in lane.work_seconds.items() if key not in known or not seconds > 0]
            if bad:
                raise AllocationError(f"lane {lane.name}: work_seconds of {bad[0]} needs a class and more than 0 s")

    @property
    def hours(self) -> Floats:
        """(K,) length of the periods."""
        return np.asarray(self.period_seconds, dtype=np.float64) / 3600

    def users(self, lane: LaneProblem) -> list[ClassProblem]:
        """The classes that may use an own lane."""
        return [item for item in self.classes if item.key in lane.work_seconds]

    def most(self, lane: LaneProblem) -> int:
        """Most replicas of a lane by its own bound and its pool."""
        room = self.pools.get(lane.pool, math.inf) if lane.pool is not None else math.inf
        fits = lane.max_replicas if math.isinf(room) else int(room // max(lane.gpus_per_replica, 1))
        return max(0, min(lane.max_replicas, fits))

    def least(self, lane: LaneProblem) -> int:
        """Fewest replicas of a lane: its own bound, or what the pool can give."""
        return min(lane.min_replicas, self.most(lane))

    def work(self, lane: LaneProblem) -> Floats:
        """(S, K) work in replicas that the lane's classes bring."""
        shape = self.classes[0].demand.shape if self.classes else (1, len(self.period_seconds))
        total = np.zeros(shape)
        for item in self.users(lane):
            total = total + item.demand * lane.work_seconds[item.key]
        return total


def miss_prices(problem: Problem) -> dict[str, float]:
    """Dollars a miss by class, raised where precedence asks for it: data policy > ceiling > SLO > cost.

    A miss is never cheaper than the dearest hosted lane that could serve it, and a more urgent class is never cheaper
    to miss than a less urgent one, neither per unit of own work nor per hosted dollar: whatever is short, GPUs or
    dollars, goes to the more urgent class first.
    """
    work = {item.key: _mean_work(problem, item.key) for item in problem.classes}
    found: dict[str, float] = {}
    for rank in sorted(set(RANK.values())):
        mine = [item for item in problem.classes if RANK[item.latency] == rank]
        below = [item for item in problem.classes if RANK[item.latency] < rank]
        per_work = max((found[i.key] / work[i.key] for i in below if work[i.key] > 0), default=0.0)
        per_usd = max((found[i.key] / _cheapest(i) for i in below if i.hosted and _cheapest(i) > 0), default=0.0)
        for item in mine:
            dearest = max((o.usd_per_request for o in item.hosted), default=0.0)
            cheapest = _cheapest(item) if item.hosted else 0.0
            floors = (1.01 * problem.pacing * dearest, 1.05 * per_work * work[item.key], 1.05 * per_usd * cheapest)
            found[item.key] = max(item.miss_usd, *floors)
    return found


def _cheapest(item: ClassProblem) -> float:
    return min(option.usd_per_request for option in item.hosted)


def _mean_work(problem: Problem, key: str) -> float:
    seconds = [lane.work_seconds[key] for lane in problem.lanes if key in lane.work_seconds]
    return float(np.mean(seconds)) if seconds else 0.0
