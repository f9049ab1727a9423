"""Dollars an hour and the five utilization figures; missing is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spillway.api import LaneType
from spillway.decide.decision import Costs, LaneDecision, Utilization
from spillway.decide.demand import fresh
from spillway.decide.snapshot import LaneSnapshot, PlanSnapshot, TokenPrice


def replicas_billed(lane: LaneSnapshot) -> int | None:
    """Replicas that are paid for: those asked for, and pods that are still going away."""
    return None if lane.target is None else max(lane.target.replicas, len(lane.target.pods))


def own_usd_per_hour(lane: LaneSnapshot, replicas: int) -> float:
    """What the bill runs at with so many replicas.

    Reserved and owned GPUs are paid up to replicas.max; releasing one saves its release value only.
    """
    spec = lane.resource.spec.self_hosted
    if spec is None:
        return 0.0
    price = float(spec.price.usd_per_gpu_hour) * spec.gpu.per_replica
    avoidable = float(spec.price.avoidable_usd_per_gpu_hour) * spec.gpu.per_replica
    return price * replicas + (price - avoidable) * max(0, spec.replicas.max - replicas)


def static_usd_per_hour(lane: LaneSnapshot) -> float:
    """What replicas.max would cost as a static fleet."""
    spec = lane.resource.spec.self_hosted
    if spec is None:
        return 0.0
    return float(spec.price.usd_per_gpu_hour) * spec.gpu.per_replica * spec.replicas.max


def hosted_usd_per_hour(lane: LaneSnapshot, snapshot: PlanSnapshot) -> float | None:
    """What a hosted lane's measured tokens cost; 0 where no weight sends anything there and nothing is measured."""
    state, price = lane.hosted, lane.token_price
    tokens_in = None if state is None else fresh(state.input_tokens_per_second, snapshot)
    tokens_out = None if state is None else fresh(state.output_tokens_per_second, snapshot)
    if tokens_in is None and tokens_out is None and _unused(lane, snapshot):
        return 0.0
    if price is None or tokens_in is None or tokens_out is None:
        return None
    return 3600 * _token_usd(price, tokens_in, tokens_out, _cached_share(lane, snapshot))


def _unused(lane: LaneSnapshot, snapshot: PlanSnapshot) -> bool:
    rate = None if lane.hosted is None else fresh(lane.hosted.requests_per_second, snapshot)
    if rate is not None:
        return rate == 0
    return bool(snapshot.routes) and all(route.weights.get(lane.name, 0) == 0 for route in snapshot.routes)


def _token_usd(price: TokenPrice, tokens_in: float, tokens_out: float, cached_share: float) -> float:
    cached = tokens_in * cached_share
    return (
        (tokens_in - cached) * float(price.input_usd_per_mtok)
        + cached * float(price.cached_input_usd_per_mtok)
        + tokens_out * float(price.output_usd_per_mtok)
    ) / 1e6


def _cached_share(lane: LaneSnapshot, snapshot: PlanSnapshot) -> float:
    """Cached share of the classes that use the lane, weighted by their input tokens there."""
    total = cached = 0.0
    for item in snapshot.classes:
        demand = item.demand
        if (
            demand is None
            or demand.input_tokens_per_request is None
            or lane.name not in demand.requests_per_second_by_lane
        ):
            continue
        tokens = demand.requests_per_second_by_lane[lane.name].value * demand.input_tokens_per_request.value
        total += tokens
        cached += tokens * (0.0 if demand.cached_input_share is None else demand.cached_input_share.value)
    return cached / total if total > 0 else 0.0


def tokens_per_second(lane: LaneSnapshot, snapshot: PlanSnapshot) -> float | None:
    """Input and output tokens a second that the lane serves now."""
    source = lane.engine if lane.resource.spec.type is LaneType.SELF_HOSTED else lane.hosted
    if source is None:
        return None
    tokens_in = fresh(source.input_tokens_per_second, snapshot)
    tokens_out = fresh(source.output_tokens_per_second, snapshot)
    return None if tokens_in is None or tokens_out is None else tokens_in + tokens_out


def usd_per_mtok(usd: float | None, tokens: float | None) -> float | None:
    """Dollars per million tokens at this rate of both."""
    if usd is None or tokens is None or tokens <= 0:
        return None
    return usd / (tokens * 3600 / 1e6)


def utilization(lane: LaneSnapshot, snapshot: PlanSnapshot, load: float | None) -> Utilization:
    """The five figures of an own lane."""
    gpu, engine = lane.gpu, lane.engine
    allocated = None
    if gpu is not None and gpu.requested is not None and gpu.allocatable:
        allocated = gpu.requested / gpu.allocatable
    saturation = None
    if engine is not None:
        kv, waiting, running = (
            fresh(reading, snapshot) for reading in (engine.kv_usage, engine.waiting, engine.running)
        )
        queue = None if waiting is None or running is None else waiting / max(running, 1.0)
        known = [value for value in (kv, queue) if value is not None]
        saturation = min(1.0, max(known)) if known else None
    return Utilization(
        allocated=allocated,
        busy=None if gpu is None else fresh(gpu.busy, snapshot),
        effective=None if gpu is None else fresh(gpu.effective, snapshot),
        load=load,
        saturation=saturation,
    )


def plan_costs(snapshot: PlanSnapshot, decisions: Sequence[LaneDecision], expected_hosted: float | None) -> Costs:
    """Dollars of the whole plan; ``expected_hosted`` are the hosted dollars expected with the recommendation."""
    own = [lane for lane in snapshot.lanes if lane.resource.spec.type is LaneType.SELF_HOSTED]
    by_name: Mapping[str, LaneDecision] = {decision.name: decision for decision in decisions}
    hosted = _sum(
        hosted_usd_per_hour(lane, snapshot)
        for lane in snapshot.lanes
        if lane.resource.spec.type is LaneType.HOSTED_REALTIME
    )
    now = {lane.name: replicas_billed(lane) for lane in own}
    gpus = _sum(None if now[lane.name] is None else own_usd_per_hour(lane, now[lane.name] or 0) for lane in own)
    used = _sum(_used_usd(lane, now[lane.name], by_name.get(lane.name)) for lane in own)
    static = sum(static_usd_per_hour(lane) for lane in own)
    recommended = {name: decision.recommended for name, decision in by_name.items()}
    expected_own = _sum(
        None if recommended.get(lane.name) is None else own_usd_per_hour(lane, recommended[lane.name] or 0)
        for lane in own
    )
    billed = _sum((gpus, hosted))
    return Costs(
        billed=billed,
        allocated=_sum((used, hosted)),
        static=static,
        saving=None if billed is None else static - billed,
        expected=_sum((expected_own, expected_hosted)),
        hosted=hosted,
    )


def _used_usd(lane: LaneSnapshot, replicas: int | None, decision: LaneDecision | None) -> float | None:
    """The part of the lane's GPU dollars that is in use, by load."""
    spec = lane.resource.spec.self_hosted
    if replicas == 0:
        return 0.0
    if spec is None or replicas is None or decision is None or decision.utilization.load is None:
        return None
    price = float(spec.price.usd_per_gpu_hour) * spec.gpu.per_replica
    return price * replicas * min(1.0, decision.utilization.load)


def _sum(values: object) -> float | None:
    total = 0.0
    for value in values:  # type: ignore[attr-defined]
        if value is None:
            return None
        total += value
    return total
