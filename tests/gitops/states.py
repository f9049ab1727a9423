"""Objects as the operator leaves them in each of its states, and odd ones, with what GitOps tools should say of them.

Statuses are made by the operator's own report code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from report.builders import NOW, conflict, decision, lane, lane_decision, plan, snapshot, target, workload
from spillway.api import API_VERSION, CapacityLane, CapacityPlan, SimpleStatus, WorkloadClass
from spillway.api.lanechange import ChangeState, LaneChangeStatus
from spillway.decide.decision import Reason
from spillway.decide.snapshot import LaneSnapshot, MetricsHealth, MetricsReason
from spillway.report.status import class_status, lane_status, plan_status

JSON = dict[str, Any]
HEALTHY, PROGRESSING, SUSPENDED, DEGRADED = "Healthy", "Progressing", "Suspended", "Degraded"
CURRENT, IN_PROGRESS, FAILED, UNKNOWN = "Current", "InProgress", "Failed", "Unknown"
PROPOSAL = "gpu-h100: min 4 -> 2 replicas, which stood idle for 6 of 7 days: about $1,120 a month less"


@dataclass(frozen=True, slots=True)
class State:
    """One object and what is to be said of it."""

    name: str
    obj: JSON
    argo: str
    message: str
    """What Argo CD's message must contain."""
    flux: str
    """By the health expressions; Unknown, where they have no answer, is waited for like InProgress."""
    kstatus: str | None = None
    """By kstatus' own rules, where no expression is installed; None is the same as `flux`."""


def _object(resource: CapacityPlan | CapacityLane | WorkloadClass, status: JSON | None) -> JSON:
    wire: JSON = {
        "apiVersion": API_VERSION,
        "kind": resource.KIND,
        "metadata": {
            "name": resource.metadata.name,
            "namespace": resource.metadata.namespace,
            "generation": resource.metadata.generation,
        },
        "spec": resource.spec.to_wire(),
    }
    return wire if status is None else wire | {"status": status}


def _plan(snap: Any = None, made: Any = None) -> JSON:
    snap = snap or snapshot()
    return _object(snap.plan, plan_status(made or decision(), snap, None, NOW).to_wire())


def plans() -> Iterator[State]:
    """CapacityPlans."""
    yield State("plan-works", _plan(), HEALTHY, "nothing to change", CURRENT)
    yield State("plan-new", _object(plan(), None), PROGRESSING, "has not looked at the plan yet", UNKNOWN, CURRENT)
    later = _plan()
    later["metadata"]["generation"] = 4
    yield State("plan-edited", later, PROGRESSING, "latest change", IN_PROGRESS)
    yield State(
        "plan-recommends", _plan(made=decision(lane_decision(recommended=4))), HEALTHY,
        "Recommended: lane gpu: 2 -> 4 replicas", CURRENT,
    )  # fmt: skip
    watching = snapshot(plan=plan(mode="Observe"))
    yield State("plan-observes", _plan(watching), HEALTHY, "nothing to change", CURRENT)
    yield State("plan-paused", _plan(snapshot(plan=plan(paused=True))), SUSPENDED, "spec.paused is true", CURRENT)
    yield State(
        "plan-stopped", _plan(snapshot(stopped="ConfigMap spillway says stop")), SUSPENDED, "says stop", CURRENT
    )
    broken = decision(findings=(conflict(),))
    yield State("plan-conflict", _plan(made=broken), DEGRADED, "is scaled by HorizontalPodAutoscaler/vllm", FAILED)
    yield State("plan-conflict-paused", _plan(snapshot(plan=plan(paused=True)), broken), DEGRADED, "scaled by", FAILED)
    for reason in (MetricsReason.MISSING, MetricsReason.STALE, MetricsReason.ERROR):
        blind = snapshot(metrics=MetricsHealth(reason, "connection refused"))
        held = decision(held=Reason("HoldBlind", "everything is held"))
        yield State(f"plan-{reason.value}", _plan(blind, held), DEGRADED, "connection refused", CURRENT)
    late = snapshot(lanes=(LaneSnapshot(lane(startup=60), target(pods=3, ready=2, age=121)),))
    yield State("plan-pods-late", _plan(late), DEGRADED, "1 not Ready", CURRENT)
    guard = Reason("ManualOverride", "kubectl-scale set 5 replicas; respected for 50 min")
    yield State("plan-overridden", _plan(made=decision(lane_decision(guards=(guard,)))), HEALTHY, "", CURRENT)
    waits = _plan(made=decision(lane_decision(recommended=4)))
    waits["status"]["conditions"].append(_condition("ApprovalRequired", "True", "LaneChange main-1a2b waits"))
    yield State("plan-waits-for-approval", waits, HEALTHY, "Waits for approval: LaneChange main-1a2b waits", CURRENT)


