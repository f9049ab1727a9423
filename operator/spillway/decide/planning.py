"""What own lanes should have: the plan's allocation problem, solved every few ticks and looked up in between."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spillway.api import LatencyClass
from spillway.decide.allocation import Settings, allocate, marginal_values
from spillway.decide.allocation.problem import ClassProblem, HostedOption, LaneProblem, Problem
from spillway.decide.calibration import Calibration, Promise, held_against, promising
from spillway.decide.ceilings import ceiling_usd_per_hour, month_pacing
from spillway.decide.curves import Curve
from spillway.decide.demand import ClassDemand, joint_paths
from spillway.decide.eligibility import Placement, self_hosted
from spillway.decide.forecast import Floats, steadied
from spillway.decide.freed import Beyond, OwnLane, Work, beyond
from spillway.decide.lanes import LaneView, startup_seconds
from spillway.decide.overflow import Load
from spillway.decide.plan import Planned, Sizing
from spillway.decide.quantiles import median, quantiles
from spillway.decide.snapshot import PlanSnapshot

SOLVE_TICKS = 2
SOLVE_LEAD_SHARE = 0.25
LONGEST_SOLVE_SECONDS = 60.0
SHORTEST_TICKS = 4
LONGEST_SECONDS = 600.0
FEWEST_PERIODS, MOST_PERIODS = 6, 12
BOUNDS_SECONDS = 3600.0
"""What each bound costs is for people and needs a solve a bound: so often is enough."""
LEADS = 3.0
"""The horizon is at least so many start-up times."""
SLO_MISS_FACTOR = 10.0
"""A request that nobody serves is worth so many times its hosted price, where no tier says what it is worth."""
TOLD_QUANTILES = (0.1, 0.5, 0.9)
UNPRICED_MISS_USD = 1.0
"""The same for classes that no hosted lane may take: own GPUs are worth nearly any price there."""


def planning_due(
    snapshot: PlanSnapshot,
    before: Planned | None,
    places: Mapping[str, Placement],
    demands: Mapping[str, ClassDemand],
) -> bool:
    """Whether this tick learns and solves; the ticks between look up what was found."""
    if before is None or _news(before, places, demands):
        return True
    leads = [startup_seconds(lane) for lane in self_hosted(snapshot)]
    share = SOLVE_LEAD_SHARE * min(leads, default=0.0)
    interval = max(SOLVE_TICKS * snapshot.tick_seconds, min(share, LONGEST_SOLVE_SECONDS))
    elapsed = snapshot.at - before.at
    return not -interval < elapsed < interval - 0.5 * snapshot.tick_seconds


def _news(before: Planned, places: Mapping[str, Placement], demands: Mapping[str, ClassDemand]) -> bool:
    """Whether a class or a lane is there that the last solve did not know."""
    return any(
        key not in before.quantiles or any(name not in before.sizings for name in place.own)
        for key, place in places.items()
        if place.own and demands[key].problem() is None and _justifies(demands[key].item.resource.spec.latency)
    )


def size_lanes(
    snapshot: PlanSnapshot,
    views: Mapping[str, LaneView],
    curves: Mapping[str, Curve],
    loads: Mapping[str, Load],
    demands: Mapping[str, ClassDemand],
    before: Planned | None,
) -> Planned:
    """The replicas that each lane should be asked for now."""
    sized = [view for view in views.values() if view.name in curves and _users(view, loads)]
    keys = sorted({key for view in sized for key in _users(view, loads)})
    if not sized:
        empty = Planned(snapshot.at, {}, {}, None)
        return empty if before is None else replace(before, at=snapshot.at, sizings={}, quantiles={})
    return _solved(snapshot, sized, keys, curves, loads, demands, before)


def _users(view: LaneView, loads: Mapping[str, Load]) -> list[str]:
    """The classes that justify own GPUs on this lane: all but deferrable ones."""
    return [key for key in view.classes if _justifies(loads[key].latency)]


def _justifies(latency: LatencyClass) -> bool:
    return latency is not LatencyClass.DEFERRABLE


def _solved(
    snapshot: PlanSnapshot,
    sized: Sequence[LaneView],
    keys: Sequence[str],
    curves: Mapping[str, Curve],
    loads: Mapping[str, Load],
    demands: Mapping[str, ClassDemand],
    before: Planned | None,
) -> Planned:
    lengths = periods(snapshot, [view.startup_seconds for view in sized])
    lead = min(view.startup_seconds for view in sized) + snapshot.tick_seconds
    middles = np.cumsum(lengths) - lengths / 2
    paths = dict(joint_paths([demands[key] for key in keys], (*middles, lead), snapshot.at))
    steadies = {} if before is None else {key: kept for key, kept in before.steadies.items() if key in demands}
    for key in keys:
        known = steadies.get(key)
        forecast = median(paths[key][:, -1])
        steadies[key] = steadied(known, snapshot.at, demands[key].current or 0.0, forecast, lead)
        paths[key] = paths[key] * math.exp(steadies[key].shift)
    records = {view.name: _judged(snapshot, view, curves[view.name], loads, demands, before) for view in sized}
    problem = Problem(
        period_seconds=lengths,
        lanes=tuple(_lane_problem(snapshot, view, curves[view.name], loads) for view in sized),
        classes=tuple(_class_problem(loads[key], demands[key], paths[key][:, :-1]) for key in keys),
        ceiling_usd_per_hour=ceiling_usd_per_hour(snapshot),
        tier_usd_per_hour={load.tier: load.tier_usd_per_hour for load in loads.values() if load.tier is not None},
        pools=_pools(snapshot, sized),
        hosted_tokens_per_minute=_token_limits(snapshot),
        pacing=month_pacing(snapshot) * sum(record.factor for record in records.values()) / len(records),
    )
    found, state = allocate(
        problem,
        None if before is None else before.state,
        snapshot.at,
        Settings(solve_seconds=0.0, orders_only=True),
    )
    at_lead = {key: paths[key][:, -1] for key in keys}
    asked = {view.name: found.lanes[view.name].replicas for view in sized}
    own = {view.name: _own_lane(view, curves[view.name], asked[view.name], loads) for view in sized}
    sizings = {
        view.name: replace(
            _sizing(view, curves[view.name], asked[view.name], loads, at_lead),
            beyond=_beyond(view, sized, own, loads, at_lead),
        )
        for view in sized
    }
    for view in sized:
        size, moment = sizings[view.name], snapshot.at + view.startup_seconds
        saves = size.last_saves_usd_per_hour + size.next_saves_usd_per_hour
        records[view.name] = promising(records[view.name], Promise(moment, size.replicas, saves))
    savings, moved_at = ({}, -math.inf) if before is None else (before.bound_savings, before.bounds_moved_at)
    if not 0 <= snapshot.at - moved_at < BOUNDS_SECONDS:
        savings, moved_at = marginal_values(problem, Settings()).by_bound(), snapshot.at
    return Planned(
        at=snapshot.at,
        sizings=sizings,
        bound_savings=savings,
        bounds_moved_at=moved_at,
        quantiles={key: _told(at_lead[key]) for key in keys},
        state=state,
        steadies=steadies,
        calibrations=records,
    )


def _told(rates: Floats) -> dict[str, float]:
    """Of the forecast at the lead, what status and reports show."""
    return {str(q): value for q, value in zip(TOLD_QUANTILES, quantiles(rates, *TOLD_QUANTILES), strict=True)}


def _judged(
    snapshot: PlanSnapshot,
    view: LaneView,
    curve: Curve,
    loads: Mapping[str, Load],
    demands: Mapping[str, ClassDemand],
    before: Planned | None,
) -> Calibration:
    """The lane's record with the promises for now held against the demand of now."""
    record = None if before is None else before.calibrations.get(view.name)
    if record is None:
        return Calibration(snapshot.at)
    rates = {key: np.array([demands[key].current or 0.0]) for key in _users(view, loads)}
    kept = []
    for promise in record.due(snapshot.at):
        size = _sizing(view, curve, promise.replicas, loads, rates)
        kept.append(size.last_saves_usd_per_hour + size.next_saves_usd_per_hour)
    return held_against(record, snapshot.at, tuple(kept))


