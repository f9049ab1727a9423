"""Proposals in words: a plan that waits stays Ready, a status is written when it says something new, Events once."""

from __future__ import annotations

from typing import Any

import pytest

from report.builders import NOW, decision, plan, snapshot
from spillway.advise.structural.lifecycle import Stand
from spillway.api import CapacityPlanStatus, ChangeState, LaneChange, LaneChangeStatus
from spillway.report.events import EventType, plan_events
from spillway.report.lane_changes import (
    UNKNOWN,
    PlanChanges,
    approval_state,
    change_events,
    change_samples,
    change_status,
    status_is_news,
)
from spillway.report.metrics import OperatorMetrics, PlanReport
from spillway.report.status import plan_status, status_changed

A = "main-gpu-lower-minimum-1"


def changes(**states: str) -> PlanChanges:
    return PlanChanges(True, {name: ChangeState(state) for name, state in states.items()})


@pytest.mark.parametrize(
    ("found", "spec", "holds", "reason", "said"),
    [
        (UNKNOWN, {}, None, "ProposalsUnknown", "can't be read"),
        (changes(), {}, False, "NothingProposed", "no structural change"),
        (changes(), {"approval": {"structural": "Off"}}, False, "Off", "spec.approval.structural is Off"),
        (changes(b="Proposed", a="Proposed", c="Applied"), {}, True, "ProposalsWait", "waits for a person: a, b"),
        (changes(a="Approved", b="Rejected"), {}, False, "ApprovedNotApplied", "not yet in place: a"),
        (changes(a="Approved", b="Proposed"), {}, True, "ProposalsWait", "waits for a person: b"),
        (PlanChanges(True, {}, ("too dear by far",)), {}, False, "IncreaseTooLarge", "too dear by far"),
        (PlanChanges(True, {}, ("dear",), ("no room",)), {}, False, "ProposalRefused", "no room; dear"),
        (PlanChanges(True, {}, short="forgets"), {}, False, "NothingProposed", "waits for approval; forgets"),
    ],
)
def test_what_a_plan_says(found: PlanChanges, spec: dict[str, Any], holds: bool | None, reason: str, said: str) -> None:
    state = approval_state(plan(**spec), found)
    assert (state.type, state.holds, state.reason) == ("ApprovalRequired", holds, reason)
    assert said in state.message


def status(found: PlanChanges, before: CapacityPlanStatus | None = None) -> CapacityPlanStatus:
    return plan_status(decision(), snapshot(), before, NOW, changes=found)


def test_a_plan_whose_proposals_wait_is_ready() -> None:
    told = {each.type: each for each in status(changes(a="Proposed")).conditions}
    assert told["Ready"].status.value == told["ApprovalRequired"].status.value == "True"
    assert told["Stalled"].status.value == "False"


def test_a_second_proposal_is_told_at_once_and_no_event_of_the_plans_own_is_made_of_it() -> None:
    first = status(changes(a="Proposed"))
    second = status(changes(a="Proposed", b="Proposed"), first)
    assert status_changed(first, second, NOW + 1, NOW)
    assert not status_changed(first, status(changes(a="Proposed"), first), NOW + 1, NOW)
    assert plan_events(first, second) == ()
    assert plan_events(status(changes()), first) == ()


def test_dollars_that_move_are_no_news() -> None:
    before = status(PlanChanges(True, {}, ("$501 a month",)))
    after = status(PlanChanges(True, {}, ("$502 a month",)), before)
    assert not status_changed(before, after, NOW + 1, NOW)


def change(told: LaneChangeStatus | None = None) -> LaneChange:
    spec = {
        "planRef": {"name": "main"},
        "reason": "LowerMinimum",
        "message": "One would do.",
        "change": [
            {
                "kind": "CapacityPlan",
                "namespace": "inference",
                "name": "main",
                "patch": [{"op": "remove", "path": "/spec/lanes/1"}],
            }
        ],
        "basis": [{"kind": "CapacityPlan", "namespace": "inference", "name": "main", "uid": "u", "generation": 1}],
        "planHash": "6f1c0d2e9a3b4c5d",
        "generation": 1,
        "expiresAt": "2027-01-22T08:00:00Z",
        "effect": {"usdPerMonth": "-1", "observedSeconds": 1},
    }
    found = LaneChange.parse({"metadata": {"name": A, "namespace": "inference", "generation": 1}, "spec": spec})
    return found.model_copy(update={"status": told})


WAITS, DONE = Stand(ChangeState.PROPOSED, "waits"), Stand(ChangeState.APPLIED, "the specs are as proposed")


def test_the_life_of_a_status() -> None:
    first = change_status(change(), WAITS, NOW)
    assert (first.state, first.ended_at, first.observed_generation) == (ChangeState.PROPOSED, None, 1)
    assert {each.type: each.status.value for each in first.conditions} == {
        "Ready": "True",
        "ApprovalRequired": "True",
        "Stalled": "False",
    }
    assert status_is_news(None, first)
    again = change_status(change(first), WAITS, NOW + 60)
    assert again == first
    assert not status_is_news(first, again)

    ended = change_status(change(first), DONE, NOW + 60)
    assert status_is_news(first, ended)
    assert ended.ended_at == "2027-01-15T08:01:00Z"
    told = {each.type: each for each in ended.conditions}
    assert (told["Ready"].status.value, told["Ready"].reason) == ("True", "Applied")
    assert told["ApprovalRequired"].status.value == "False"
    assert told["Ready"].last_transition_time == "2027-01-15T08:00:00Z", "it has been Ready all along"
    assert change_status(change(ended), DONE, NOW + 900) == ended


def test_a_status_that_was_defaulted_by_nobody_is_news() -> None:
    """`kubectl create` of a manifest with a status: the apiserver drops it, a default may stay."""
    assert status_is_news(LaneChangeStatus(), change_status(change(), WAITS, NOW))


def test_events_on_transitions_only() -> None:
    first = change_status(change(), WAITS, NOW)
    (made,) = change_events(change(), first)
    assert (made.type, made.reason, made.message) == (EventType.NORMAL, "LaneChangeProposed", f"{A}: One would do.")
    assert change_events(change(first), first) == ()
    (applied,) = change_events(change(first), change_status(change(first), DONE, NOW))
    assert (applied.reason, applied.message) == ("LaneChangeApplied", f"{A}: the specs are as proposed")
    expired = Stand(ChangeState.EXPIRED, "nobody answered")
    (late,) = change_events(change(first), change_status(change(first), expired, NOW))
    assert late.type is EventType.WARNING


def test_series_by_state() -> None:
    counted = dict(change_samples("inference/main", changes(a="Proposed", b="Proposed", c="Rejected")))
    assert counted["inference/main", "Proposed"] == 2
    assert counted["inference/main", "Rejected"] == 1
    assert counted["inference/main", "Applied"] == 0
    assert list(change_samples("inference/main", UNKNOWN)) == []


def test_series_of_a_plan() -> None:
    metrics = OperatorMetrics()
    metrics.publish([PlanReport(decision(), status(changes(a="Proposed")), changes=changes(a="Proposed"))])
    text = metrics.render().decode()
    assert 'spillway_lane_changes{plan="inference/main",state="Proposed"} 1.0' in text
    assert 'spillway_lane_changes{plan="inference/main",state="Expired"} 0.0' in text
