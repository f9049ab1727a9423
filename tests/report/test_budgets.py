"""Budgets as people and alerts see them: conditions on class and plan, status, Events once, bounded metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from report.builders import NOW, decision, plan, snapshot, workload
from report.test_metrics import samples
from spillway.advise.caps import position
from spillway.advise.positions import BudgetPosition, Spending
from spillway.api import Budget, SimpleStatus, WorkloadClass
from spillway.api.plan import CeilingUsd
from spillway.decide.snapshot import PlanSnapshot, Spent
from spillway.report.budgets import MAX_TEAMS, MOST_TEAMS, OTHER_TEAMS
from spillway.report.events import EventType, object_events, plan_events
from spillway.report.metrics import OperatorMetrics, PlanReport
from spillway.report.status import (
    DEAD_BAND_FLOOR,
    MIN_WRITE_SECONDS,
    RENEWAL_SECONDS,
    class_status,
    plan_status,
    simple_status_changed,
    status_changed,
)

CHAT = "team-a/chat"
AT = datetime.fromtimestamp(NOW, UTC)
MONTH = date(2027, 1, 1)


def stands(spent: str, key: str = CHAT, teams: Mapping[str, str] | None = None, **budget: Any) -> BudgetPosition:
    """After half of January's 31 days; the days before are not known, so that nothing is projected with confidence."""
    usd = Decimal(spent)
    known = Spending(
        key,
        AT,
        datetime(2027, 1, 15, 7, 30, tzinfo=UTC),
        hosted_months={MONTH: usd},
        hosted_days={AT.date(): Decimal(0)},
        teams={team: Decimal(cost) for team, cost in (teams or {}).items()},
    )
    return position(known, Budget.model_validate({"monthlyUsd": "100"} | budget))


def with_budget() -> WorkloadClass:
    made = workload()
    return made.model_copy(
        update={"spec": made.spec.model_copy(update={"budget": Budget.model_validate({"monthlyUsd": "100"})})}
    )


def of_class(found: BudgetPosition | None, now: float = NOW, previous: SimpleStatus | None = None) -> SimpleStatus:
    item = with_budget().model_copy(update={"status": previous})
    return class_status(item, (), "inference/main", now, {CHAT: found})


def told(status: Any) -> tuple[str, str]:
    (found,) = [each for each in status.conditions if each.type == "BudgetAtRisk"]
    return found.status.value, found.reason


def sentence(status: Any) -> str:
    return next(each.message for each in status.conditions if each.type == "BudgetAtRisk")


def ceiling(per_day: str, spent: float) -> PlanSnapshot:
    made = plan()
    overflow = made.spec.overflow.model_copy(update={"ceiling_usd": CeilingUsd.model_validate({"perDay": per_day})})
    spec = made.spec.model_copy(update={"overflow": overflow})
    return snapshot(plan=made.model_copy(update={"spec": spec}), spent=Spent(spent, spent, spent))


def test_the_condition_comes_and_goes() -> None:
    assert told(of_class(stands("79.99"))) == ("False", "WithinBudget")
    assert told(of_class(stands("80"))) == ("True", "BudgetAlert")
    assert told(of_class(stands("100"))) == ("True", "BudgetExceeded")
    assert told(of_class(None)) == ("Unknown", "SpendingUnknown")
    assert "BudgetAtRisk" not in {each.type for each in class_status(workload(), (), "inference/main", NOW).conditions}


def test_the_sentence_names_class_dollars_and_date() -> None:
    text = sentence(of_class(stands("80")))
    assert text.startswith("class team-a/chat: $80 (80%) of the budget of $100 for 2027-01 spent by 2027-01-15")
    assert text.endswith(
        "less than an hour is measured: there is no projection yet; counted since 2027-01-15 07:30 UTC only: "
        "what came before in this month isn't in it"
    )


