"""Status of plans, lanes and classes: bounded, decimal strings, rewritten only when it says something new. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from spillway.api import (
    CapacityLane,
    CapacityPlanStatus,
    ClassStatus,
    Condition,
    DecisionStatus,
    LaneStatus,
    RouteStatus,
    SimpleStatus,
    TotalsStatus,
    UtilizationStatus,
    WorkloadClass,
)
from spillway.api.status import LaneMoveStatus, MoveState
from spillway.decide.decision import ClassDecision, Decision, LaneDecision, Utilization
from spillway.decide.snapshot import Finding, PlanSnapshot
from spillway.report.budgets import AT_RISK, Positions, budget_status, class_state, with_budgets
from spillway.report.conditions import State, dated, object_states, plan_states, told
from spillway.report.figures import percent, rate, ratio, shorten, timestamp, usd, usd_small
from spillway.report.lane_changes import APPROVAL_REQUIRED, UNKNOWN, PlanChanges, approval_state
from spillway.report.why import weights_status, why_status

NO_MOVES: Mapping[str, LaneMoveStatus] = MappingProxyType({})
NO_BUDGETS: Positions = MappingProxyType({})
MAX_LANES = 32
MAX_CLASSES = 16
MIN_WRITE_SECONDS = 60.0
"""Figures alone are written at most this often."""
RENEWAL_SECONDS = 300.0
"""A status is written at least this often, so that a reader can tell a live operator from a dead one."""
DEAD_BAND = 0.05
"""A figure that moved by no more than this share of itself is taken as unchanged."""
DEAD_BAND_FLOOR = 0.05
"""... nor one that moved by no more than this, in its own unit (5 cents, 0.05 of a ratio or percent)."""


def plan_status(
    decision: Decision,
    snapshot: PlanSnapshot,
    previous: CapacityPlanStatus | None,
    now: float,
    routes: tuple[RouteStatus, ...] = (),
    moves: Mapping[str, LaneMoveStatus] = NO_MOVES,
    budgets: Positions = NO_BUDGETS,
    changes: PlanChanges = UNKNOWN,
) -> CapacityPlanStatus:
    """What the plan's status should say; ``previous`` only lends its transition times. ``moves``: by lane name."""
    generation = snapshot.plan.metadata.generation
    before = previous.conditions if previous else ()
    states = plan_states(decision, snapshot, routes)
    states = tuple(with_budgets(state, budgets) if state.type == AT_RISK else state for state in states)
    states = (*states[:3], approval_state(snapshot.plan, changes), *states[3:])
    return CapacityPlanStatus(
        observed_generation=generation,
        conditions=dated(states, before, generation, now),
        lanes=tuple(
            _lane(lane, _gpus_per_replica(snapshot, lane.name), moves.get(lane.name))
            for lane in _largest_lanes(decision.lanes)
        ),
        classes=tuple(_class(each, budgets) for each in _largest_classes(decision.classes)),
        routes=routes,
        weights=weights_status(decision.routes),
        totals=_totals(decision, snapshot),
        decision=_decision(decision),
    )


def lane_status(lane: CapacityLane, findings: tuple[Finding, ...], plan: str | None, now: float) -> SimpleStatus:
    """Status of a lane: whether it can be used, and which plan decides on it (``namespace/name``)."""
    return _simple(lane, findings, plan, "no CapacityPlan of this namespace names the lane in spec.lanes", now)


def class_status(
    each: WorkloadClass,
    findings: tuple[Finding, ...],
    plan: str | None,
    now: float,
    budgets: Positions = NO_BUDGETS,
) -> SimpleStatus:
    """Status of a class: whether it is served, by which plan (``namespace/name``), and how its budget stands."""
    more: tuple[State, ...] = ()
    if (key := each.metadata.key) in budgets:
        more = (class_state(key, budgets[key]),)
    elif each.spec.budget is not None and plan is not None:
        # Not decided on this time: what was known stands.
        more = told(each.status.conditions if each.status else (), AT_RISK)
    return _simple(each, findings, plan, f"plan {each.plan_key} does not serve the class", now, more)