def _condition(kind: str, status: str, message: str, generation: int = 3) -> JSON:
    return {
        "type": kind, "status": status, "reason": "Told", "message": message, "observedGeneration": generation,
        "lastTransitionTime": "2027-01-15T08:00:00Z",
    }  # fmt: skip


def lanes_and_classes() -> Iterator[State]:
    """CapacityLanes and WorkloadClasses."""

    def served(status: SimpleStatus) -> JSON:
        return _object(workload(), status.to_wire())

    def used(status: SimpleStatus) -> JSON:
        return _object(lane(), status.to_wire())

    refused = replace(conflict("plan main does not allow namespace team-a"), reason="NamespaceNotAllowed")
    main = "inference/main"
    yield State("lane-used", used(lane_status(lane(), (), main, NOW)), HEALTHY, "plan inference/main decides", CURRENT)
    yield State("lane-unused", used(lane_status(lane(), (), None, NOW)), HEALTHY, "no CapacityPlan", CURRENT)
    yield State("lane-conflict", used(lane_status(lane(), (conflict(),), main, NOW)), DEGRADED, "is scaled by", FAILED)
    yield State("lane-new", _object(lane(), None), PROGRESSING, "looked at the lane yet", UNKNOWN, CURRENT)
    yield State("class-served", served(class_status(workload(), (), main, NOW)), HEALTHY, "decides on it", CURRENT)
    yield State("class-unserved", served(class_status(workload(), (), None, NOW)), HEALTHY, "does not serve", CURRENT)
    yield State(
        "class-refused", served(class_status(workload(), (refused,), None, NOW)), DEGRADED, "does not allow", FAILED
    )
    yield State("class-new", _object(workload(), None), PROGRESSING, "looked at the class yet", UNKNOWN, CURRENT)
    older = served(class_status(workload(), (), main, NOW))
    older["metadata"]["generation"] = 3
    yield State("class-edited", older, PROGRESSING, "latest change", IN_PROGRESS)
    risk = served(class_status(workload(), (), main, NOW))
    risk["status"]["conditions"].append(_condition("BudgetAtRisk", "True", "$3900 of $4000 this month", 2))
    yield State("class-budget-at-risk", risk, HEALTHY, "Budget at risk: $3900 of $4000", CURRENT)


def _change(status: LaneChangeStatus | None, generation: int = 1) -> JSON:
    made: JSON = {
        "apiVersion": API_VERSION,
        "kind": "LaneChange",
        "metadata": {"name": "main-1a2b", "namespace": "inference", "generation": generation},
        "spec": {"planRef": {"name": "main"}, "message": PROPOSAL, "planHash": "0123456789abcdef"},
    }
    return made if status is None else made | {"status": status.to_wire()}


def changes() -> Iterator[State]:
    """LaneChanges."""
    yield State("change-new", _change(None), PROGRESSING, "looked at the proposal yet", UNKNOWN, CURRENT)
    for state in ChangeState:
        obj = _change(LaneChangeStatus(observed_generation=1, state=state))
        yield State(f"change-{state.value}", obj, HEALTHY, PROPOSAL, CURRENT)
        said = _change(LaneChangeStatus(observed_generation=1, state=state, message="Said so."))
        told = "kubectl spillway approve main-1a2b -n inference" if state is ChangeState.PROPOSED else "Said so."
        yield State(f"change-{state.value}-with-message", said, HEALTHY, told, CURRENT)
    edited = _change(LaneChangeStatus(observed_generation=1), 2)
    yield State("change-edited", edited, PROGRESSING, "latest change", IN_PROGRESS)
    stalled = _change(LaneChangeStatus(observed_generation=1))
    stalled["status"]["conditions"] = [_condition("Stalled", "True", "a patch does not fit", 1)]
    yield State("change-stalled", stalled, DEGRADED, "a patch does not fit", FAILED)


STATES = (*plans(), *lanes_and_classes(), *changes())

ODD_VALUES: tuple[Any, ...] = (None, 0, 7.5, True, False, "", "x", [], ["x"], {}, {"x": 1}, [None], [[]], [{}])


def odd_objects(kind: str) -> Iterator[JSON]:
    """Objects of no shape that a CRD would let through, and some that it would."""
    whole = next(state.obj for state in STATES if state.obj["kind"] == kind and "status" in state.obj)
    head = {"apiVersion": API_VERSION, "kind": kind}
    yield head
    for value in ODD_VALUES:
        yield head | {"metadata": value, "spec": value, "status": value}
        for top in ("metadata", "spec", "status"):
            yield whole | {top: value}
            for key in whole[top]:
                yield whole | {top: whole[top] | {key: value}}
        for conditions in ([value], [{"type": value}], [{"type": "Ready", "status": value, "message": value}]):
            yield whole | {"status": whole["status"] | {"conditions": conditions}}
        yield whole | {"spec": whole["spec"] | {"paused": value}}
        yield whole | {"status": whole["status"] | {"state": value, "message": value, "decision": value}}