def test_dollars_alone_are_told_now_and_then() -> None:
    before, after = of_class(stands("81")), of_class(stands("82"))
    assert not simple_status_changed(before, after, RENEWAL_SECONDS - 1)
    assert simple_status_changed(before, after, RENEWAL_SECONDS)
    assert not simple_status_changed(before, before, RENEWAL_SECONDS)
    assert simple_status_changed(before, of_class(stands("100")))
    assert simple_status_changed(before, class_status(workload(), (), "inference/main", NOW, {}))


def test_events_are_told_once_for_each_reason() -> None:
    fine, alert, over = (of_class(stands(usd)) for usd in ("10", "80", "100"))
    assert object_events(None, fine) == ()
    (event,) = object_events(fine, alert)
    assert (event.type, event.reason) == (EventType.WARNING, "BudgetAlert")
    assert event.message.startswith("BudgetAtRisk is True: class team-a/chat: $80 (80%)")
    assert object_events(alert, of_class(stands("85"))) == ()
    assert [event.reason for event in object_events(alert, over)] == ["BudgetExceeded"]
    assert [event.type for event in object_events(over, fine)] == [EventType.NORMAL]


def test_a_tick_that_decides_nothing_takes_nothing_back() -> None:
    before = of_class(stands("80"))
    item = with_budget().model_copy(update={"status": before})
    again = class_status(item, (), "inference/main", NOW + 15, {})
    assert again.conditions == before.conditions
    assert not simple_status_changed(before, again, RENEWAL_SECONDS)
    left = class_status(item, (), None, NOW + 15, {})
    assert {each.type for each in left.conditions} == {"Ready", "Stalled"}, "in no plan"


def test_a_plan_says_the_gravest_of_its_classes() -> None:
    budgets = {
        CHAT: stands("80"),
        "team-b/agents": stands("100", "team-b/agents"),
        "team-b/fine": stands("1", "team-b/fine"),
    }
    status = plan_status(decision(), snapshot(), None, NOW, budgets=budgets)
    assert told(status) == ("True", "BudgetExceeded")
    said = sentence(status).split("; class ")
    assert [text.split(":")[0].removeprefix("class ") for text in said] == ["team-b/agents", "team-a/chat"]
    assert [event.reason for event in plan_events(None, status)] == ["BudgetExceeded"]
    calm = plan_status(decision(), snapshot(), None, NOW, budgets={CHAT: stands("1")})
    assert (told(calm), sentence(calm)) == (
        ("False", "WithinBudgets"),
        "1 class is within budget; spec.overflow.ceilingUsd sets no ceiling",
    )
    assert told(plan_status(decision(), snapshot(), None, NOW, budgets={CHAT: None})) == ("Unknown", "SpendingUnknown")


def test_ceilings_go_before_budgets() -> None:
    near = plan_status(decision(), ceiling("10", 9.0), None, NOW, budgets={CHAT: stands("100")})
    assert told(near) == ("True", "CeilingNear")
    assert "$9.00 of $10 this day; class team-a/chat: $100" in sentence(near)
    far = plan_status(decision(), ceiling("10", 1.0), None, NOW, budgets={CHAT: stands("100")})
    assert told(far) == ("True", "BudgetExceeded")
    assert told(plan_status(decision(), ceiling("10", 1.0), None, NOW, budgets={CHAT: stands("1")})) == (
        "False",
        "WithinCeilings",
    )
    assert told(plan_status(decision(), ceiling("10", 9.0), None, NOW, budgets={CHAT: None})) == ("True", "CeilingNear")