def periods(snapshot: PlanSnapshot, leads: Sequence[float]) -> Floats:
    """Lengths of the periods in seconds: the longest start-up or an even part of it, no shorter than a few ticks."""
    longest = max(leads)
    parts = math.ceil(longest / LONGEST_SECONDS)
    length = max(longest / parts, SHORTEST_TICKS * snapshot.tick_seconds)
    number = min(MOST_PERIODS, max(FEWEST_PERIODS, math.ceil(LEADS * longest / length)))
    return np.full(number, length)


def _lane_problem(snapshot: PlanSnapshot, view: LaneView, curve: Curve, loads: Mapping[str, Load]) -> LaneProblem:
    target = view.lane.target
    starting = () if target is None else tuple(pod for pod in target.pods if not pod.ready and not pod.deleting)
    pending = [max(0.0, pod.created_at + view.startup_seconds - snapshot.at) for pod in starting]
    ready, asked = view.ready or 0, view.current or 0
    # Pods that the apiserver doesn't show yet were just asked for.
    pending += [view.startup_seconds] * max(0, asked - ready - len(pending))
    most = view.spec.replicas.max
    if view.pool_replicas is not None:
        # A pool that is short is no reason to remove what runs.
        most = min(most, max(view.pool_replicas, asked))
    return LaneProblem(
        name=view.name,
        usd_per_replica_hour=view.usd_per_replica_hour,
        min_replicas=view.spec.replicas.min,
        max_replicas=max(most, view.spec.replicas.min),
        ready=min(ready, asked),
        startup_seconds=view.startup_seconds,
        work_seconds={key: curve.request_seconds[key] for key in _users(view, loads)},
        response=curve.response,
        pending_seconds=tuple(sorted(pending))[: max(0, asked - ready)],
        pool=view.spec.gpu.pool,
        gpus_per_replica=view.spec.gpu.per_replica,
    )


