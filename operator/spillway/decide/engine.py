"""The decision on one plan, in numbered steps: a pure function of a snapshot and of what is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from spillway.api import LaneType, Mode
from spillway.decide import chain, costs, explain
from spillway.decide.curves import Curve
from spillway.decide.decision import ClassDecision, Decision, LaneDecision, Reason, RouteDecision
from spillway.decide.demand import ClassDemand, class_demands, fresh
from spillway.decide.eligibility import Placement, fallback_findings, lane_findings, placements, usd_per_request
from spillway.decide.freed import Freed, freed
from spillway.decide.gateway import hold_seconds, owed, spilled_by_gateway, with_valve
from spillway.decide.guards import contested
from spillway.decide.lanes import LaneView, lane_views, loads_of, view_findings
from spillway.decide.learning import Learned, kept, learn
from spillway.decide.memory import LaneMemory, Memory, ProviderLimit
from spillway.decide.plan import Planned
from spillway.decide.planning import planning_due, size_lanes
from spillway.decide.providers import provider_limits, rates_of
from spillway.decide.reasons import Code, because
from spillway.decide.scaling import Scaled, scale_all
from spillway.decide.snapshot import Finding, LaneSnapshot, PlanSnapshot, Severity
from spillway.decide.traffic import ClassTraffic, is_calm, move_traffic, with_calm

VALID_TICKS = 3


def decide(snapshot: PlanSnapshot, memory: Memory, *, tell: bool = True) -> tuple[Decision, Memory]:
    """What the plan's lanes and rules should be now, why, and what to remember.

    ``tell``: with the chains of figures, which only people read.

    Deterministic; neither argument is changed. Never raises for what the outside world looks like: what can't be
    decided is held, with a reason.
    """
    # 1. What may be written, and what may be known.
    held, blind = explain.held(snapshot), explain.blind(snapshot)
    # 2. Which lanes may serve which class, and what each class asks for.
    places = placements(snapshot)
    demands = class_demands(snapshot, memory)
    # 3. What one replica of each own lane serves, and what the classes are worth.
    due = planning_due(snapshot, memory.planned, places, demands)
    known = learn(snapshot, places, demands, memory) if due else kept(memory)
    views = lane_views(snapshot, places, demands, known.curves)
    limits = provider_limits(snapshot, memory.providers)
    loads = loads_of(snapshot, places, demands, rates_of(limits))
    # 4. The replicas that cost least over the time that they need to start, taken through the guards.
    planned = memory.planned
    if due and not blind:
        planned = size_lanes(snapshot, views, known.curves, loads, demands, memory.planned)
    sizings = {} if planned is None else planned.sizings
    scaled = scale_all(snapshot, views, sizings, places, memory.lanes, blind)
    scaled = {
        name: _remembering(lane, with_calm(lane.memory, is_calm(snapshot, lane.view, demands), snapshot.at))
        for name, lane in scaled.items()
    }
    # 5. The traffic shares for the replicas that are warm and are to stay.
    if snapshot.actuators.in_flight_cap:
        traffic = spilled_by_gateway(snapshot, places, demands, scaled)
    else:
        traffic = move_traffic(snapshot, memory, places, demands, loads, scaled, blind)
    # 6. In words and dollars.
    lanes = tuple(
        with_valve(
            snapshot,
            _lane(snapshot, lane, scaled, demands, held, planned, limits),
            known.curves,
            memory.lanes.get(lane.name),
        )
        for lane in snapshot.lanes
    )
    classes = tuple(_class(snapshot, key, demands, traffic, scaled, planned, known.curves) for key in demands)
    if tell:
        figures = chain.Figures(snapshot, held, places, demands, loads, known.services, planned, scaled, traffic)
        lanes, classes = chain.told(lanes, classes, figures)
    routes = tuple(_route(snapshot, t.route, held) for t in traffic.values() if t.route is not None)
    decision = Decision(
        plan_key=snapshot.key,
        at=snapshot.at,
        valid_until=snapshot.at + VALID_TICKS * snapshot.tick_seconds,
        lanes=lanes,
        classes=classes,
        routes=routes,
        costs=costs.plan_costs(snapshot, lanes, _expected_hosted(demands, planned)),
        reason=explain.plan_reason(snapshot, held, lanes, traffic),
        findings=(*snapshot.findings, *_findings(snapshot, places, scaled)),
        held=held,
        overflow_active=any((t.share or 0.0) > 0 for t in traffic.values()),
        bound_savings={} if planned is None else planned.bound_savings,
    )
    # 7. What to remember.
    scaled = {
        lane.name: _remembering(scaled[lane.name], owed(lane, known.curves, scaled[lane.name].memory))
        for lane in lanes
        if lane.name in scaled
    }
    return decision, _remembered(demands, traffic, scaled, known, planned, limits)


def _remembering(lane: Scaled, memory: LaneMemory) -> Scaled:
    return lane if memory is lane.memory else replace(lane, memory=memory)


def _lane(
    snapshot: PlanSnapshot,
    lane: LaneSnapshot,
    scaled: Mapping[str, Scaled],
    demands: Mapping[str, ClassDemand],
    held: Reason | None,
    planned: Planned | None,
    limits: Mapping[str, ProviderLimit],
) -> LaneDecision:
    if lane.name in scaled:
        return _own_lane(snapshot, scaled[lane.name], demands, held, planned)
    usd = costs.hosted_usd_per_hour(lane, snapshot) if lane.resource.spec.type is LaneType.HOSTED_REALTIME else None
    share = _observed_share(snapshot, lane)
    reason = explain.hosted_reason(lane, share, limits.get(lane.name))
    if lane.resource.spec.type is not LaneType.HOSTED_REALTIME:
        reason = because(Code.UNSUPPORTED, f"Lanes of type {lane.resource.spec.type} are not used yet.")
    elif lane.token_price is None:
        reason = because(Code.PRICE_UNKNOWN, f"Nobody prices lane {lane.name}, so it is never used.")
    return LaneDecision(
        name=lane.name,
        current=None,
        ready=None,
        desired=None,
        recommended=None,
        reason=reason,
        usd_per_hour=usd,
        usd_per_mtok=costs.usd_per_mtok(usd, costs.tokens_per_second(lane, snapshot)),
        spill_share=share,
    )


def _own_lane(
    snapshot: PlanSnapshot,
    scaled: Scaled,
    demands: Mapping[str, ClassDemand],
    held: Reason | None,
    planned: Planned | None,
) -> LaneDecision:
    view = scaled.view
    billed = costs.replicas_billed(view.lane)
    usd = None if billed is None else costs.own_usd_per_hour(view.lane, billed)
    writable = snapshot.plan.spec.mode is Mode.APPLY and not snapshot.plan.spec.paused and snapshot.stopped is None
    observe = snapshot.plan.spec.mode is Mode.OBSERVE
    return LaneDecision(
        name=view.name,
        current=view.current,
        ready=view.ready,
        desired=scaled.desired,
        recommended=None if observe else scaled.recommended,
        reason=_stopped(held) or explain.lane_reason(scaled, snapshot.tick_seconds, planned),
        guards=scaled.bites,
        writable=writable and scaled.blocked is None and _worth_writing(scaled),
        bounds_only=scaled.desired is None,
        pods_to_remove=scaled.pods_to_remove,
        utilization=costs.utilization(view.lane, snapshot, _load(view, demands)),
        usd_per_hour=usd,
        usd_per_mtok=costs.usd_per_mtok(usd, costs.tokens_per_second(view.lane, snapshot)),
        replica_requests_per_second=explain.replica_rate(scaled, demands),
        freed=_freed(scaled),
    )


def _freed(scaled: Scaled) -> Freed | None:
    if scaled.sizing is None or scaled.blocked is not None:
        return None
    bounds = scaled.view.spec.replicas
    return freed(scaled.sizing.replicas, scaled.sizing.beyond, (bounds.min, bounds.max), scaled.fewest)


def _worth_writing(scaled: Scaled) -> bool:
    """A number that is known; where only bounds are, one that they ask to change."""
    if scaled.recommended is None:
        return False
    return scaled.desired is not None or scaled.recommended != scaled.view.current


def _stopped(held: Reason | None) -> Reason | None:
    """Stops outrank a lane's own reason; a lane without metrics tells its own."""
    return None if held is None or held.code == Code.HOLD_BLIND.value else held


