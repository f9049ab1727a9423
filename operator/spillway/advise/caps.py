"""Where a class stands in its month's budget: cap, spent, projected, teams and their pool. Pure, the same everywhere.

A budget warns and forecasts; a plan's ceilings are what stops spending.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from spillway.advise.figures import Figure, cents, computed, given
from spillway.advise.runrate import (
    WEEK_DAYS,
    ZERO,
    History,
    RunRate,
    projected,
    reached_on,
    rests_on,
    run_rate,
    whole_month,
)
from spillway.api import Budget

AVERAGED_MONTHS = 3
"""Full months, the latest, that a measured budget is the average of."""
MONTH_SLACK = timedelta(days=1)
"""A month counts as full if counting began no later than this into it."""
UNREACHED_SHARE = Decimal("0.5")
"""A budget of which even the upper end of the projection takes less than this is far too large to warn of anything."""


class BudgetReason(StrEnum):
    """Machine reasons."""

    EXCEEDED = "BudgetExceeded"
    POOL_EXHAUSTED = "OverflowPoolExhausted"
    TEAM_EXCEEDED = "TeamCapExceeded"
    ALERT = "BudgetAlert"
    POOL_LOW = "OverflowPoolLow"
    PROJECTED_OVER = "ProjectedOverBudget"
    MAY_BE_OVER = "SharedSpending"
    NOT_MEASURED = "BudgetNotMeasured"
    NEVER_REACHED = "BudgetNeverReached"
    WITHIN = "WithinBudget"


@dataclass(frozen=True, slots=True)
class Spending:
    """What one class has cost. Dollars; days and months of UTC, months by their first day."""

    key: str
    """The class, namespace/name."""
    at: datetime
    since: datetime
    """When counting by class began."""
    created: datetime | None = None
    """When the class was made, if that is known: before it, it cost nothing."""
    hosted_days: Mapping[date, Decimal] = field(default_factory=dict)
    hosted_months: Mapping[date, Decimal] = field(default_factory=dict)
    own_days: Mapping[date, Decimal] = field(default_factory=dict)
    """Its share of the own GPUs' bill."""
    own_months: Mapping[date, Decimal] = field(default_factory=dict)
    own_known: bool = True
    """False: what it takes of own GPUs can't be told."""
    unseen_seconds: int = 0
    """Time of this month for which nobody knows what it took of own GPUs."""
    teams: Mapping[str, Decimal] = field(default_factory=dict)
    """This month's dollars by team; "" for what no team is known of."""
    shared: Decimal = ZERO
    """This month's hosted dollars that may be the class's or another's: in no other figure."""
    shared_with: tuple[str, ...] = ()
    """Whose they may be as well."""

    @property
    def history(self) -> History:
        """Hosted and own together."""
        days, since = _added(self.hosted_days, self.own_days), self.since
        # One of this name may have been there before.
        if self.created is not None and not any(day < self.created.date() for day in days):
            since = max(since, self.created)
        return History(self.at, since, days, _added(self.hosted_months, self.own_months))


@dataclass(frozen=True, slots=True)
class TeamPosition:
    """One team's part of a class."""

    team: str
    spent: Decimal
    cap: Decimal | None
    """None: no cap of its own."""

    @property
    def over(self) -> Decimal:
        """What it is over its cap."""
        return ZERO if self.cap is None else max(ZERO, self.spent - self.cap)


@dataclass(frozen=True, slots=True)
class PoolPosition:
    """What the teams of a class share beyond their caps."""

    size: Decimal
    drawn: Decimal
    """What teams are over their caps, together: more than the pool where it is used up."""

    @property
    def balance(self) -> Decimal:
        """What is left of it."""
        return max(ZERO, self.size - self.drawn)

    @property
    def exhausted(self) -> bool:
        """Whether teams are over their caps by all of it, or more."""
        return self.drawn > 0 and self.drawn >= self.size


@dataclass(frozen=True, slots=True)
class Alert:
    """Why a budget is at risk."""

    reason: BudgetReason
    message: str
    """One sentence with class, dollars and date."""


@dataclass(frozen=True, slots=True)
class BudgetPosition:
    """Where a class stands in its budget."""

    key: str
    at: datetime
    spent: Figure
    """This month, with its hosted and its own part as inputs."""
    alert_share: Decimal
    cap: Figure | None = None
    """None: measured, and nothing is measured yet; or caps of teams alone."""
    used: Decimal | None = None
    """Spent over the cap; None where that has no meaning."""
    projected: Figure | None = None
    """The whole month, with its band; None where too little is measured."""
    reached_on: date | None = None
    """When the cap will be reached as it goes on; None where it won't be this month, or is."""
    shared: Figure | None = None
    teams: tuple[TeamPosition, ...] = ()
    pool: PoolPosition | None = None
    alerts: tuple[Alert, ...] = ()
    """The gravest first; empty: not at risk."""
    standing: Alert = Alert(BudgetReason.WITHIN, "")
    """The gravest alert, or how it stands without one."""
    warnings: tuple[str, ...] = ()
    """What the figures rest on, and what isn't in them."""

    @property
    def at_risk(self) -> bool:
        """Whether anybody should be told."""
        return bool(self.alerts)


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
    alerts = tuple(_alerts(found, rate))
    standing = alerts[0] if alerts else _calm(found, rate)
    return replace(found, alerts=alerts, standing=standing)


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
    if rate is None or cap is None or _is_over(history.spent, cap.value):
        return None
    return reached_on(history, rate, cap.value)


