"""The conditions of plans, lanes and classes, as kstatus and GitOps tools read them. Pure.

``Ready`` is False only for errors in a spec and for conflicts; loss of metrics is ``Degraded``; a recommendation that
waits is ``RecommendationAvailable`` beside ``Ready``. Every condition is written at first sight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spillway.api import Condition, Mode, OverflowMode, RouteStatus
from spillway.api.status import ConditionStatus, RouteStage
from spillway.decide.ceilings import ALERT_SHARE, windows
from spillway.decide.decision import Decision, LaneDecision
from spillway.decide.snapshot import Finding, LaneSnapshot, PlanSnapshot
from spillway.report.figures import errors, sentences, shorten, timestamp

DEFAULT_STARTUP_SECONDS = 300.0
"""Taken for the start-up time of a lane that neither declares one nor has shown one."""
LATE_FACTOR = 2.0
"""A pod that is not Ready after this many start-up times counts as unavailable."""
LATE_FLOOR_SECONDS = 60.0
MANUAL_OVERRIDE = "ManualOverride"
"""Machine reason of the guard that respects a person's ``kubectl scale``."""

STUCK = (RouteStage.NOT_ACCEPTED, RouteStage.NOT_CONFIRMED)
NOT_SPILLING = frozenset({"QueueUnlimited", "SpillPolicyMissing"})
NOT_KNOWN_TO_SPILL = frozenset({"QueueLimitUnknown", "SpillUnproven"})
"""Machine reasons of findings that say why nothing spills although it should."""
NOT_YET = frozenset({"TokenMixUnknown", "ServiceUnknown", "NoClasses"})
"""Machine reasons of lanes that have not been measured yet: nothing was lost, so nothing is degraded."""


@dataclass(frozen=True, slots=True)
class State:
    """A condition before it is known when it last changed."""

    type: str
    holds: bool | None
    """None is Unknown."""
    reason: str
    message: str


def dated(states: Iterable[State], previous: Iterable[Condition], generation: int, now: float) -> tuple[Condition, ...]:
    """``states`` as conditions; ``lastTransitionTime`` moves only where the status changed."""
    before = {condition.type: condition for condition in previous}
    return tuple(_dated(state, before.get(state.type), generation, now) for state in states)


def _dated(state: State, before: Condition | None, generation: int, now: float) -> Condition:
    status = ConditionStatus.UNKNOWN
    if state.holds is not None:
        status = ConditionStatus.TRUE if state.holds else ConditionStatus.FALSE
    unchanged = before is not None and before.status is status
    return Condition(
        type=state.type,
        status=status,
        observed_generation=generation,
        last_transition_time=before.last_transition_time if before and unchanged else timestamp(now),
        reason=state.reason,
        message=shorten(state.message),
    )


def told(conditions: Iterable[Condition], kind: str) -> tuple[State, ...]:
    """What conditions of one type said."""
    holds = {ConditionStatus.TRUE: True, ConditionStatus.FALSE: False}
    return tuple(
        State(each.type, holds.get(each.status), each.reason, each.message) for each in conditions if each.type == kind
    )


def object_states(findings: tuple[Finding, ...], plan: str | None, unused: str) -> tuple[State, State]:
    """``Ready`` and ``Stalled`` of a lane or class: by ``Ready`` alone kstatus would wait for a person's next edit."""
    found = errors(findings)
    if found:
        return State("Ready", False, found[0].reason, sentences(found)), _stalled(found)
    if plan is None:
        return State("Ready", True, "Unused", unused), _stalled(found)
    return State("Ready", True, "Accepted", f"plan {plan} decides on it"), _stalled(found)


def plan_states(decision: Decision, snapshot: PlanSnapshot, routes: Sequence[RouteStatus] = ()) -> tuple[State, ...]:
    """All conditions of a plan, in the order in which they are shown. ``routes``: how far its weights have come."""
    found = errors(decision.findings)
    unavailable = _capacity_unavailable(snapshot)
    return (
        _ready(found, snapshot),
        _metrics_available(snapshot),
        _recommendation_available(decision, snapshot),
        _overflow_active(decision),
        _spill_armed(decision, snapshot),
        _budget_at_risk(snapshot),
        _manual_override(decision),
        unavailable,
        _degraded(decision, snapshot, unavailable, routes),
        _stalled(found),
    )


