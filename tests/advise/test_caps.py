"""Where a class stands in its budget, by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.advise.caps import full_months, position
from spillway.advise.figures import traced
from spillway.advise.positions import BudgetPosition, BudgetReason, Spending
from spillway.advise.runrate import is_weekend
from spillway.api import Budget

NOW = datetime(2026, 11, 23, tzinfo=UTC)
"""A Monday: 15 workdays and 7 weekend days of November are gone, 6 and 2 are left."""
NOVEMBER = date(2026, 11, 1)
DAYS = {(NOW - timedelta(days=back)).date() for back in range(1, 30)}
WORKDAYS = {day: Decimal(10) for day in DAYS if not is_weekend(day)}
WEEKENDS = {day: Decimal(1) for day in DAYS if is_weekend(day)}


def spending(**more: Any) -> Spending:
    """$10 a workday for hosted lanes, $1 a weekend day of own GPUs: 150 + 7 so far, 219 by the month's end."""
    base = Spending(
        "team-a/chat",
        NOW,
        datetime(2026, 7, 1, tzinfo=UTC),
        hosted_days=WORKDAYS,
        hosted_months={NOVEMBER: Decimal(150)},
        own_days=WEEKENDS,
        own_months={NOVEMBER: Decimal(7)},
    )
    return replace(base, **more)


def budget(**fields: Any) -> Budget:
    return Budget.model_validate(fields)


def reasons(found: BudgetPosition) -> list[BudgetReason]:
    return [alert.reason for alert in found.alerts]


def test_hosted_and_own_dollars_are_one_cost_with_both_parts_shown() -> None:
    found = position(spending(), budget(monthlyUsd="400"))
    assert found.spent.value == 157
    assert [(part.name, part.value) for part in found.spent.inputs] == [("hosted", 150), ("own GPUs", 7)]
    assert found.used == Decimal(157) / 400
    assert found.projected is not None
    assert found.projected.value == 219
    assert (found.at_risk, found.standing.reason) == (False, BudgetReason.WITHIN)
    assert found.standing.message == (
        "class team-a/chat: $157 (39%) of the budget of $400 for 2026-11 spent by 2026-11-23; as it goes on "
        "the month ends at $219 ($219 to $219)"
    )
    assert found.warnings == ()


def test_every_figure_is_traced() -> None:
    found = position(spending(), budget(monthlyUsd="400"))
    assert found.cap is not None
    assert found.cap.source == "spec.budget.monthlyUsd of WorkloadClass team-a/chat"
    assert found.projected is not None
    leaves = [figure for _, figure in traced(found.projected) if not figure.inputs]
    assert {leaf.name for leaf in leaves} >= {"hosted", "own GPUs", "cost of a workday", "workdays left"}
    assert all(leaf.source for leaf in leaves)


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        ("157", [BudgetReason.EXCEEDED]),
        ("157.01", [BudgetReason.ALERT, BudgetReason.PROJECTED_OVER]),
        ("196.25", [BudgetReason.ALERT, BudgetReason.PROJECTED_OVER]),  # 80%
        ("196.26", [BudgetReason.PROJECTED_OVER]),
        ("218.99", [BudgetReason.PROJECTED_OVER]),
        ("219", []),
        ("0", [BudgetReason.EXCEEDED]),
    ],
)
def test_alert_share_and_cap(cap: str, expected: list[BudgetReason]) -> None:
    assert reasons(position(spending(), budget(monthlyUsd=cap))) == expected


def test_the_alerts_share_is_the_classs() -> None:
    assert reasons(position(spending(), budget(monthlyUsd="300", alertPercent=50))) == [BudgetReason.ALERT]


def test_a_budget_of_nothing_is_over_with_the_first_dollar() -> None:
    idle = spending(hosted_days={}, hosted_months={}, own_days={}, own_months={})
    found = position(idle, budget(monthlyUsd="0"))
    assert (found.alerts, found.used) == ((), None)


def test_the_day_on_which_it_is_reached() -> None:
    found = position(spending(), budget(monthlyUsd="208"))
    assert found.reached_on == date(2026, 11, 28)
    assert found.standing.message.endswith(
        "; as it goes on the budget is reached on 2026-11-28, and the month ends at $219 ($219 to $219)"
    )


