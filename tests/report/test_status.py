"""Status: what it says, within which limits, and when it is worth a write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from report.builders import NOW, conflict, decision, lane, lane_decision, plan, route, snapshot, target, workload
from spillway.api import CapacityPlanStatus, SimpleStatus
from spillway.api.plan import CeilingUsd
from spillway.api.status import ConditionStatus, LaneMoveStatus, MoveState
from spillway.api.why import WhyStep, WhyUnit
from spillway.decide.decision import ClassDecision, Costs, Link, Reason
from spillway.decide.snapshot import Finding, LaneSnapshot, MetricsHealth, MetricsReason, Severity, Spent
from spillway.report.conditions import plan_states
from spillway.report.status import (
    class_status,
    lane_status,
    plan_status,
    simple_status_changed,
    status_changed,
)

EXPECTED = {
    "Ready",
    "MetricsAvailable",
    "RecommendationAvailable",
    "ApprovalRequired",
    "OverflowActive",
    "SpillArmed",
    "BudgetAtRisk",
    "ManualOverride",
    "CapacityUnavailable",
    "Degraded",
    "Stalled",
}


def conditions(status: CapacityPlanStatus | SimpleStatus) -> dict[str, tuple[str, str]]:
    return {each.type: (each.status.value, each.reason) for each in status.conditions}


def message(status: CapacityPlanStatus, kind: str) -> str:
    return next(each.message for each in status.conditions if each.type == kind)


def test_first_status_has_every_condition_of_this_generation() -> None:
    status = plan_status(decision(), snapshot(), None, NOW)
    assert {each.type for each in status.conditions} == EXPECTED
    assert status.observed_generation == 3
    assert all(each.observed_generation == 3 for each in status.conditions)
    assert all(each.last_transition_time == "2027-01-15T08:00:00Z" for each in status.conditions)


def test_figures_are_decimal_strings() -> None:
    wire = plan_status(decision(), snapshot(), None, NOW).to_wire()
    (own,) = wire["lanes"]
    assert own["usdPerHour"] == "15.40"
    assert own["utilization"] == {"allocated": "0.5", "load": "0.62"}
    assert (own["gpus"], own["recommendedGpus"]) == (4, 4)
    (served,) = wire["classes"]
    assert served["attainmentPercent"] == "99.4"
    assert served["tokensPerSecond"] == 8123
    assert served["spillPercent"] == "25"
    assert wire["totals"]["savingUsdPerHour"] == "15.40"
    assert wire["decision"]["validUntil"] > wire["decision"]["at"]


def test_unknown_figures_are_absent_and_not_zero() -> None:
    made = decision(
        lane_decision(recommended=None, usd_per_hour=None),
        costs=Costs(),
        classes=(ClassDecision("team-a/chat", None, None),),
    )
    wire = plan_status(made, snapshot(), None, NOW).to_wire()
    assert "usdPerHour" not in wire["lanes"][0]
    assert "recommended" not in wire["lanes"][0]
    assert wire["classes"] == [{"name": "chat", "namespace": "team-a"}]
    assert "billedUsdPerHour" not in wire["totals"]


def test_a_negative_saving_keeps_its_sign() -> None:
    status = plan_status(decision(costs=Costs(saving=-3.5)), snapshot(), None, NOW)
    assert status.totals is not None
    assert status.totals.saving_usd_per_hour == "-3.50"


def test_limits_keep_the_largest_in_the_plans_order() -> None:
    lanes = tuple(lane_decision(f"lane-{number:02}", usd_per_hour=float(number)) for number in range(40))
    classes = tuple(ClassDecision(f"team-a/class-{number:02}", 1.0, float(number)) for number in range(30))
    status = plan_status(decision(*lanes, classes=classes), snapshot(), None, NOW)
    assert [each.name for each in status.lanes] == [f"lane-{number:02}" for number in range(8, 40)]
    assert [each.name for each in status.classes] == [f"class-{number:02}" for number in range(14, 30)]


@pytest.mark.parametrize(
    ("mode", "reasons", "expected"),
    [
        ("Split", ("QueueUnlimited",), ("True", "NotAsked")),
        ("Spill", (), ("True", "Armed")),
        ("Spill", ("QueueLimitUnknown",), ("Unknown", "QueueLimitUnknown")),
        ("Spill", ("SpillUnproven",), ("Unknown", "SpillUnproven")),
        ("Spill", ("QueueLimitUnknown", "QueueUnlimited"), ("False", "QueueUnlimited")),
        ("Spill", ("SpillPolicyMissing",), ("False", "SpillPolicyMissing")),
        ("Spill", ("RouteProblem",), ("False", "RouteProblem")),
    ],
)
def test_spill_is_armed_only_where_nothing_is_missing(
    mode: str, reasons: tuple[str, ...], expected: tuple[str, str]
) -> None:
    found = tuple(Finding(Severity.WARNING, reason, "Because.") for reason in reasons)
    status = plan_status(decision(findings=found), snapshot(plan=plan(overflow={"mode": mode})), None, NOW)
    assert conditions(status)["SpillArmed"] == expected


def test_long_messages_are_cut() -> None:
    found = tuple(replace(conflict("x" * 600), subject=str(number)) for number in range(5))
    status = plan_status(decision(findings=found), snapshot(), None, NOW)
    assert len(message(status, "Ready")) == 1024


def test_ready_is_false_only_for_errors_and_stalled_says_so_to_kstatus() -> None:
    broken = plan_status(decision(findings=(conflict(),)), snapshot(), None, NOW)
    assert conditions(broken)["Ready"] == ("False", "AutoscalerConflict")
    assert conditions(broken)["Stalled"] == ("True", "AutoscalerConflict")
    paused = plan_status(decision(), snapshot(plan=plan(paused=True)), None, NOW)
    assert conditions(paused)["Ready"] == ("True", "Paused")
    stopped = plan_status(decision(), snapshot(stopped="ConfigMap x says stop"), None, NOW)
    assert conditions(stopped)["Ready"] == ("True", "EmergencyStop")


@pytest.mark.parametrize("reason", [MetricsReason.MISSING, MetricsReason.STALE, MetricsReason.ERROR])
def test_loss_of_metrics_is_degraded_and_still_ready(reason: MetricsReason) -> None:
    health = MetricsHealth(reason, "connection refused")
    held = Reason("HoldBlind", "everything is held")
    status = plan_status(decision(held=held), snapshot(metrics=health), None, NOW)
    assert conditions(status)["MetricsAvailable"] == ("False", reason.value)
    assert conditions(status)["Degraded"] == ("True", reason.value)
    assert conditions(status)["Ready"][0] == "True"
    assert status.decision is not None
    assert status.decision.reason == "HoldBlind"


@pytest.mark.parametrize(("code", "degraded"), [("LaneBlind", "True"), ("TokenMixUnknown", "False")])
def test_a_lane_that_was_lost_is_degraded_and_one_not_yet_known_is_not(code: str, degraded: str) -> None:
    blind = lane_decision(recommended=None, bounds_only=True, reason=Reason(code, "no figures"))
    assert conditions(plan_status(decision(blind), snapshot(), None, NOW))["Degraded"][0] == degraded


def test_a_pending_recommendation_is_available_and_ready() -> None:
    status = plan_status(decision(lane_decision(recommended=4)), snapshot(), None, NOW)
    assert conditions(status)["RecommendationAvailable"][0] == "True"
    assert message(status, "RecommendationAvailable") == "lane gpu: 2 -> 4 replicas"
    assert conditions(status)["Ready"][0] == "True"
    moved = decision(routes=(route({"gpu": 100, "hosted": 0}, {"gpu": 70, "hosted": 30}),))
    assert message(plan_status(moved, snapshot(), None, NOW), "RecommendationAvailable") == (
        "route chat: gpu 70%, hosted 30%"
    )


def test_nothing_to_recommend_in_observe_or_when_all_is_as_it_should_be() -> None:
    same = plan_status(decision(), snapshot(), None, NOW)
    assert conditions(same)["RecommendationAvailable"] == ("False", "NothingToChange")
    watching = plan_status(decision(lane_decision(recommended=4)), snapshot(plan=plan(mode="Observe")), None, NOW)
    assert conditions(watching)["RecommendationAvailable"] == ("False", "ObserveOnly")


def test_manual_override_is_told_by_the_guard() -> None:
    guard = Reason("ManualOverride", "kubectl-scale set 5 replicas; respected for 50 min")
    status = plan_status(decision(lane_decision(guards=(guard,))), snapshot(), None, NOW)
    assert conditions(status)["ManualOverride"] == ("True", "ReplicasSetByHand")
    assert "respected for 50 min" in message(status, "ManualOverride")


@pytest.mark.parametrize(
    ("state", "late"),
    [
        (target(pods=3, ready=2, age=119), False),
        (target(pods=3, ready=2, age=121), True),
        (target(pods=2, ready=2, replicas=4, replicas_written_at=NOW - 121), True),
        (target(pods=2, ready=2, replicas=4, replicas_written_at=NOW - 30), False),
        (target(pods=2, ready=2, replicas=4, replicas_written_at=None), False),
        (target(pods=0, ready=0), False),
    ],
)
def test_capacity_is_unavailable_after_twice_the_start_up_time(state: object, late: bool) -> None:
    lanes = (LaneSnapshot(lane(startup=60), state),)  # type: ignore[arg-type]
    found = conditions(plan_status(decision(), snapshot(lanes=lanes), None, NOW))
    assert (found["CapacityUnavailable"][0] == "True") is late
    assert (found["Degraded"][0] == "True") is late


def test_transition_time_moves_with_the_status_only() -> None:
    first = plan_status(decision(), snapshot(), None, NOW)
    paused = plan_status(decision(), snapshot(plan=plan(4, paused=True)), first, NOW + 60)
    before = {each.type: each for each in first.conditions}
    for each in paused.conditions:
        assert each.last_transition_time == before[each.type].last_transition_time
        assert each.observed_generation == 4
    broken = plan_status(decision(findings=(conflict(),)), snapshot(), paused, NOW + 120)
    ready = next(each for each in broken.conditions if each.type == "Ready")
    assert ready.status is ConditionStatus.FALSE
    assert ready.last_transition_time == "2027-01-15T08:02:00Z"


def test_a_transition_is_written_at_once() -> None:
    before = plan_status(decision(), snapshot(), None, NOW)
    for changed in (
        plan_status(decision(lane_decision(recommended=3)), snapshot(), before, NOW + 1),
        plan_status(decision(lane_decision(current=3, recommended=3)), snapshot(), before, NOW + 1),
        plan_status(decision(findings=(conflict(),)), snapshot(), before, NOW + 1),
        plan_status(decision(reason=Reason("ScaleUp", "more")), snapshot(), before, NOW + 1),
        plan_status(decision(), snapshot(plan=plan(4)), before, NOW + 1),
        plan_status(decision(classes=()), snapshot(), before, NOW + 1),
    ):
        assert status_changed(before, changed, NOW + 1, NOW)
    assert status_changed(None, before, NOW, None)


def test_another_place_in_the_safe_order_is_written_at_once_and_other_words_are_not() -> None:
    def stands(state: MoveState, reason: str, message: str = "as asked") -> CapacityPlanStatus:
        move = LaneMoveStatus(state=state, since="2026-01-05T09:00:00Z", reason=reason, message=message)
        return plan_status(decision(), snapshot(), None, NOW, (), {"gpu": move})

    before = stands(MoveState.SHIFTING_AWAY, "CountersPending")
    assert status_changed(before, stands(MoveState.SCALING_IN, "TrafficAway"), NOW + 1, NOW)
    assert not status_changed(before, stands(MoveState.SHIFTING_AWAY, "CountersMoving", "71% of 70%"), NOW + 61, NOW)
    held = stands(MoveState.HELD, "GatewayRefused")
    assert status_changed(held, stands(MoveState.HELD, "CountersDisagree"), NOW + 1, NOW)
    assert not status_changed(held, stands(MoveState.HELD, "GatewayRefused", "next try in 9 s"), NOW + 1, NOW)


def test_figures_wait_a_minute_and_small_ones_for_longer() -> None:
    before = plan_status(decision(), snapshot(), None, NOW)
    small = plan_status(
        decision(costs=Costs(billed=15.9, allocated=9.0, static=30.8, saving=15.0, expected=15.4)),
        snapshot(),
        before,
        NOW,
    )
    large = plan_status(
        decision(costs=Costs(billed=18.0, allocated=9.0, static=30.8, saving=12.8, expected=15.4)),
        snapshot(),
        before,
        NOW,
    )
    assert not status_changed(before, large, NOW + 59, NOW)
    assert status_changed(before, large, NOW + 60, NOW)
    assert not status_changed(before, small, NOW + 120, NOW)
    assert status_changed(before, before, NOW + 300, NOW), "a live operator renews its status"
    assert not status_changed(before, before, NOW + 299, NOW)


def test_a_figure_that_appears_is_written_within_a_minute() -> None:
    before = plan_status(decision(costs=Costs()), snapshot(), None, NOW)
    after = plan_status(decision(), snapshot(), before, NOW + 61)
    assert status_changed(before, after, NOW + 61, NOW)


def test_what_is_written_reads_back_as_the_same_status() -> None:
    status = plan_status(decision(), snapshot(), None, NOW)
    stored = CapacityPlanStatus.model_validate(status.to_wire())
    assert stored == status
    assert not status_changed(stored, status, NOW + 1, NOW)


def test_lanes_and_classes_say_whether_and_by_whom_they_are_used() -> None:
    used = lane_status(lane(), (), "inference/main", NOW)
    assert conditions(used) == {"Ready": ("True", "Accepted"), "Stalled": ("False", "Progressing")}
    assert used.plan == "inference/main"
    unused = lane_status(lane(), (), None, NOW)
    assert conditions(unused) == {"Ready": ("True", "Unused"), "Stalled": ("False", "Progressing")}
    refused = class_status(
        workload(), (replace(conflict("plan x does not allow"), reason="NamespaceNotAllowed"),), None, NOW
    )
    assert conditions(refused) == {
        "Ready": ("False", "NamespaceNotAllowed"),
        "Stalled": ("True", "NamespaceNotAllowed"),
    }
    assert simple_status_changed(None, used)
    assert not simple_status_changed(used, lane_status(lane(), (), "inference/main", NOW + 999))
    assert simple_status_changed(used, unused)


@pytest.mark.parametrize(
    ("ceilings", "spent", "said"),
    [
        ({}, None, ("False", "NoCeiling")),
        ({"perHour": "5"}, None, ("False", "RateOnly")),
        ({"perDay": "40"}, None, ("True", "SpendingUnknown")),
        ({"perDay": "40"}, Spent(1.0, 10.0, 10.0), ("False", "WithinCeilings")),
        ({"perDay": "40"}, Spent(1.0, 32.0, 10.0), ("True", "CeilingNear")),
        ({"perHour": "5", "perMonth": "500"}, Spent(1.0, 32.0, 500.0), ("True", "CeilingReached")),
    ],
)
def test_people_are_told_before_a_ceiling_is_reached(
    ceilings: dict[str, str], spent: Spent | None, said: tuple[str, str]
) -> None:
    seen = snapshot()
    overflow = seen.plan.spec.overflow.model_copy(update={"ceiling_usd": CeilingUsd.model_validate(ceilings)})
    spec = seen.plan.spec.model_copy(update={"overflow": overflow})
    seen = replace(seen, plan=seen.plan.model_copy(update={"spec": spec}), spent=spent)
    (found,) = [each for each in plan_states(decision(), seen) if each.type == "BudgetAtRisk"]
    assert (str(found.holds), found.reason) == said


CHAIN = (
    Link(WhyStep.DEMAND, 12.3456, WhyUnit.REQUESTS_PER_SECOND, "all of chat"),
    Link(WhyStep.PRICE, 3.85, WhyUnit.USD_PER_HOUR, "x" * 400),
    Link(WhyStep.GUARD, 4, WhyUnit.REPLICAS, "3 -> 4: 120 s to go."),
    Link(WhyStep.OVERFLOW, None, WhyUnit.PERCENT, "not known"),
)


def test_why_is_a_bounded_list_of_decimal_strings() -> None:
    status = plan_status(decision(lane_decision(chain=CHAIN)), snapshot(), None, NOW)
    why = status.to_wire()["lanes"][0]["why"]
    assert why[0] == {"step": "Demand", "value": "12.35", "unit": "req/s", "text": "all of chat"}
    assert why[1]["value"] == "3.85"
    assert len(why[1]["text"]) == 256
    assert why[2]["value"] == "4"
    assert why[3] == {"step": "Overflow", "unit": "percent", "text": "not known"}
    assert CapacityPlanStatus.model_validate(status.to_wire()) == status


def test_the_fullest_status_stays_far_below_what_the_apiserver_takes() -> None:
    link = Link(WhyStep.GUARD, 4, WhyUnit.REPLICAS, "x" * 400)
    lanes = tuple(lane_decision(f"lane-{n}", chain=(link,) * 10) for n in range(40))
    classes = tuple(ClassDecision(f"team-a/c{n}", 1.0, 1.0, chain=(link,) * 6) for n in range(40))
    made = decision(*lanes, classes=classes)
    assert len(plan_status(made, snapshot(), None, NOW).model_dump_json()) < 256 * 1024


def rewritten(chain: tuple[Link, ...], waited: float) -> bool:
    before = plan_status(decision(lane_decision(chain=CHAIN)), snapshot(), None, NOW)
    after = plan_status(decision(lane_decision(chain=chain)), snapshot(), before, NOW + waited)
    return status_changed(before, after, NOW + waited, NOW)


@pytest.mark.parametrize(
    ("changed", "written"),
    [
        (replace(CHAIN[2], text="3 -> 4: 5 s to go."), False),
        (replace(CHAIN[0], value=12.6), False),
        (replace(CHAIN[0], value=14.0), True),
        (replace(CHAIN[2], value=5), True),
        (replace(CHAIN[2], step=WhyStep.HELD), True),
    ],
    ids=["text", "within-the-dead-band", "beyond-it", "another-number", "another-step"],
)
def test_moving_texts_of_a_chain_are_no_news_and_figures_are_within_the_minute(changed: Link, written: bool) -> None:
    position = 0 if changed.step is WhyStep.DEMAND else 2
    chain = (*CHAIN[:position], changed, *CHAIN[position + 1 :])
    assert rewritten(chain, 61.0) is written
    assert not rewritten(chain, 30.0)


def test_weights_are_told_now_and_as_wanted_and_a_change_at_once() -> None:
    made = decision(routes=(route({"gpu": 100, "hosted": 0}, {"gpu": 75, "hosted": 25}),))
    status = plan_status(made, snapshot(), None, NOW)
    assert status.to_wire()["weights"] == [
        {
            "class": "chat",
            "route": "chat",
            "lanes": [{"lane": "gpu", "now": 100, "wanted": 75}, {"lane": "hosted", "now": 0, "wanted": 25}],
        }
    ]
    moved = decision(routes=(route({"gpu": 80, "hosted": 20}, {"gpu": 75, "hosted": 25}),))
    after = plan_status(moved, snapshot(), status, NOW + 1)
    assert status_changed(status, after, NOW + 1, NOW)
    assert not status_changed(after, plan_status(moved, snapshot(), after, NOW + 2), NOW + 2, NOW + 1)
    assert "weights" not in plan_status(decision(), snapshot(), None, NOW).to_wire()