def _load(view: LaneView, demands: Mapping[str, ClassDemand]) -> float | None:
    """Demand over what the Ready replicas serve within the SLO."""
    if view.service is None or not view.ready:
        return None
    work = 0.0
    for key in view.classes:
        now = demands[key].now
        if now is None:
            return None
        work += now.value * view.service.request_seconds[key]
    return work / view.ready


def _observed_share(snapshot: PlanSnapshot, lane: LaneSnapshot) -> float | None:
    """Observed share of the plan's requests that the lane serves."""
    total = served = 0.0
    for item in snapshot.classes:
        if item.demand is None:
            return None
        total += item.demand.requests_per_second.value
        at_lane = item.demand.requests_per_second_by_lane.get(lane.name)
        served += 0.0 if at_lane is None else at_lane.value
    if not any(item.demand and lane.name in item.demand.requests_per_second_by_lane for item in snapshot.classes):
        rate = None if lane.hosted is None else fresh(lane.hosted.requests_per_second, snapshot)
        if rate is None:
            return None
        served = rate
    return min(1.0, served / total) if total > 0 else None


def _route(snapshot: PlanSnapshot, route: RouteDecision, held: Reason | None) -> RouteDecision:
    """In Observe nothing is recommended; a stop leaves the recommendation, but not writable."""
    if snapshot.plan.spec.mode is Mode.OBSERVE and held is not None:
        return replace(route, weights=dict(route.current), reason=held, writable=False)
    if snapshot.plan.spec.paused or snapshot.stopped is not None:
        return replace(route, writable=False)
    return route