def test_far_too_large_a_budget_is_told_and_no_alert() -> None:
    found = position(spending(), budget(monthlyUsd="438.01"))
    assert (found.at_risk, found.standing.reason) == (False, BudgetReason.NEVER_REACHED)
    assert position(spending(), budget(monthlyUsd="438")).standing.reason is BudgetReason.WITHIN


def test_measured_months_and_a_buffer() -> None:
    months = {date(2026, 8, 1): 90, date(2026, 9, 1): 110, date(2026, 10, 1): 130, NOVEMBER: 150}
    known = spending(hosted_months={month: Decimal(usd) for month, usd in months.items()})
    found = position(known, budget(measuredPlusPercent=20))
    assert found.cap is not None
    assert found.cap.value == 132  # (90 + 110 + 130) / 3 x 1.2
    assert (found.cap.note, found.standing.reason) == ("", BudgetReason.EXCEEDED)
    names = [figure.name for _, figure in traced(found.cap)]
    assert names == ["cap", "average month", "2026-10", "2026-09", "2026-08", "buffer"]


def test_a_month_counted_in_part_is_no_full_month() -> None:
    begun = spending(since=datetime(2026, 9, 2, 0, 0, 1, tzinfo=UTC))
    assert [month for month, _ in full_months(begun.history)] == [date(2026, 10, 1)]
    begun = spending(since=datetime(2026, 9, 2, tzinfo=UTC))
    assert [month for month, _ in full_months(begun.history)] == [date(2026, 10, 1), date(2026, 9, 1)]


def test_measured_without_a_full_month_says_what_it_rests_on() -> None:
    begun = spending(since=datetime(2026, 11, 8, 12, tzinfo=UTC))
    found = position(begun, budget(measuredPlusPercent=20))
    assert found.cap is not None
    # November has 21 workdays and 9 weekend days.
    assert found.cap.value == Decimal("1.2") * (21 * 10 + 9 * 1)
    assert found.warnings == (
        "no full month is measured yet: the cap rests on 14 full days and moves with what is spent",
        "counted since 2026-11-08 12:00 UTC only: what came before in this month isn't in it",
    )


def test_nothing_measured_yet() -> None:
    begun = spending(since=NOW - timedelta(minutes=5), hosted_days={}, own_days={}, own_months={}, hosted_months={})
    found = position(begun, budget(measuredPlusPercent=20))
    assert (found.cap, found.projected, found.at_risk) == (None, None, False)
    assert found.standing.reason is BudgetReason.NOT_MEASURED
    assert found.warnings[0] == "less than an hour is measured: there is no projection yet"


def test_under_a_week_only_the_bands_lower_end_alarms() -> None:
    begun = spending(since=datetime(2026, 11, 18, tzinfo=UTC))  # Wednesday: three workdays and a weekend
    found = position(begun, budget(monthlyUsd="210"))
    assert found.projected is not None
    assert found.projected.low is not None
    assert found.projected.low < 210 < found.projected.value
    assert reasons(found) == []
    assert found.warnings[0] == "only 5 full days are measured, less than a week: the band is twice as wide"
    sure = position(begun, budget(monthlyUsd=str(found.projected.low.quantize(Decimal("0.01")) - 1)))
    assert BudgetReason.PROJECTED_OVER in reasons(sure)


def test_a_class_that_is_new_is_not_taken_to_have_cost_nothing_before() -> None:
    week = {day: usd for day, usd in WORKDAYS.items() if day >= date(2026, 11, 16)}
    new = spending(created=datetime(2026, 11, 15, 9, tzinfo=UTC), hosted_days=week, own_days={})
    found = position(new, budget(monthlyUsd="400"))
    assert found.projected is not None
    assert found.projected.value == 157 + 6 * 10
    assert found.warnings == ()  # counted from its beginning
    # Made anew under a name that has a history.
    again = position(replace(new, hosted_days=WORKDAYS), budget(monthlyUsd="400"))
    assert again.projected is not None
    assert again.projected.value == 217


def teams(**usd: int) -> Spending:
    return spending(teams={name: Decimal(cost) for name, cost in usd.items()})


CAPS = [{"team": "growth", "monthlyUsd": "50"}, {"team": "search", "monthlyUsd": "60"}]


