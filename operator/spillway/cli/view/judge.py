"""What of a plan is not as it should be: one sentence each, with the way out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spillway.api import ChangeState, Condition, LaneChange, Mode, SimpleStatus
from spillway.api.names import APPROVED_ANNOTATION, REJECTED_ANNOTATION, STOP_ANNOTATION
from spillway.api.status import ConditionStatus
from spillway.cli.view.reporting import reported_at, silent_seconds
from spillway.cli.view.text import duration, moment
from spillway.cli.view.world import PlanSeen

CLOCK_SECONDS = 120.0
"""A report from so far ahead tells of clocks that differ."""
YOUNG_SECONDS = 60.0
"""A plan that was made so lately needs no status yet."""
DOCTOR = "`spillway doctor` finds what is missing"

GOOD: dict[str, ConditionStatus] = {
    "Ready": ConditionStatus.TRUE,
    "MetricsAvailable": ConditionStatus.TRUE,
    "Degraded": ConditionStatus.FALSE,
    "Stalled": ConditionStatus.FALSE,
    "SpillArmed": ConditionStatus.TRUE,
    "BudgetAtRisk": ConditionStatus.FALSE,
    "ManualOverride": ConditionStatus.FALSE,
    "CapacityUnavailable": ConditionStatus.FALSE,
}
"""Conditions in the order in which they are told. The others say how it stands, not that something is wrong."""
WAYS_OUT: dict[str, str] = {
    "Ready": "correct what it names; then the operator goes on by itself",
    "MetricsAvailable": f"replicas and weights are held until then; {DOCTOR}",
    "Degraded": DOCTOR,
    "Stalled": "correct what it names; then the operator goes on by itself",
    "SpillArmed": "until then overflow queues on own GPUs: correct what it names, or set overflow.mode to Split",
    "BudgetAtRisk": "raise spec.overflow.ceilingUsd of the plan or spec.budget of the class, or let it queue",
    "CapacityUnavailable": "`kubectl describe pod` tells what they wait for",
    "ManualOverride": "it ends by itself, at once when that number is scaled to what is recommended",
}
SAME_CAUSE = ("MetricsAvailable", "CapacityUnavailable")
"""What Degraded repeats."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    subject: str
    """Type of the condition, or a word of its own."""
    reason: str
    message: str
    way_out: str
    person: bool
    """Whether somebody has to do something."""

    def sentence(self) -> str:
        """All of it."""
        message = self.message.rstrip(". ")
        return f"{message}. {self.way_out[:1].upper()}{self.way_out[1:]}." if self.way_out else f"{message}."


def findings(seen: PlanSeen) -> tuple[Finding, ...]:
    """Everything, what needs a person first."""
    found = [*_reporting(seen), *_stops(seen), *_conditions(seen), *_objects(seen), *_waiting(seen)]
    return tuple(sorted(found, key=lambda each: not each.person))


def waiting(seen: PlanSeen) -> tuple[LaneChange, ...]:
    """Proposals that wait for a person, the one that expires first at the top."""
    found = [
        change
        for change in seen.changes
        if change.state is ChangeState.PROPOSED
        and (moment(change.spec.expires_at) or seen.now) >= seen.now
        and not {APPROVED_ANNOTATION, REJECTED_ANNOTATION} & change.metadata.annotations.keys()
    ]
    return tuple(sorted(found, key=lambda change: (change.spec.expires_at, change.metadata.name)))


def _reporting(seen: PlanSeen) -> Iterator[Finding]:
    status, start = seen.status, "`kubectl get pods -A -l app.kubernetes.io/name=spillway`"
    if seen.unreadable is not None:
        yield Finding("Operator", "StatusUnreadable", seen.unreadable, "", True)
        return
    at = reported_at(status)
    if at is None:
        age = seen.now - (moment(seen.plan.metadata.creation_timestamp) or 0.0)
        young = age < YOUNG_SECONDS
        text = "the operator has not reported on this plan yet"
        way = "wait a moment" if young else f"is it running, and does it watch this namespace? See {start}"
        yield Finding("Operator", "NeverReported", text, way, not young)
        return
    silent = silent_seconds(status, seen.now)
    if silent is not None:
        text = f"the operator has not reported for {duration(silent)}; replicas and weights stay as they are"
        yield Finding("Operator", "Silent", text, f"see whether it runs: {start}", True)
    elif at > seen.now + CLOCK_SECONDS:
        text = f"the operator's clock is {duration(at - seen.now)} ahead of this machine's"
        yield Finding("Operator", "ClocksDiffer", text, "ages are not to be trusted", False)
    told, spec = status.observed_generation, seen.plan.metadata.generation
    if told is not None and told < spec:
        text = f"this is of generation {told} of the spec, which has generation {spec} by now"
        yield Finding("Operator", "Behind", text, "look again in a moment", False)