def _is_over(spent: Decimal, cap: Decimal) -> bool:
    """A cap of 0 is over with the first dollar, any other when it is reached."""
    return spent >= cap if cap > 0 else spent > 0


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
        yield f"{usd(spending.shared)} more may be the class's or that of {others}: the egress can't tell them apart"
    if not spending.own_known:
        yield "what the class takes of own GPUs can't be told, and isn't in it"
    elif spending.unseen_seconds >= 60:
        hours = Decimal(spending.unseen_seconds) / 3600
        yield f"own GPUs are not counted for {hours:.1f} h of this month, for which nothing was measured"


def _alerts(found: BudgetPosition, rate: RunRate | None) -> Iterator[Alert]:
    """The gravest first."""
    if found.cap is not None and _is_over(found.spent.value, found.cap.value):
        yield Alert(BudgetReason.EXCEEDED, f"{_so_far(found)}{_goes_on(found)}")
    yield from _team_alerts(found)
    if found.cap is None or _is_over(found.spent.value, found.cap.value):
        return
    alert = found.alert_share * found.cap.value
    if found.cap.value > 0 and found.spent.value >= alert:
        yield Alert(BudgetReason.ALERT, f"{_so_far(found)}{_goes_on(found)}")
    elif found.shared is not None and found.spent.value + found.shared.value >= alert:
        yield Alert(BudgetReason.MAY_BE_OVER, f"{_so_far(found)}, and {usd(found.shared.value)} may be its own or not")
    if _is_projected_over(found, rate):
        yield Alert(BudgetReason.PROJECTED_OVER, f"{_so_far(found)}{_goes_on(found)}")


def _team_alerts(found: BudgetPosition) -> Iterator[Alert]:
    over = [each for each in found.teams if each.over > 0]
    if not over:
        return
    said = ", ".join(f"{each.team} {usd(each.spent)} of {usd(each.cap or ZERO)}" for each in over[:3])
    more = f" and {len(over) - 3} more" if len(over) > 3 else ""
    who = f"class {found.key}: over their caps for {found.at:%Y-%m} on {found.at:%Y-%m-%d}: {said}{more}"
    pool = found.pool
    if pool is None:
        yield Alert(BudgetReason.TEAM_EXCEEDED, f"{who}; there is no overflow pool")
    elif pool.exhausted:
        text = f"the overflow pool of {usd(pool.size)} is used up, {usd(pool.drawn)} are over"
        yield Alert(BudgetReason.POOL_EXHAUSTED, f"{who}; {text}")
    elif pool.drawn >= found.alert_share * pool.size:
        text = f"{usd(pool.balance)} are left of the overflow pool of {usd(pool.size)}"
        yield Alert(BudgetReason.POOL_LOW, f"{who}; {text}")


def _is_projected_over(found: BudgetPosition, rate: RunRate | None) -> bool:
    """Under a week of full days only if even the band's lower end is over."""
    if found.cap is None or found.projected is None or rate is None:
        return False
    value = found.projected.value if rate.days >= WEEK_DAYS else found.projected.low
    return value is not None and value > found.cap.value


def _calm(found: BudgetPosition, rate: RunRate | None) -> Alert:
    if found.cap is None:
        text = f"class {found.key}: {usd(found.spent.value)} spent; no full day is measured yet to take a budget from"
        return Alert(BudgetReason.NOT_MEASURED, text)
    high = None if found.projected is None else found.projected.high
    if rate is not None and rate.days >= WEEK_DAYS and high is not None and high < UNREACHED_SHARE * found.cap.value:
        text = f"{_so_far(found)}; at most {usd(high)} by the month's end: the budget is more than twice that"
        return Alert(BudgetReason.NEVER_REACHED, text)
    return Alert(BudgetReason.WITHIN, f"{_so_far(found)}{_goes_on(found)}")


def _so_far(found: BudgetPosition) -> str:
    cap = ZERO if found.cap is None else found.cap.value
    share = "" if found.used is None else f" ({found.used * 100:.0f}%)"
    return (
        f"class {found.key}: {usd(found.spent.value)}{share} of the budget of {usd(cap)} for {found.at:%Y-%m} spent "
        f"by {found.at:%Y-%m-%d}"
    )


def _goes_on(found: BudgetPosition) -> str:
    if found.projected is None or found.projected.low is None or found.projected.high is None:
        return ""
    band = f"{usd(found.projected.low)} to {usd(found.projected.high)}"
    when = "" if found.reached_on is None else f", reached on {found.reached_on}"
    return f"; as it goes on {usd(found.projected.value)} by the month's end ({band}){when}"


def usd(value: Decimal) -> str:
    """Such as "$1,234.50"."""
    return f"${cents(value):,.2f}"


def _added(one: Mapping[date, Decimal], other: Mapping[date, Decimal]) -> dict[date, Decimal]:
    return {day: one.get(day, ZERO) + other.get(day, ZERO) for day in (*one, *other)}
