"""What is known of lanes and classes beyond this tick: service, error budgets, burstiness, and the curves from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from spillway.api import LatencyClass
from spillway.decide.budget import ErrorBudget, spent
from spillway.decide.bursts import Burst, Unevenness, seen
from spillway.decide.curves import Curve, curve
from spillway.decide.demand import ClassDemand, fresh, outcomes
from spillway.decide.eligibility import Placement, self_hosted
from spillway.decide.memory import Memory
from spillway.decide.quantiles import quantiles
from spillway.decide.service import Mix, ServiceState, learned
from spillway.decide.service.lengths import Lengths
from spillway.decide.shares import DEMAND_QUANTILE
from spillway.decide.snapshot import ClassSnapshot, LaneSnapshot, PlanSnapshot
from spillway.decide.valves import Objective

FEWEST_RUNNING = 16
"""Requests in flight that tell how much of the KV cache one takes."""
MAX_CAUTION = 1.5
"""Where next to nothing comes, the upper demand is many times the mean; that is no reason to size for."""
LOOSE_ALLOWANCE = 0.5
"""A class without an objective may miss half."""


@dataclass(frozen=True, slots=True)
class Learned:
    """By lane name, and by class key."""

    services: Mapping[str, ServiceState]
    curves: Mapping[str, Curve]
    budgets: Mapping[str, ErrorBudget]
    bursts: Mapping[str, Burst]


def learn(
    snapshot: PlanSnapshot,
    places: Mapping[str, Placement],
    demands: Mapping[str, ClassDemand],
    memory: Memory,
) -> Learned:
    """Take in what this tick shows."""
    budgets = {item.key: _budget(snapshot, item, places[item.key], memory) for item in snapshot.classes}
    bursts = dict(memory.bursts)
    for item in snapshot.classes:
        burst = memory.bursts.get(item.key)
        if item.demand is not None and item.demand.history:
            burst = seen(burst, item.demand.history[0])
        if burst is not None:
            bursts[item.key] = burst
    services, curves = {}, {}
    for lane in self_hosted(snapshot):
        spec = lane.resource.spec.self_hosted
        if spec is None:
            continue
        samples = () if lane.engine is None else lane.engine.samples
        state = learned(memory.services.get(lane.name), spec.profile, samples, snapshot.at)
        services[lane.name] = state
        made = _curve(snapshot, lane, state, places, demands, budgets, bursts, memory)
        if made is not None:
            curves[lane.name] = made
    return Learned(services, curves, budgets, bursts)


def kept(memory: Memory) -> Learned:
    """What was known at the last look."""
    return Learned(memory.services, memory.curves, memory.budgets, memory.bursts)


def _budget(snapshot: PlanSnapshot, item: ClassSnapshot, place: Placement, memory: Memory) -> ErrorBudget:
    before, target = memory.budgets.get(item.key), _target(item)
    attained = None if item.attainment is None else fresh(item.attainment, snapshot)
    if item.demand is None or attained is None:
        return ErrorBudget(snapshot.at, since=snapshot.at) if before is None else replace(before, at=snapshot.at)
    by_lane = item.demand.requests_per_second_by_lane
    rate = item.demand.requests_per_second.value
    own = sum(by_lane[name].value for name in place.own if name in by_lane) if by_lane else rate
    missed = min(own, rate) * (1.0 - attained)
    hosted = max(rate - own, 0.0)
    return spent(before, snapshot.at, target, rate, missed, snapshot.actuators.in_flight_cap, hosted)


def _target(item: ClassSnapshot) -> float:
    slo = item.resource.spec.slo
    return 1.0 - LOOSE_ALLOWANCE if slo is None else float(slo.attainment_percent) / 100


def _curve(
    snapshot: PlanSnapshot,
    lane: LaneSnapshot,
    state: ServiceState,
    places: Mapping[str, Placement],
    demands: Mapping[str, ClassDemand],
    budgets: Mapping[str, ErrorBudget],
    bursts: Mapping[str, Burst],
    memory: Memory,
) -> Curve | None:
    keys = [key for key, place in places.items() if lane.name in place.own and demands[key].problem() is None]
    before = memory.curves.get(lane.name)
    if not keys:
        return before  # a gateway that knows nothing new keeps its caps
    capped = snapshot.actuators.in_flight_cap
    if not capped and not state.declared and not state.informed:
        return None  # replicas are not scaled on a guess
    objectives = {key: _objective(demands[key], demands[key].mix, places[key], budgets[key]) for key in keys}
    for key, place in places.items():
        if lane.name in place.own and demands[key].counted_elsewhere:
            # Its traffic is counted with that of the others, so it is like theirs; its objectives are its own.
            objectives[key] = _objective(demands[key], demands[keys[0]].mix, place, budgets[key])
    uneven = _unevenness({key: objectives[key].requests_per_second for key in keys}, bursts)
    have = 0 if lane.target is None else lane.target.replicas
    load = 0.0 if before is None else _load(before, objectives)
    most = max(have + 3, math.ceil(1.5 * load) + 3)
    held = _held_tokens(snapshot, lane, state.coefficients.kv_cache_tokens)
    caution = None if capped else _caution([demands[key] for key in keys], snapshot.tick_seconds)
    made = curve(before, state.coefficients, objectives, uneven, most, held, caution)
    # At the first look the load isn't known before the curve is.
    most = math.ceil(1.5 * _load(made, objectives)) + 3
    return made if before is not None else curve(made, state.coefficients, objectives, uneven, most, held, caution)


def _caution(demands: Sequence[ClassDemand], tick_seconds: float) -> float:
    """Upper over mean demand at the next tick, of all classes of a lane together: weights are set for the upper one."""
    total = outcomes(demands, (tick_seconds,)).total()
    mean = float(total.mean())
    return min(MAX_CAUTION, max(1.0, quantiles(total, DEMAND_QUANTILE)[0] / mean)) if mean > 0 else 1.0


def _load(curve: Curve, objectives: Mapping[str, Objective]) -> float:
    """Replicas of work that come now."""
    return sum(item.requests_per_second * curve.request_seconds.get(key, 0.0) for key, item in objectives.items())


def _unevenness(rates: Mapping[str, float], bursts: Mapping[str, Burst]) -> Unevenness:
    """Of all classes together: the busiest one's minutes, the others taken as steady."""
    known = {key: max(rate, 1e-9) for key, rate in rates.items() if key in bursts}
    if not known:
        return Unevenness()
    total = sum(max(rate, 1e-9) for rate in rates.values())
    dispersion = 1.0 + sum(rate * (bursts[key].dispersion - 1.0) for key, rate in known.items()) / total
    busiest = max(known, key=lambda key: (known[key], key))
    factors, weights = bursts[busiest].spread()
    factors = 1.0 + (factors - 1.0) * known[busiest] / total
    jitter = bursts[busiest].jitter * known[busiest] / total
    return Unevenness(dispersion, tuple(factors.tolist()), tuple(weights.tolist()), jitter)


