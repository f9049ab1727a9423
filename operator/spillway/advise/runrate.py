"""Where a month will end: a day's cost by kind of day, over the days that are left, with a band. Pure; all in UTC.

The method, in full: the full days of the last two weeks are parted into workdays (Monday to Friday) and weekend days,
and what is left of the month costs their means. The band is the normal 80% one of a sum of independent days around a
mean that was itself measured over few of them: z x sqrt(sum over both kinds of s^2 x (n + n^2 / m)), with n days left,
m days measured and s the standard deviation of a day. Under a week of full days it is twice as wide. No trend, no
holidays, and days aren't independent: the band is an estimate as well.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from spillway.advise.figures import Figure, computed, given

WINDOW_DAYS = 14
"""Full days that a rate rests on, at most: two of each weekday."""
WEEK_DAYS = 7
"""Fewer full days than this say little: the band is wider, and the answer says so."""
Z = Decimal("1.2816")
"""Of the normal distribution: 80% lie within."""
EARLY_FACTOR = 2
"""The band is so many times wider under a week of full days."""
FLOOR = Decimal("0.25")
"""Least standard deviation of a day, as a share of its mean, under a week or where a kind was seen once."""
UNSEEN_FLOOR = Decimal("0.5")
"""The same for a kind of day that was never seen and is taken to be as the other."""
LEAST_SECONDS = 3600
"""Less than this says nothing of a month."""
ZERO = Decimal(0)
DAY_SECONDS = Decimal(86_400)


@dataclass(frozen=True, slots=True)
class History:
    """What something has cost, in US dollars."""

    at: datetime
    """Now, in UTC."""
    since: datetime
    """When counting began; before it nothing is known, and after it a day that isn't there cost nothing."""
    days: Mapping[date, Decimal] = field(default_factory=dict)
    """The running day among them."""
    months: Mapping[date, Decimal] = field(default_factory=dict)
    """By their first day, the running month among them."""

    @property
    def month(self) -> date:
        """First day of the running month."""
        return self.at.date().replace(day=1)

    @property
    def last_day(self) -> date:
        """Last day of the running month."""
        return self.month.replace(day=calendar.monthrange(self.month.year, self.month.month)[1])

    @property
    def spent(self) -> Decimal:
        """In the running month."""
        return self.months.get(self.month, ZERO)


@dataclass(frozen=True, slots=True)
class DayRate:
    """What one kind of day costs."""

    mean: Decimal
    spread: Decimal
    """Standard deviation of a day."""
    days: int
    """Full days of that kind that were measured."""


@dataclass(frozen=True, slots=True)
class RunRate:
    """What days cost now, US dollars."""

    workday: DayRate
    weekend: DayRate
    days: int
    """Full days measured. 0: from a part of a day."""

    def of(self, day: date) -> DayRate:
        """Of the kind that ``day`` is."""
        return self.weekend if is_weekend(day) else self.workday


def is_weekend(day: date) -> bool:
    """Saturday or Sunday."""
    return day.weekday() >= calendar.SATURDAY


def full_days(history: History) -> tuple[date, ...]:
    """Days that were counted from beginning to end, of the last two weeks."""
    today = history.at.date()
    found = (today - timedelta(days=back) for back in range(WINDOW_DAYS, 0, -1))
    return tuple(day for day in found if _begin(day) >= history.since)


def run_rate(history: History) -> RunRate | None:
    """What days cost now; None where less than an hour was counted."""
    days = full_days(history)
    if not days:
        return _first_rate(history)
    costs = {day: history.days.get(day, ZERO) for day in days}
    work = [cost for day, cost in costs.items() if not is_weekend(day)]
    weekend = [cost for day, cost in costs.items() if is_weekend(day)]
    early = len(days) < WEEK_DAYS
    return RunRate(_rate(work, weekend, early), _rate(weekend, work, early), len(days))


def _first_rate(history: History) -> RunRate | None:
    counted = Decimal(str((history.at - history.since).total_seconds()))
    if counted < LEAST_SECONDS:
        return None
    cost = sum((cost for day, cost in history.days.items() if day >= history.since.date()), ZERO)
    rate = DayRate(cost * DAY_SECONDS / counted, ZERO, 0)
    return RunRate(rate, rate, 0)