def _ready(found: tuple[Finding, ...], snapshot: PlanSnapshot) -> State:
    if found:
        return State("Ready", False, found[0].reason, sentences(found))
    if snapshot.stopped:
        return State("Ready", True, "EmergencyStop", snapshot.stopped)
    if snapshot.plan.spec.paused:
        return State("Ready", True, "Paused", "spec.paused is true: nothing is changed until it is false")
    return State("Ready", True, "Accepted", "spec and references are valid, and nothing else scales the targets")


def _stalled(found: tuple[Finding, ...]) -> State:
    if found:
        return State("Stalled", True, found[0].reason, sentences(found))
    return State("Stalled", False, "Progressing", "nothing in the spec stands in the way")


def _metrics_available(snapshot: PlanSnapshot) -> State:
    metrics = snapshot.metrics
    return State("MetricsAvailable", metrics.usable, metrics.reason.value, metrics.message)


def _recommendation_available(decision: Decision, snapshot: PlanSnapshot) -> State:
    name = "RecommendationAvailable"
    if snapshot.plan.spec.mode is Mode.OBSERVE:
        return State(name, False, "ObserveOnly", "spec.mode is Observe: nothing is recommended")
    changes = [_change(lane) for lane in decision.lanes if _pending(lane)]
    changes += [f"route {route.route}: {_weights(route.weights)}" for route in decision.routes if route.changed]
    if changes:
        return State(name, True, decision.reason.code, "; ".join(changes))
    if all(lane.recommended is None for lane in decision.lanes) and not decision.routes:
        reason = decision.held or decision.reason
        return State(name, False, reason.code, reason.message)
    return State(name, False, "NothingToChange", "replicas and weights are what is recommended")


def _pending(lane: LaneDecision) -> bool:
    return lane.recommended is not None and lane.recommended != lane.current


def _change(lane: LaneDecision) -> str:
    current = "?" if lane.current is None else lane.current
    return f"lane {lane.name}: {current} -> {lane.recommended} replicas"


def _weights(weights: object) -> str:
    pairs = sorted(dict(weights).items()) if isinstance(weights, dict) else []
    return ", ".join(f"{lane} {weight}%" for lane, weight in pairs)


def _overflow_active(decision: Decision) -> State:
    shares = [f"{lane.name} {lane.spill_share:.0%}" for lane in decision.lanes if lane.spill_share]
    if decision.overflow_active:
        served = f" ({', '.join(shares)} of the requests now)" if shares else ""
        return State("OverflowActive", True, "HostedLanesServe", f"hosted lanes get or should get a share{served}")
    return State("OverflowActive", False, "OwnCapacitySuffices", "no traffic goes to hosted lanes")


def _spill_armed(decision: Decision, snapshot: PlanSnapshot) -> State:
    """Whether what own lanes can't take really goes on to hosted ones by itself."""
    name, mode = "SpillArmed", snapshot.plan.spec.overflow.mode
    if mode is not OverflowMode.SPILL:
        return State(name, True, "NotAsked", f"overflow.mode is {mode.value}: gateways spill nothing by themselves")
    unarmed = [f for f in decision.findings if f.reason in NOT_SPILLING]
    unarmed += [f for f in decision.findings if f.reason == "RouteProblem" and f not in unarmed]
    if unarmed:
        return State(name, False, unarmed[0].reason, sentences(tuple(unarmed)))
    if unknown := [f for f in decision.findings if f.reason in NOT_KNOWN_TO_SPILL]:
        return State(name, None, unknown[0].reason, sentences(tuple(unknown)))
    return State(name, True, "Armed", "engines refuse what they can't take, and it goes on to hosted lanes")