def _simple(
    resource: CapacityLane | WorkloadClass,
    findings: tuple[Finding, ...],
    plan: str | None,
    unused: str,
    now: float,
    more: tuple[State, ...] = (),
) -> SimpleStatus:
    generation = resource.metadata.generation
    before = resource.status.conditions if resource.status else ()
    return SimpleStatus(
        observed_generation=generation,
        conditions=dated((*object_states(findings, plan, unused), *more), before, generation, now),
        plan=plan,
    )


def _largest_lanes(lanes: tuple[LaneDecision, ...]) -> tuple[LaneDecision, ...]:
    largest = sorted(lanes, key=lambda lane: (-(lane.usd_per_hour or 0.0), lane.name))[:MAX_LANES]
    kept = {lane.name for lane in largest}
    return tuple(lane for lane in lanes if lane.name in kept)


def _largest_classes(classes: tuple[ClassDecision, ...]) -> tuple[ClassDecision, ...]:
    largest = sorted(classes, key=lambda each: (-(each.tokens_per_second or 0.0), each.key))[:MAX_CLASSES]
    kept = {each.key for each in largest}
    return tuple(each for each in classes if each.key in kept)


def _gpus_per_replica(snapshot: PlanSnapshot, name: str) -> int | None:
    lane = snapshot.lane(name)
    own = lane.resource.spec.self_hosted if lane else None
    return own.gpu.per_replica if own else None


def _product(replicas: int | None, gpus: int | None) -> int | None:
    return None if replicas is None or gpus is None else replicas * gpus


def _lane(lane: LaneDecision, gpus: int | None, move: LaneMoveStatus | None) -> LaneStatus:
    return LaneStatus(
        name=lane.name,
        current=lane.current,
        ready=lane.ready,
        recommended=lane.recommended,
        gpus=_product(lane.current, gpus),
        recommended_gpus=_product(lane.recommended, gpus),
        spill_percent=percent(lane.spill_share),
        utilization=_utilization(lane.utilization),
        usd_per_hour=usd(lane.usd_per_hour),
        usdPerMTok=usd_small(lane.usd_per_mtok),
        reason=lane.reason.code,
        message=shorten(_explained(lane), 512),
        move=move,
        why=why_status(lane.chain),
    )


def _explained(lane: LaneDecision) -> str:
    """The lane's sentence with those of the guards that bit."""
    said = dict.fromkeys([lane.reason.message, *(guard.message for guard in lane.guards)])
    return "; ".join(said)


def _utilization(figures: Utilization) -> UtilizationStatus | None:
    values = {
        "allocated": ratio(figures.allocated),
        "busy": ratio(figures.busy),
        "effective": ratio(figures.effective),
        "load": ratio(figures.load),
        "saturation": ratio(figures.saturation),
    }
    return UtilizationStatus(**values) if any(values.values()) else None


def _class(each: ClassDecision, budgets: Positions) -> ClassStatus:
    namespace, _, name = each.key.partition("/")
    tokens, budget = each.tokens_per_second, budgets.get(each.key)
    return ClassStatus(
        name=name,
        namespace=namespace,
        attainment_percent=percent(each.attainment),
        requests_per_second=rate(each.requests_per_second),
        tokens_per_second=None if tokens is None else round(tokens),
        usd_per_hour=usd(each.usd_per_hour),
        spill_percent=percent(each.hosted_share),
        budget=None if budget is None else budget_status(budget),
        why=why_status(each.chain),
    )


def _totals(decision: Decision, snapshot: PlanSnapshot) -> TotalsStatus:
    costs = decision.costs
    current = [_product(lane.current, _gpus_per_replica(snapshot, lane.name)) for lane in decision.lanes]
    recommended = [_product(lane.recommended, _gpus_per_replica(snapshot, lane.name)) for lane in decision.lanes]
    shares = [lane.spill_share for lane in decision.lanes if lane.spill_share is not None]
    return TotalsStatus(
        billed_usd_per_hour=usd(costs.billed),
        allocated_usd_per_hour=usd(costs.allocated),
        static_usd_per_hour=usd(costs.static),
        saving_usd_per_hour=usd(costs.saving),
        expected_usd_per_hour=usd(costs.expected),
        gpus=_sum(current),
        recommended_gpus=_sum(recommended),
        spill_percent=percent(min(1.0, sum(shares))) if shares else None,
    )