def _rate(costs: list[Decimal], other: list[Decimal], early: bool) -> DayRate:
    if not costs:
        mean = sum(other, ZERO) / len(other)
        return DayRate(mean, max(_deviation(other, mean), UNSEEN_FLOOR * mean), len(other))
    mean = sum(costs, ZERO) / len(costs)
    floor = FLOOR * mean if early or len(costs) == 1 else ZERO
    return DayRate(mean, max(_deviation(costs, mean), floor), len(costs))


def _deviation(costs: list[Decimal], mean: Decimal) -> Decimal:
    if len(costs) < 2:
        return ZERO
    return (sum(((cost - mean) ** 2 for cost in costs), ZERO) / (len(costs) - 1)).sqrt()


def days_left(history: History) -> Iterator[tuple[date, Decimal]]:
    """The running day and those after it to the month's end, each with the part of it that is still to come."""
    today = history.at.date()
    gone = Decimal(str((history.at - _begin(today)).total_seconds())) / DAY_SECONDS
    yield today, 1 - gone
    for ahead in range(1, (history.last_day - today).days + 1):
        yield today + timedelta(days=ahead), Decimal(1)


def projected(history: History, rate: RunRate, spent: Figure) -> Figure:
    """The cost of the whole running month, in US dollars, with its band; ``spent``: what is spent of it."""
    left = {False: ZERO, True: ZERO}
    for day, part in days_left(history):
        left[is_weekend(day)] += part
    rest, variance = ZERO, ZERO
    for count, kind in ((left[False], rate.workday), (left[True], rate.weekend)):
        rest += count * kind.mean
        variance += kind.spread**2 * (count + count**2 / max(kind.days, 1))
    half = Z * variance.sqrt() * (EARLY_FACTOR if rate.days < WEEK_DAYS else 1)
    low, high = (rest / 2, rest * 2) if rate.days == 0 else (max(ZERO, rest - half), rest + half)
    return Figure(
        name="projected month",
        value=spent.value + rest,
        unit="USD",
        formula="spent + workdays left x cost of a workday + weekend days left x cost of a weekend day",
        inputs=(spent, *_inputs(rate, left)),
        low=spent.value + low,
        high=spent.value + high,
        note=rests_on(rate),
    )


def _inputs(rate: RunRate, left: Mapping[bool, Decimal]) -> tuple[Figure, ...]:
    source = f"means of the last {rate.days} full days (UTC)" if rate.days else "what was spent of a day, over its part"
    return (
        given("workdays left", left[False], "days", "calendar (UTC)"),
        given("cost of a workday", rate.workday.mean, "USD", source),
        given("weekend days left", left[True], "days", "calendar (UTC)"),
        given("cost of a weekend day", rate.weekend.mean, "USD", source),
    )


def rests_on(rate: RunRate) -> str:
    """What to know of a rate; empty with a week of full days."""
    if rate.days >= WEEK_DAYS:
        return ""
    if rate.days == 0:
        return "less than a full day is measured: the projection is a guess from half to twice the rest"
    count = "1 full day is" if rate.days == 1 else f"{rate.days} full days are"
    return f"only {count} measured, less than a week: the band is twice as wide"


def whole_month(history: History, rate: RunRate) -> Figure:
    """What all days of the running month cost at this rate, in US dollars."""
    count = (history.last_day - history.month).days + 1
    weekend = sum(is_weekend(history.month + timedelta(days=ahead)) for ahead in range(count))
    days = {False: Decimal(count - weekend), True: Decimal(weekend)}
    workday, at_weekend = rate.workday.mean, rate.weekend.mean
    text = "workdays of the month x cost of a workday + weekend days of the month x cost of a weekend day"
    source = f"means of the last {rate.days} full days (UTC)"
    return computed(
        "a month at the present rate", days[False] * workday + days[True] * at_weekend, "USD", text,
        given("workdays of the month", days[False], "days", "calendar (UTC)"),
        given("cost of a workday", workday, "USD", source),
        given("weekend days of the month", days[True], "days", "calendar (UTC)"),
        given("cost of a weekend day", at_weekend, "USD", source),
    )  # fmt: skip


def reached_on(history: History, rate: RunRate, limit: Decimal) -> date | None:
    """The day of this month on which what is spent comes to ``limit``, as it goes on; None where it doesn't."""
    total = history.spent
    for day, part in days_left(history):
        total += part * rate.of(day).mean
        if total >= limit:
            return day
    return None


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