def _stops(seen: PlanSeen) -> Iterator[Finding]:
    ready = _condition(seen, "Ready")
    if seen.stopped:
        name, annotation = seen.namespace, STOP_ANNOTATION
        text = f"emergency stop: namespace {name} is annotated {annotation}, so nothing is changed"
        yield Finding("Stopped", "EmergencyStop", text, f"`kubectl annotate namespace {name} {annotation}-`", True)
    elif ready is not None and ready.reason == "EmergencyStop":
        text = f"emergency stop, so nothing is changed: {ready.message}"
        yield Finding("Stopped", "EmergencyStop", text, "take it back when it is time", True)
    if seen.plan.spec.paused:
        text = "spec.paused is true: nothing is changed"
        yield Finding(
            "Paused", "Paused", text, f"`kubectl spillway resume {seen.plan.metadata.name} -n {seen.namespace}`", False
        )
    if seen.plan.spec.mode is Mode.OBSERVE:
        yield Finding("Mode", "Observe", "mode Observe: metrics and costs only, nothing is recommended", "", False)


def _condition(seen: PlanSeen, kind: str) -> Condition | None:
    return next((each for each in seen.status.conditions if each.type == kind), None)


def _conditions(seen: PlanSeen) -> Iterator[Finding]:
    said: set[str] = set()
    for kind, good in GOOD.items():
        found = _condition(seen, kind)
        if found is None or found.status is good:
            continue
        if kind == "Stalled" and "Ready" in said:
            continue
        if kind == "Degraded" and any(_same(seen, other, found) for other in SAME_CAUSE):
            continue
        said.add(kind)
        known = found.status is not ConditionStatus.UNKNOWN
        person = known and kind != "ManualOverride"
        message = found.message if known else f"not known whether {kind}: {found.message}"
        yield Finding(kind, found.reason, message, WAYS_OUT[kind] if known else "", person)


def _same(seen: PlanSeen, kind: str, degraded: Condition) -> bool:
    other = _condition(seen, kind)
    return other is not None and other.status is not GOOD[kind] and other.reason == degraded.reason


def _objects(seen: PlanSeen) -> Iterator[Finding]:
    """Lanes and classes that can't be used, as far as the plan has not said so."""
    ready = _condition(seen, "Ready")
    said = "" if ready is None else ready.message
    missing = [name for name in seen.plan.spec.lanes if name not in seen.lanes]
    kept: list[tuple[str, SimpleStatus | None]] = [
        *((f"lane {name}", lane.status) for name, lane in seen.lanes.items()),
        *((f"class {key}", each.status) for key, each in seen.classes.items()),
    ]
    for subject, status in kept:
        for condition in () if status is None else status.conditions:
            bad = condition.type == "Ready" and condition.status is ConditionStatus.FALSE
            if bad and condition.message not in said:
                yield Finding(subject, condition.reason, f"{subject}: {condition.message}", WAYS_OUT["Ready"], True)
    for name in missing if seen.lanes else ():
        if name not in said:
            yield Finding(f"lane {name}", "LaneMissing", f"lane {name} of spec.lanes does not exist", "create it", True)


def _waiting(seen: PlanSeen) -> Iterator[Finding]:
    proposed, required = waiting(seen), _condition(seen, "ApprovalRequired")
    if not proposed and required is not None and required.status is ConditionStatus.TRUE and not seen.changes:
        # Whoever may not read LaneChanges is told as much as the plan says.
        way = f"`kubectl get lanechanges -n {seen.namespace}`"
        yield Finding("ApprovalRequired", required.reason, required.message, way, True)
    for change in proposed:
        name, space = change.metadata.name, seen.namespace
        text = f"LaneChange {name} waits for approval: {change.spec.message}"
        way = f"`kubectl spillway approve {name} -n {space}`, or reject it"
        yield Finding("LaneChange", change.spec.reason.value, text, way, True)
