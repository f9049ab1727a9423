"""Which lanes may serve which class: models, routes, data policy, prices and latencies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from spillway.api import DataPolicy, LaneType, Mode, OverflowMode, RoutingPlane
from spillway.decide.reasons import Code
from spillway.decide.service import Mix
from spillway.decide.snapshot import (
    ClassSnapshot,
    Finding,
    LaneSnapshot,
    PlanSnapshot,
    RouteState,
    Severity,
    TokenPrice,
)

TYPICAL_HOSTED_SECONDS = 10.0
"""Time a hosted request takes where the lane declares no latency; for its concurrency limit."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """A hosted lane that a class may use."""

    lane: str
    usd_per_request: float
    max_requests_per_second: float
    """If this class had the lane to itself; infinite without limits."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one class may be served."""

    own: tuple[str, ...]
    """Self-hosted lanes."""
    hosted: tuple[LaneSnapshot, ...]
    """Hosted lanes that policy, price, model, route and latency allow."""
    route: RouteState | None
    """The rule that carries the class, if one does and it can be moved."""


def placements(snapshot: PlanSnapshot) -> dict[str, Placement]:
    """Where each class may be served, by class key."""
    return {c.key: _placement(snapshot, c) for c in snapshot.classes}


def self_hosted(snapshot: PlanSnapshot) -> list[LaneSnapshot]:
    """The plan's own lanes."""
    return [lane for lane in snapshot.lanes if lane.resource.spec.type is LaneType.SELF_HOSTED]


def usd_per_request(price: TokenPrice, mix: Mix) -> float:
    """What one request of this mix costs at this price."""
    cached = mix.input_tokens * mix.cached_share
    return (
        (mix.input_tokens - cached) * float(price.input_usd_per_mtok)
        + cached * float(price.cached_input_usd_per_mtok)
        + mix.output_tokens * float(price.output_usd_per_mtok)
    ) / 1e6


def outlets(placement: Placement, mix: Mix, limits: Mapping[str, float]) -> tuple[Outlet, ...]:
    """The class's hosted lanes, cheapest first; ``limits``: requests a second that providers take of late, by lane."""
    found = [
        Outlet(
            lane.name,
            usd_per_request(lane.token_price, mix),
            min(_max_rate(lane, mix), limits.get(lane.name, math.inf)),
        )
        for lane in placement.hosted
        if lane.token_price is not None
    ]
    return tuple(sorted(found, key=lambda outlet: (outlet.usd_per_request, outlet.lane)))


def lane_findings(snapshot: PlanSnapshot) -> list[Finding]:
    """Warnings about lanes that are never used."""
    found = []
    for lane in snapshot.lanes:
        subject = f"CapacityLane/{lane.resource.metadata.key}"
        if lane.resource.spec.type in (LaneType.FLEX, LaneType.BATCH):
            message = f"lane {lane.name}: type {lane.resource.spec.type} is not used yet; remove it from spec.lanes"
            found.append(Finding(Severity.WARNING, Code.UNSUPPORTED.value, message, subject))
        elif lane.resource.spec.type is LaneType.HOSTED_REALTIME and lane.token_price is None:
            message = (
                f"lane {lane.name}: nobody prices model {_model(lane)}, so it is never used; set spec.hosted.price"
            )
            found.append(Finding(Severity.WARNING, Code.PRICE_UNKNOWN.value, message, subject))
    return found


def fallback_findings(snapshot: PlanSnapshot, places: Mapping[str, Placement]) -> list[Finding]:
    """Warnings about lanes whose min is 0 although a class has no hosted lane to bridge a restart from zero."""
    found = []
    for lane in self_hosted(snapshot):
        spec = lane.resource.spec.self_hosted
        without = [key for key, place in places.items() if lane.name in place.own and not place.hosted]
        if spec is not None and spec.replicas.min == 0 and without:
            message = (
                f"lane {lane.name}: replicas.min is 0, but {without[0]} has no usable hosted lane, so 1 replica stays;"
                " give the class a hosted lane and a route, or set min to 1"
            )
            subject = f"CapacityLane/{lane.resource.metadata.key}"
            found.append(Finding(Severity.WARNING, Code.NO_FALLBACK_LANE.value, message, subject))
    return found


