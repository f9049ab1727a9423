"""Where a class stands in its month's budget: cap, spent, projected, teams and their pool. Pure, the same everywhere.

A budget warns and forecasts; a plan's ceilings are what stops spending.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from spillway.advise.figures import Figure, computed, given
from spillway.advise.positions import BudgetPosition, PoolPosition, Spending, TeamPosition
from spillway.advise.runrate import ZERO, History, RunRate, projected, reached_on, rests_on, run_rate, whole_month
from spillway.advise.standing import alerts, calm, is_over
from spillway.advise.words import dollars
from spillway.api import Budget

AVERAGED_MONTHS = 3
"""Full months, the latest, that a measured budget is the average of."""
MONTH_SLACK = timedelta(days=1)
"""A month counts as full if counting began no later than this into it."""


def position(spending: Spending, budget: Budget) -> BudgetPosition:
    """Where the class stands in ``budget``."""
    history = spending.history
    rate = run_rate(history)
    spent = _spent(spending)
    cap = _cap(spending, budget, rate)
    found = BudgetPosition(
        key=spending.key,
        at=spending.at,
        spent=spent,
        alert_share=Decimal(budget.alert_percent) / 100,
        cap=cap,
        used=spent.value / cap.value if cap is not None and cap.value > 0 else None,
        projected=None if rate is None else projected(history, rate, spent),
        reached_on=_reached(history, rate, cap),
        shared=_shared(spending),
        teams=_teams(spending, budget),
        pool=_pool(spending, budget),
        warnings=tuple(_warnings(spending, rate, cap)),
    )
    return _judged(found, rate)


def _judged(found: BudgetPosition, rate: RunRate | None) -> BudgetPosition:
    said = tuple(alerts(found, rate))
    return replace(found, alerts=said, standing=said[0] if said else calm(found, rate))


def _spent(spending: Spending) -> Figure:
    month = spending.history.month
    span = f"{month} to {spending.at.date()} (UTC)"
    hosted = given("hosted", spending.hosted_months.get(month, ZERO), "USD", f"spend ledger, {span}")
    own = given("own GPUs", spending.own_months.get(month, ZERO), "USD", f"share of the GPU bill by work, {span}")
    return computed("spent", hosted.value + own.value, "USD", "hosted + own GPUs", hosted, own)


def _cap(spending: Spending, budget: Budget, rate: RunRate | None) -> Figure | None:
    if budget.monthly_usd is not None:
        source = f"spec.budget.monthlyUsd of WorkloadClass {spending.key}"
        return given("cap", budget.monthly_usd, "USD", source)
    if budget.measured_plus_percent is None:
        return None
    buffer = given(
        "buffer", budget.measured_plus_percent, "%", f"spec.budget.measuredPlusPercent of WorkloadClass {spending.key}"
    )
    measured = _measured(spending.history, rate)
    if measured is None:
        return None
    value = measured.value * (1 + buffer.value / 100)
    found = computed("cap", value, "USD", f"{measured.name} x (1 + buffer / 100)", measured, buffer)
    return replace(found, note=measured.note)


def _measured(history: History, rate: RunRate | None) -> Figure | None:
    """An average month: of full ones, or else of what was measured."""
    full = full_months(history)
    if full:
        parts = [given(f"{month:%Y-%m}", cost, "USD", "spend ledger") for month, cost in full]
        total = sum((part.value for part in parts), ZERO)
        return computed("average month", total / len(parts), "USD", "mean of the full months", *parts)
    if rate is None or rate.days == 0:
        return None
    days = "1 full day" if rate.days == 1 else f"{rate.days} full days"
    note = f"no full month is measured yet: the cap rests on {days} and moves with what is spent"
    return replace(whole_month(history, rate), note=note)


def full_months(history: History) -> tuple[tuple[date, Decimal], ...]:
    """The latest months before this one that were counted from beginning to end, with their dollars."""
    found, month = [], history.month
    for _ in range(AVERAGED_MONTHS):
        month = (month - timedelta(days=1)).replace(day=1)
        begin = datetime(month.year, month.month, 1, tzinfo=UTC)
        if history.since > begin + MONTH_SLACK:
            break
        found.append((month, history.months.get(month, ZERO)))
    return tuple(found)


def _reached(history: History, rate: RunRate | None, cap: Figure | None) -> date | None:
    if rate is None or cap is None or is_over(history.spent, cap.value):
        return None
    return reached_on(history, rate, cap.value)


def _shared(spending: Spending) -> Figure | None:
    if spending.shared <= 0:
        return None
    others = ", ".join(spending.shared_with)
    return given("shared", spending.shared, "USD", f"spend ledger: the egress can't tell it from {others}")


def _teams(spending: Spending, budget: Budget) -> tuple[TeamPosition, ...]:
    """Those with caps first, in their order; then the others by what they cost."""
    caps = {each.team: each.monthly_usd for each in budget.team_caps}
    named = [TeamPosition(team, spending.teams.get(team, ZERO), cap) for team, cap in caps.items()]
    rest = [TeamPosition(team, usd, None) for team, usd in spending.teams.items() if team and team not in caps]
    return (*named, *sorted(rest, key=lambda each: (-each.spent, each.team)))


def _pool(spending: Spending, budget: Budget) -> PoolPosition | None:
    if budget.overflow_pool_usd is None:
        return None
    return PoolPosition(budget.overflow_pool_usd, sum((each.over for each in _teams(spending, budget)), ZERO))


def _warnings(spending: Spending, rate: RunRate | None, cap: Figure | None) -> Iterator[str]:
    if rate is None:
        yield "less than an hour is measured: there is no projection yet"
    elif text := rests_on(rate):
        yield text
    if cap is not None and cap.note:
        yield cap.note
    begin = datetime(spending.at.year, spending.at.month, 1, tzinfo=UTC)
    if spending.since > max(begin, spending.created or begin):
        yield f"counted since {spending.since:%Y-%m-%d %H:%M} UTC only: what came before in this month isn't in it"
    if spending.shared > 0:
        others = ", ".join(spending.shared_with)
        said = f"{dollars(spending.shared)} more may be the class's or that of {others}"
        yield f"{said}: the egress can't tell them apart"
    if not spending.own_known:
        yield "what the class takes of own GPUs is not known, and isn't in it"
    elif spending.unseen_seconds >= 60:
        hours = Decimal(spending.unseen_seconds) / 3600
        yield f"own GPUs are not counted for {hours:.1f} h of this month, for which nothing was measured"