def _held_tokens(snapshot: PlanSnapshot, lane: LaneSnapshot, cache_tokens: float | None) -> float | None:
    """KV tokens of a request in flight, where enough of them run to tell."""
    if lane.target is None or cache_tokens is None:
        return None
    used = running = 0.0
    for pod in lane.target.pods:
        share, number = (None if r is None else fresh(r, snapshot) for r in (pod.kv_usage, pod.running))
        if share is not None and number is not None:
            used, running = used + share, running + number
    return used * cache_tokens / running if running >= FEWEST_RUNNING else None


def _objective(demand: ClassDemand, mix: Mix | None, place: Placement, budget: ErrorBudget) -> Objective:
    item = demand.item
    slo = item.resource.spec.slo
    latencies = [
        float(spec.latency.time_to_first_token_ms)
        for lane in place.hosted
        if (spec := lane.resource.spec.hosted) is not None and spec.latency is not None
    ]
    deferrable = item.resource.spec.latency is LatencyClass.DEFERRABLE
    if mix is None:
        raise ValueError(f"class {demand.key}: its token mix is not known")
    return Objective(
        mix=mix,
        lengths=Lengths(),
        requests_per_second=0.0 if demand.now is None else demand.now.value,
        ttft_ms=None if slo is None or deferrable else float(slo.time_to_first_token_ms),
        itl_ms=None if slo is None or deferrable else float(slo.inter_token_latency_ms),
        allowance=budget.allowance(_target(item)),
        hosted_ttft_ms=min(latencies, default=None),
        hosted_late=budget.late_share(_target(item)),
    )