def _model(lane: LaneSnapshot) -> str:
    return "?" if lane.resource.spec.hosted is None else lane.resource.spec.hosted.model


def _placement(snapshot: PlanSnapshot, item: ClassSnapshot) -> Placement:
    spec = snapshot.plan.spec
    binding = next((b for b in spec.routing.bindings if b.class_ == item.resource.metadata.name), None)
    bound = None if binding is None or spec.routing.plane is RoutingPlane.NONE else binding.backends
    models = set(item.resource.spec.equivalent_models)
    serving = [
        lane
        for lane in snapshot.lanes
        if models & set(lane.resource.spec.models) and (bound is None or lane.name in bound)
    ]
    route = None if bound is None else next((r for r in snapshot.routes if r.class_name == binding_name(item)), None)
    # A managed route that is still to be generated has weights of 0 already.
    movable = route is not None and route.problem is None and (route.exists or bool(route.weights))
    policy = _overflows(snapshot) and item.resource.spec.data_policy is DataPolicy.ANY
    # A gateway that caps spills by itself, whatever moves its weights.
    allowed = policy and (movable or snapshot.actuators.in_flight_cap)
    return Placement(
        own=tuple(lane.name for lane in serving if lane.resource.spec.type is LaneType.SELF_HOSTED),
        hosted=tuple(lane for lane in serving if allowed and _usable(snapshot, lane, item)),
        route=route if movable else None,
    )


def _overflows(snapshot: PlanSnapshot) -> bool:
    """Whether what own lanes can't take goes anywhere; what is to spill by itself, only where it is seen to be able."""
    mode, able = snapshot.plan.spec.overflow.mode, snapshot.actuators
    return mode is OverflowMode.SPLIT or (mode is OverflowMode.SPILL and (able.spill or able.in_flight_cap))


def binding_name(item: ClassSnapshot) -> str:
    """The name by which bindings and routes refer to the class."""
    return item.resource.metadata.name


def _usable(snapshot: PlanSnapshot, lane: LaneSnapshot, item: ClassSnapshot) -> bool:
    hosted = lane.resource.spec.hosted
    if lane.resource.spec.type is not LaneType.HOSTED_REALTIME or hosted is None or lane.token_price is None:
        return False
    if is_invalid(snapshot, lane):
        return False
    slo, latency = item.resource.spec.slo, hosted.latency
    if slo is None or latency is None:
        return True
    return (
        latency.time_to_first_token_ms <= slo.time_to_first_token_ms
        and latency.inter_token_latency_ms <= slo.inter_token_latency_ms
    )


def is_invalid(snapshot: PlanSnapshot, lane: LaneSnapshot) -> Finding | None:
    """The first error about the lane itself, if there is one."""
    subject = f"CapacityLane/{lane.resource.metadata.key}"
    return next((f for f in snapshot.findings if f.severity is Severity.ERROR and f.subject == subject), None)


def _max_rate(lane: LaneSnapshot, mix: Mix) -> float:
    hosted = lane.resource.spec.hosted
    if hosted is None or hosted.limits is None:
        return math.inf
    limits, rates = hosted.limits, [math.inf]
    if limits.requests_per_minute is not None:
        rates.append(limits.requests_per_minute / 60)
    if limits.tokens_per_minute is not None:
        rates.append(limits.tokens_per_minute / 60 / max(1.0, mix.input_tokens + mix.output_tokens))
    if limits.concurrency is not None:
        seconds = TYPICAL_HOSTED_SECONDS
        if hosted.latency is not None:
            latency = hosted.latency
            seconds = (
                latency.time_to_first_token_ms + latency.inter_token_latency_ms * max(0.0, mix.output_tokens - 1)
            ) / 1000
        rates.append(limits.concurrency / max(seconds, 1e-3))
    return min(rates)


def moves_traffic(snapshot: PlanSnapshot) -> bool:
    """Whether the operator itself writes weights in this plan."""
    return snapshot.plan.spec.mode is Mode.APPLY and not snapshot.plan.spec.paused and snapshot.stopped is None