def _sum(values: Iterable[int | None]) -> int | None:
    """Sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _decision(decision: Decision) -> DecisionStatus:
    shown = decision.held or decision.reason
    return DecisionStatus(
        at=timestamp(decision.at),
        reason=shown.code,
        message=shorten(shown.message),
        plan_hash=decision.plan_hash,
        # A standing decision is renewed every tick, but its status only every RENEWAL_SECONDS.
        valid_until=timestamp(decision.valid_until + RENEWAL_SECONDS),
    )


def status_changed(
    previous: CapacityPlanStatus | None, new: CapacityPlanStatus, now: float, last_written: float | None
) -> bool:
    """Whether ``new`` is worth a write: a transition at once, figures at most once a minute and beyond a dead band."""
    if previous is None or _transitions(previous) != _transitions(new):
        return True
    if last_written is None:
        return True
    waited = now - last_written
    if waited >= RENEWAL_SECONDS:
        return True
    return waited >= MIN_WRITE_SECONDS and _moved(previous, new)


def simple_status_changed(previous: SimpleStatus | None, new: SimpleStatus, waited: float = 0.0) -> bool:
    """Whether a lane's or class's status says something else than before.

    Dollars in a budget's sentence move all the time: alone they are told ``RENEWAL_SECONDS`` after the last write at
    the earliest. ``waited``: seconds since then.
    """
    if previous is None or (previous.plan, previous.observed_generation) != (new.plan, new.observed_generation):
        return True
    before, after = (_conditions(each.conditions, messages=True) for each in (previous, new))
    if waited < RENEWAL_SECONDS and AT_RISK in before and AT_RISK in after:
        before[AT_RISK], after[AT_RISK] = before[AT_RISK][:2], after[AT_RISK][:2]
    return before != after


def _conditions(conditions: Iterable[Condition], *, messages: bool = False) -> dict[str, tuple[str, ...]]:
    return {each.type: (each.status.value, each.reason, *((each.message,) if messages else ())) for each in conditions}


def _transitions(status: CapacityPlanStatus) -> tuple[object, ...]:
    """What is written at once when it changes."""
    decision = status.decision
    return (
        status.observed_generation,
        _conditions(status.conditions),
        [each.message for each in status.conditions if each.type == APPROVAL_REQUIRED and each.status.value == "True"],
        [(lane.name, lane.current, lane.ready, lane.recommended, lane.reason, _stand(lane)) for lane in status.lanes],
        sorted((each.namespace, each.name) for each in status.classes),
        sorted((each.class_, each.stage, each.reason) for each in status.routes),
        status.weights,
        (decision.plan_hash, decision.reason) if decision else None,
    )


def _stand(lane: LaneStatus) -> tuple[str, str] | None:
    """Where the lane stands; why is news only where it is held."""
    if lane.move is None:
        return None
    return lane.move.state.value, lane.move.reason if lane.move.state is MoveState.HELD else ""


def _moved(previous: CapacityPlanStatus, new: CapacityPlanStatus) -> bool:
    before, after = _figures(previous), _figures(new)
    return before.keys() != after.keys() or any(_beyond(before[key], after[key]) for key in before)


def _beyond(before: float, after: float) -> bool:
    return abs(after - before) > max(DEAD_BAND_FLOOR, DEAD_BAND * abs(before))


def _figures(status: CapacityPlanStatus) -> dict[str, float]:
    """Every figure of a status by its path."""
    wire = status.model_dump(mode="json", exclude_none=True, include={"lanes", "classes", "totals"})
    found: dict[str, float] = {}
    for lane in wire.get("lanes", ()):
        _collect(lane, f"lane/{lane['name']}", found)
    for each in wire.get("classes", ()):
        _collect(each, f"class/{each['namespace']}/{each['name']}", found)
    _collect(wire.get("totals", {}), "totals", found)
    return found


def _collect(node: dict[str, object], path: str, found: dict[str, float]) -> None:
    for key, value in node.items():
        if key == "move":
            continue
        if key == "why" and isinstance(value, list):
            # The texts move all the time: a step that comes or goes and its figure are what is told.
            for number, each in enumerate(value):
                found[f"{path}/why/{number}/{each['step']}"] = float(each.get("value") or 0.0)
            continue
        if isinstance(value, dict):
            _collect(value, f"{path}/{key}", found)
        elif isinstance(value, int | str) and key not in ("name", "namespace", "reason", "message"):
            found[f"{path}/{key}"] = float(value)