def test_teams_without_a_pool() -> None:
    found = position(teams(growth=50, search=61, other=46), budget(monthlyUsd="400", teamCaps=CAPS))
    assert [(each.team, each.spent, each.cap, each.over) for each in found.teams] == [
        ("growth", 50, 50, 0),
        ("search", 61, 60, 1),
        ("other", 46, None, 0),
    ]
    assert found.pool is None
    assert reasons(found) == [BudgetReason.TEAM_EXCEEDED]
    assert found.standing.message == (
        "class team-a/chat: over their caps for 2026-11 on 2026-11-23: search $61 of $60; there is no overflow pool"
    )


@pytest.mark.parametrize(
    ("growth", "search", "balance", "expected"),
    [
        (50, 60, 10, []),
        (53, 64, 3, []),  # peaks draw from the pool: that is what it is for
        (54, 64, 2, [BudgetReason.POOL_LOW]),
        (55, 65, 0, [BudgetReason.POOL_EXHAUSTED]),
        (58, 65, 0, [BudgetReason.POOL_EXHAUSTED]),
    ],
)
def test_teams_share_a_pool(growth: int, search: int, balance: int, expected: list[BudgetReason]) -> None:
    rules = budget(monthlyUsd="400", teamCaps=CAPS, overflowPoolUsd="10")
    found = position(teams(growth=growth, search=search), rules)
    assert found.pool is not None
    assert (found.pool.balance, found.pool.drawn) == (balance, max(0, growth - 50) + max(0, search - 60))
    assert reasons(found) == expected


def test_dollars_that_may_be_anothers_are_told_and_not_counted() -> None:
    shared = spending(shared=Decimal(30), shared_with=("team-a/agents",))
    found = position(shared, budget(monthlyUsd="230"))
    assert (found.spent.value, found.shared and found.shared.value) == (157, 30)
    assert reasons(found) == [BudgetReason.MAY_BE_OVER]
    assert found.warnings == ("$30 more may be the class's or that of team-a/agents: the egress can't tell them apart",)
    assert reasons(position(shared, budget(monthlyUsd="234"))) == []


def test_own_gpus_that_are_not_known_are_told() -> None:
    (said,) = position(spending(own_known=False), budget(monthlyUsd="400")).warnings
    assert said == "what the class takes of own GPUs is not known, and isn't in it"
    (said,) = position(spending(unseen_seconds=9000), budget(monthlyUsd="400")).warnings
    assert said == "own GPUs are not counted for 2.5 h of this month, for which nothing was measured"


DOLLARS = st.decimals(0, 10_000, places=2)


@given(
    now=st.integers(0, 3 * 365 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    counted=st.integers(0, 100 * 86_400),
    days=st.lists(DOLLARS, max_size=40),
    cap=DOLLARS,
    teams=st.dictionaries(st.sampled_from("abcdef"), DOLLARS),
    pool=st.none() | DOLLARS,
)
def test_whatever_is_spent_the_figures_agree(
    now: datetime,
    counted: int,
    days: list[Decimal],
    cap: Decimal,
    teams: dict[str, Decimal],
    pool: Decimal | None,
) -> None:
    costs = {(now - timedelta(days=back)).date(): cost for back, cost in enumerate(days)}
    month = now.date().replace(day=1)
    spent = sum((cost for day, cost in costs.items() if day >= month), Decimal(0))
    known = Spending(
        "a/b", now, now - timedelta(seconds=counted), hosted_days=costs, hosted_months={month: spent}, teams=teams
    )
    caps = [{"team": team, "monthlyUsd": "10"} for team in "abc"]
    terms = {"monthlyUsd": str(cap), "teamCaps": caps} | ({} if pool is None else {"overflowPoolUsd": str(pool)})
    found = position(known, budget(**terms))
    assert (found.projected is None) == (counted < 3600)
    if found.projected is not None:
        assert found.projected.low is not None
        assert found.projected.high is not None
        assert spent <= found.projected.low <= found.projected.value <= found.projected.high
        # The budget is reached this month if and only if the month ends at it or beyond.
        if found.spent.value < cap and abs(found.projected.value - cap) > Decimal("1e-9"):
            assert (found.reached_on is not None) == (found.projected.value > cap)
    if found.pool is not None:
        over = sum((each.over for each in found.teams), Decimal(0))
        assert found.pool.balance == max(Decimal(0), found.pool.size - over)
        assert found.pool.exhausted == (over > 0 and found.pool.balance == 0)
    assert found.at_risk == bool(found.alerts)
    assert (BudgetReason.EXCEEDED in reasons(found)) == (spent >= cap if cap > 0 else spent > 0)
    assert found.standing.message.startswith("class a/b: ")
