"""Sentences with their figures, and the one reason of the whole decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spillway.api import Mode
from spillway.decide.decision import LaneDecision, Reason
from spillway.decide.demand import ClassDemand
from spillway.decide.memory import ProviderLimit
from spillway.decide.plan import Planned
from spillway.decide.reasons import Code, because, count, figure, usd
from spillway.decide.scaling import Scaled
from spillway.decide.snapshot import LaneSnapshot, PlanSnapshot
from spillway.decide.traffic import ClassTraffic

BINDING = (Code.MIN_REPLICAS.value, Code.MAX_REPLICAS.value, Code.POOL_EXHAUSTED.value)
"""What the cheapest number was found within."""


def held(snapshot: PlanSnapshot) -> Reason | None:
    """Why nothing may be written, if nothing may."""
    spec = snapshot.plan.spec
    if snapshot.stopped is not None:
        return because(Code.STOPPED, snapshot.stopped)
    if spec.paused:
        return because(Code.PAUSED, "spec.paused is true: nothing is changed.")
    if spec.mode is Mode.OBSERVE:
        return because(Code.OBSERVE_ONLY, "mode is Observe: metrics and costs only.")
    return blind(snapshot)


def blind(snapshot: PlanSnapshot) -> Reason | None:
    """Why metrics can't be decided on, if they can't."""
    if snapshot.metrics.usable:
        return None
    message = f"Replicas and weights are held, min and max still hold: {snapshot.metrics.message}"
    return because(Code.HOLD_BLIND, message)


def lane_reason(scaled: Scaled, tick: float, planned: Planned | None) -> Reason:
    """Why the lane is to have this many replicas."""
    if scaled.blocked is not None:
        return scaled.blocked
    view, current, wanted = scaled.view, scaled.view.current, scaled.recommended
    if current is None or wanted is None:
        return scaled.bites[0]
    if scaled.desired is None:
        return scaled.bites[-1]
    sentence = " ".join([_demand_sentence(scaled, tick, planned), _price_sentence(scaled)]).strip()
    if scaled.bites and (wanted != scaled.desired or scaled.bites[-1].code in BINDING):
        sentence = f"{sentence} {scaled.bites[-1].message}".strip()
    return because(_lane_code(scaled, current, wanted), sentence or f"Lane {view.name} stays at {count(wanted)}.")


def _lane_code(scaled: Scaled, current: int, wanted: int) -> Code:
    if wanted > current:
        return Code.FROM_ZERO if current == 0 else Code.SCALE_UP
    if wanted < current:
        return Code.TO_ZERO if wanted == 0 else Code.SCALE_DOWN
    if scaled.planned == 0 and current > 0:
        return Code.DRAINING
    if wanted == 0:
        return Code.API_ONLY
    if scaled.view.warm < min(current, scaled.desired or 0):
        return Code.WARMING_UP
    return Code.STEADY


def _demand_sentence(scaled: Scaled, tick: float, planned: Planned | None) -> str:
    lead = scaled.view.startup_seconds + tick
    known = [q for key in scaled.view.classes if (q := {} if planned is None else planned.quantiles.get(key, {}))]
    middle, upper = sum(q["0.5"] for q in known), sum(q["0.9"] for q in known)
    return f"Demand is forecast at {figure(middle)} req/s (90%: {figure(upper)}) in {lead:.0f} s." if known else ""


def _price_sentence(scaled: Scaled) -> str:
    sizing, served = scaled.sizing, replica_rate(scaled, None)
    if sizing is None:
        return "Only deferrable classes use the lane, which justify no GPU of their own."
    service, text = scaled.view.service, ""
    if service is not None and served and sizing.replicas > 0:
        total = service.usable_work(sizing.replicas) * served
        text = f"{count(sizing.replicas)} serve{'s' if sizing.replicas == 1 else ''} {figure(total)}"
    saves = max(0.0, sizing.next_saves_usd_per_hour)
    more = "a replica" if sizing.replicas == 0 else "one more"
    price = f"{more} would cost {usd(sizing.usd_per_replica_hour)}/h and save {usd(saves)}/h of hosted tokens."
    return f"{text}; {price}" if text else price[0].upper() + price[1:]


def replica_rate(scaled: Scaled, demands: Mapping[str, ClassDemand] | None) -> float | None:
    """Requests a second that one full replica serves within the SLO at the present mix."""
    service = scaled.view.service
    if service is None:
        return None
    if demands is None:
        seconds = [s for s in service.request_seconds.values() if s > 0]
        return len(seconds) / sum(seconds) if seconds else None
    rates = {k: d.now.value for k in service.request_seconds if (d := demands[k]).now is not None}
    work = sum(rate * service.request_seconds[key] for key, rate in rates.items())
    return sum(rates.values()) / work if work > 0 else replica_rate(scaled, None)


def hosted_reason(lane: LaneSnapshot, share: float | None, limit: ProviderLimit | None = None) -> Reason:
    """What a hosted lane gets, and why it gets no more."""
    if limit is not None:
        message = (
            f"The provider of lane {lane.name} refused {figure(100 * limit.refused_share)}% of its requests; it gets at"
            f" most {figure(limit.requests_per_second)} a second, more by and by."
        )
        return because(Code.PROVIDER_REFUSES, message)
    if share is None:
        return because(Code.HOSTED_LANE, f"How much lane {lane.name} serves is not known.")
    return because(Code.HOSTED_LANE, f"Lane {lane.name} serves {figure(100 * share)}% of the plan's requests.")


def plan_reason(
    snapshot: PlanSnapshot,
    stop: Reason | None,
    lanes: Sequence[LaneDecision],
    traffic: Mapping[str, ClassTraffic],
) -> Reason:
    """The one reason of the whole decision: what holds it, else what changes most, else how it stands."""
    if stop is not None:
        return stop
    if not snapshot.classes:
        return because(Code.NO_CLASSES, "No WorkloadClass refers to this plan; replicas and weights are held.")
    own = [lane for lane in lanes if lane.current is not None or lane.reason.code != Code.HOSTED_LANE.value]
    order = (
        Code.SCALE_UP,
        Code.FROM_ZERO,
        Code.TO_ZERO,
        Code.SCALE_DOWN,
        Code.DRAINING,
        Code.MANUAL_OVERRIDE,
        Code.AUTOSCALER_CONFLICT,
        Code.CONTROLLER_OWNED,
        Code.TARGET_MISSING,
        Code.LANE_INVALID,
    )
    ceiling = next((t.reason for t in traffic.values() if t.reason.code == Code.CEILING_REACHED.value), None)
    for code in order[:2]:
        found = next((lane.reason for lane in own if lane.reason.code == code.value), None)
        if found is not None:
            return found
    if ceiling is not None:
        return ceiling
    for code in order[2:]:
        found = next((lane.reason for lane in own if lane.reason.code == code.value), None)
        if found is not None:
            return found
    moving = next((t.reason for t in traffic.values() if t.route is not None and t.route.changed), None)
    if moving is not None:
        return moving
    return next((lane.reason for lane in own), because(Code.STEADY, "Nothing to change."))