def _class(
    snapshot: PlanSnapshot,
    key: str,
    demands: Mapping[str, ClassDemand],
    traffic: Mapping[str, ClassTraffic],
    scaled: Mapping[str, Scaled],
    planned: Planned | None,
    curves: Mapping[str, Curve],
) -> ClassDecision:
    demand, moved = demands[key], traffic[key]
    rate = None if demand.now is None else demand.now.value
    tokens = None
    if rate is not None and demand.mix is not None:
        tokens = rate * (demand.mix.input_tokens + demand.mix.output_tokens)
    attainment = demand.item.attainment
    forecast = {} if planned is None else planned.quantiles.get(key, {})
    hosted_usd, own_usd = _class_usd(snapshot, key, demands, scaled)
    return ClassDecision(
        key=key,
        requests_per_second=rate,
        tokens_per_second=tokens,
        forecast=forecast,
        hosted_share=moved.share,
        attainment=None if attainment is None else fresh(attainment, snapshot),
        usd_per_hour=None if hosted_usd is None or own_usd is None else hosted_usd + own_usd,
        own_usd_per_hour=own_usd,
        reason=moved.reason,
        hold_seconds=hold_seconds(snapshot, key, curves, scaled),
    )


def _class_usd(
    snapshot: PlanSnapshot, key: str, demands: Mapping[str, ClassDemand], scaled: Mapping[str, Scaled]
) -> tuple[float | None, float | None]:
    """Hosted dollars of the class, and its part of the GPU dollars of its own lanes by work."""
    demand, mix = demands[key].item.demand, demands[key].mix
    if demand is None or mix is None or demands[key].now is None:
        return None, None
    hosted = own = 0.0
    for name, reading in demand.requests_per_second_by_lane.items():
        lane = snapshot.lane(name)
        if lane is not None and lane.token_price is not None:
            hosted += 3600 * reading.value * usd_per_request(lane.token_price, mix)
    for lane_scaled in scaled.values():
        view = lane_scaled.view
        if key not in view.classes or view.service is None:
            continue
        work = {
            k: now.value * view.service.request_seconds[k] for k in view.classes if (now := demands[k].now) is not None
        }
        billed = costs.replicas_billed(view.lane)
        if billed is not None and sum(work.values()) > 0:
            own += costs.own_usd_per_hour(view.lane, billed) * work.get(key, 0.0) / sum(work.values())
    return hosted, own


def _expected_hosted(demands: Mapping[str, ClassDemand], planned: Planned | None) -> float | None:
    """Expected hosted dollars an hour at the start-up lead; None where not known."""
    if planned is None or any(d.problem() is not None and not d.counted_elsewhere for d in demands.values()):
        return None
    return sum(sizing.hosted_usd_per_hour for sizing in planned.sizings.values())


def _findings(snapshot: PlanSnapshot, places: Mapping[str, Placement], scaled: Mapping[str, Scaled]) -> list[Finding]:
    """Warnings of this decision; the snapshot's own come first in the Decision."""
    found = [*lane_findings(snapshot), *fallback_findings(snapshot, places)]
    for lane in scaled.values():
        found += view_findings(snapshot, lane.view)
        target = lane.view.lane.target
        subject = f"CapacityLane/{lane.view.lane.resource.metadata.key}"
        overridden = lane.blocked if lane.blocked and lane.blocked.code == Code.MANUAL_OVERRIDE.value else None
        for reason in (overridden, None if target is None else contested(target)):
            if reason is not None:
                found.append(
                    Finding(Severity.WARNING, reason.code, f"lane {lane.view.name}: {reason.message}", subject)
                )
    return found


def _remembered(
    demands: Mapping[str, ClassDemand],
    traffic: Mapping[str, ClassTraffic],
    scaled: Mapping[str, Scaled],
    known: Learned,
    planned: Planned | None,
    limits: Mapping[str, ProviderLimit],
) -> Memory:
    mixes = {key: mix for key, demand in demands.items() if (mix := demand.mix) is not None}
    return Memory(
        lanes={name: lane.memory for name, lane in scaled.items()},
        hosted_shares={key: t.share for key, t in traffic.items() if t.share is not None},
        mixes=mixes,
        forecasts={key: demand.state for key, demand in demands.items() if demand.state is not None},
        bursts=known.bursts,
        budgets=known.budgets,
        services=known.services,
        curves=known.curves,
        planned=planned,
        providers=limits,
    )