def test_the_budget_stands_in_the_plans_status() -> None:
    caps = [{"team": f"team-{number:02}", "monthlyUsd": "10"} for number in range(12)]
    teams = {f"team-{number:02}": str(number) for number in range(12)} | {"nobody": "3"}
    found = stands("80.005", teams=teams, teamCaps=caps, overflowPoolUsd="5")
    wire = plan_status(decision(), snapshot(), None, NOW, budgets={CHAT: found}).to_wire()
    (served,) = wire["classes"]
    teams_shown = served["budget"].pop("teams")
    assert served["budget"] == {
        "reason": "BudgetAlert",
        "capUsd": "100.00",
        "spentUsd": "80.01",
        "hostedUsd": "80.01",
        "ownUsd": "0.00",
        "poolBalanceUsd": "4.00",
    }
    assert len(teams_shown) == MAX_TEAMS
    assert teams_shown[0] == {"team": "team-11", "spentUsd": "11.00", "capUsd": "10.00"}
    assert "budget" not in plan_status(decision(), snapshot(), None, NOW).to_wire()["classes"][0]


def test_dollars_move_a_status_beyond_the_dead_band_once_a_minute() -> None:
    before, little, much = (
        plan_status(decision(), snapshot(), None, NOW, budgets={CHAT: stands(usd)}) for usd in ("50", "50.5", "60")
    )
    assert DEAD_BAND_FLOOR < 0.5
    assert not status_changed(before, little, NOW + MIN_WRITE_SECONDS, NOW)
    assert status_changed(before, much, NOW + MIN_WRITE_SECONDS, NOW)
    assert not status_changed(before, much, NOW + MIN_WRITE_SECONDS - 1, NOW)


def exported(budgets: Mapping[str, BudgetPosition | None]) -> dict[tuple[str, str], float]:
    """Name and the last label, of the class chat."""
    metrics, made = OperatorMetrics(), decision()
    metrics.publish([PlanReport(made, plan_status(made, snapshot(), None, NOW), budgets=budgets)])
    found = {}
    for (name, labels), value in samples(metrics).items():
        if re.match("spillway_(budget|team)_", name):
            rest = dict(labels)
            assert rest.pop("plan") == "inference/main"
            assert rest.pop("class") == CHAT
            found[name, next(iter(rest.values()), "")] = value
    return found


def test_metrics_of_a_budget() -> None:
    caps = [{"team": "growth", "monthlyUsd": "10"}]
    full = stands("80", teams={"growth": "14", "search": "7"}, teamCaps=caps, overflowPoolUsd="5")
    assert exported({CHAT: full}) == {
        ("spillway_budget_cap_usd", ""): 100,
        ("spillway_budget_alert_ratio", ""): 0.8,
        ("spillway_budget_spent_usd", ""): 80,
        ("spillway_budget_spent_part_usd", "hosted"): 80,
        ("spillway_budget_spent_part_usd", "own"): 0,
        ("spillway_budget_pool_usd", ""): 5,
        ("spillway_budget_pool_balance_usd", ""): 1,
        ("spillway_budget_at_risk", "BudgetAlert"): 1,
        ("spillway_budget_at_risk", "OverflowPoolLow"): 1,
        ("spillway_team_spent_usd", "growth"): 14,
        ("spillway_team_spent_usd", "search"): 7,
        ("spillway_team_cap_usd", "growth"): 10,
    }
    # The projection, where there is one.
    figures = replace(full, projected=full.spent.banded(Decimal(90), Decimal(140)), alerts=())
    found = exported({CHAT: figures})
    assert {bound: found["spillway_budget_projected_usd", bound] for bound in ("low", "expected", "high")} == {
        "low": 90,
        "expected": 80,
        "high": 140,
    }
    assert not [name for name, _ in found if name == "spillway_budget_at_risk"]
    assert exported({CHAT: None}) == {}


def test_teams_in_metrics_are_bounded_and_capped_ones_stay() -> None:
    teams = {f"team-{number:03}": "2" for number in range(MOST_TEAMS + 30)}
    found = exported({CHAT: stands("80", teams=teams, teamCaps=[{"team": "quiet", "monthlyUsd": "10"}])})
    told = {team: usd for (name, team), usd in found.items() if name == "spillway_team_spent_usd"}
    assert len(told) == MOST_TEAMS + 1
    assert told["quiet"] == 0
    assert told[OTHER_TEAMS] == 2 * 31