def _class_problem(load: Load, demand: ClassDemand, paths: Floats) -> ClassProblem:
    tokens = 0.0 if demand.mix is None else demand.mix.input_tokens + demand.mix.output_tokens
    hosted = tuple(
        HostedOption(outlet.lane, outlet.usd_per_request, outlet.max_requests_per_second, tokens)
        for outlet in load.outlets
    )
    dearest = max((outlet.usd_per_request for outlet in load.outlets), default=UNPRICED_MISS_USD / SLO_MISS_FACTOR)
    return ClassProblem(
        key=load.key,
        latency=load.latency,
        hosted=hosted,
        miss_usd=max(load.miss_usd, SLO_MISS_FACTOR * dearest),
        demand=paths,
        tier=load.tier,
    )


def _pools(snapshot: PlanSnapshot, sized: Sequence[LaneView]) -> dict[str, float]:
    """GPUs of each pool that this plan's lanes may hold, those held included."""
    found = {}
    for view in sized:
        pool, lane = view.spec.gpu.pool, snapshot.lane(view.name)
        if pool is not None and lane is not None and lane.pool_gpus is not None:
            found[pool] = float(max(0, lane.pool_gpus - lane.pool_gpus_others))
    return found


def _token_limits(snapshot: PlanSnapshot) -> dict[str, float]:
    found = {}
    for lane in snapshot.lanes:
        hosted = lane.resource.spec.hosted
        if hosted is not None and hosted.limits is not None and hosted.limits.tokens_per_minute is not None:
            found[lane.name] = float(hosted.limits.tokens_per_minute)
    return found


def _sizing(
    view: LaneView, curve: Curve, replicas: int, loads: Mapping[str, Load], rates: Mapping[str, Floats]
) -> Sizing:
    """The lane's own figures at the lead, as if it had its classes to itself."""
    users = _users(view, loads)
    work = sum((rates[key] * curve.request_seconds[key] for key in users), np.zeros(1))
    usd = sum((3600 * rates[key] * _usd_per_request(loads[key]) for key in users), np.zeros(1))
    per_work = np.divide(usd, work, out=np.zeros_like(usd), where=work > 0)
    fewest = max(replicas - 1, 0)
    costs = (curve.response.table(work, replicas + 1, fewest) * per_work[:, None]).mean(axis=0).tolist()
    fewer, now, more = costs[0], costs[replicas - fewest], costs[-1]
    return Sizing(
        replicas=replicas,
        usd_per_replica_hour=view.usd_per_replica_hour,
        next_saves_usd_per_hour=now - more,
        last_saves_usd_per_hour=fewer - now,
        hosted_usd_per_hour=now,
    )


def _beyond(
    view: LaneView,
    sized: Sequence[LaneView],
    lanes: Mapping[str, OwnLane],
    loads: Mapping[str, Load],
    rates: Mapping[str, Floats],
) -> Beyond | None:
    """What the lane would cost outside its bounds, the other own lanes of its classes moving with it."""
    mine = set(_users(view, loads))
    beside = [other for other in sized if other is not view and mine & set(_users(other, loads))]
    beside.sort(key=lambda other: (other.usd_per_work, other.name))
    keys = mine.union(*(_users(other, loads) for other in beside))
    work = Work(
        {key: rates[key] for key in keys},
        {key: _usd_per_request(loads[key]) for key in keys},
        {key: _usd_per_request(loads[key]) for key in keys if loads[key].outlets},
    )
    return beyond(lanes[view.name], [lanes[other.name] for other in beside], work, view.pool_replicas)


def _own_lane(view: LaneView, curve: Curve, asked: int, loads: Mapping[str, Load]) -> OwnLane:
    bounds, room = view.spec.replicas, view.pool_replicas
    return OwnLane(
        response=curve.response,
        request_seconds={key: curve.request_seconds[key] for key in _users(view, loads)},
        usd_per_replica_hour=view.usd_per_replica_hour,
        low=bounds.min,
        high=bounds.max if room is None else max(bounds.min, min(bounds.max, max(room, asked))),
        asked=asked,
    )


def _usd_per_request(load: Load) -> float:
    return load.outlets[0].usd_per_request if load.outlets else UNPRICED_MISS_USD