def _budget_at_risk(snapshot: PlanSnapshot) -> State:
    """Before a ceiling is reached, people should know."""
    name, ceilings = "BudgetAtRisk", windows(snapshot)
    if not ceilings:
        return State(name, False, "NoCeiling", "spec.overflow.ceilingUsd sets no ceiling")
    unknown = [window.period for window in ceilings if window.spent_usd is None and window.period != "hour"]
    if unknown:
        text = (
            f"hosted tokens are not counted, so with a ceiling per {' and '.join(unknown)} nothing goes to hosted lanes"
        )
        return State(name, True, "SpendingUnknown", text)
    if snapshot.spent is None:
        return State(name, False, "RateOnly", "hosted tokens are not counted; the rate is held to the ceiling per hour")
    shown = "; ".join(f"${window.spent_usd:.2f} of ${window.ceiling_usd:g} this {window.period}" for window in ceilings)
    worst = max((window.share or 0.0) for window in ceilings)
    if worst >= 1.0:
        return State(name, True, "CeilingReached", f"{shown}: nothing more goes to hosted lanes")
    if worst >= ALERT_SHARE:
        return State(name, True, "CeilingNear", shown)
    return State(name, False, "WithinCeilings", shown)


def _manual_override(decision: Decision) -> State:
    guards = [
        (lane.name, guard)
        for lane in decision.lanes
        for guard in (lane.reason, *lane.guards)
        if guard.code == MANUAL_OVERRIDE
    ]
    if guards:
        text = "; ".join(dict.fromkeys(f"lane {name}: {guard.message}" for name, guard in guards))
        return State(MANUAL_OVERRIDE, True, "ReplicasSetByHand", text)
    return State(MANUAL_OVERRIDE, False, "NoOverride", "no person's value is being respected")


def _capacity_unavailable(snapshot: PlanSnapshot) -> State:
    late = [text for lane in snapshot.lanes if (text := late_capacity(lane, snapshot.at))]
    if late:
        return State("CapacityUnavailable", True, "PodsNotReady", "; ".join(late))
    return State(
        "CapacityUnavailable", False, "CapacityAsAsked", "every pod is Ready or still within its start-up time"
    )


def late_capacity(lane: LaneSnapshot, now: float) -> str | None:
    """One sentence on the pods of ``lane`` that should long be Ready, or None."""
    target, spec = lane.target, lane.resource.spec.self_hosted
    if target is None or spec is None:
        return None
    startup = spec.startup_seconds or lane.startup_seconds_observed or DEFAULT_STARTUP_SECONDS
    limit = max(LATE_FACTOR * startup, LATE_FLOOR_SECONDS)
    kept = [pod for pod in target.pods if not pod.deleting]
    late = sum(not pod.ready and now - pod.created_at > limit for pod in kept)
    settled = target.replicas_written_at is not None and now - target.replicas_written_at > limit
    missing = max(0, target.replicas - len(kept)) if settled else 0
    if late + missing == 0:
        return None
    parts = [f"{late} not Ready"] if late else []
    parts += [f"{missing} never created"] if missing else []
    return (
        f"lane {lane.name}: {' and '.join(parts)} after {limit:.0f} s of {target.replicas} pods asked for; "
        f"look at the pods and events of {target.kind} {target.namespace}/{target.name}"
    )


def _degraded(decision: Decision, snapshot: PlanSnapshot, unavailable: State, routes: Sequence[RouteStatus]) -> State:
    if not snapshot.metrics.usable:
        held = decision.held.message if decision.held else "everything is held"
        return State("Degraded", True, snapshot.metrics.reason.value, f"{snapshot.metrics.message}; {held}")
    if blind := [lane for lane in decision.lanes if lane.bounds_only and lane.reason.code not in NOT_YET]:
        text = "; ".join(f"lane {lane.name}: {lane.reason.message}" for lane in blind)
        return State("Degraded", True, "LaneNotMeasured", text)
    if unavailable.holds:
        return State("Degraded", True, unavailable.reason, unavailable.message)
    if stuck := [route for route in routes if route.stage in STUCK]:
        text = "; ".join(f"class {route.class_}: {route.message}" for route in stuck)
        return State("Degraded", True, f"Route{stuck[0].stage.value}", text)
    return State("Degraded", False, "FullyWorking", "metrics are fresh and capacity is as asked")
