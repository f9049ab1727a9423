"""Where a month will end, by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from spillway.advise.figures import given
from spillway.advise.runrate import History, days_left, full_days, is_weekend, projected, reached_on, run_rate

SPENT = given("spent", 0, "USD", "the ledger")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def steady(now: datetime, workday: str, weekend: str, since: datetime = LONG_AGO) -> History:
    """Each day before today cost the same as every other of its kind."""
    today = now.date()
    days = {
        day: Decimal(weekend if is_weekend(day) else workday)
        for back in range(1, 40)
        if (day := today - timedelta(days=back)) >= since.date()
    }
    month = today.replace(day=1)
    spent = sum((cost for day, cost in days.items() if day >= month), Decimal(0))
    return History(now, since, days, {month: spent})


def month_end(history: History) -> tuple[Decimal, Decimal, Decimal]:
    rate = run_rate(history)
    assert rate is not None
    found = projected(history, rate, given("spent", history.spent, "USD", "the ledger"))
    assert found.low is not None
    assert found.high is not None
    return found.low, found.value, found.high


def test_workdays_and_weekends_are_told_apart() -> None:
    # Monday 23 November 2026, begun: 6 workdays (23 to 27, 30) and 2 weekend days are left.
    history = steady(at("2026-11-23T00:00"), "10", "1")
    # Before: 15 workdays and 7 weekend days.
    assert history.spent == 157
    assert month_end(history) == (219, 219, 219)


@pytest.mark.parametrize(
    ("now", "workdays", "weekend"),
    [
        ("2026-02-01T00:00", 20, 8),  # 28 days from a Sunday
        ("2028-02-01T00:00", 21, 8),  # a leap year
        ("2026-04-30T00:00", 1, 0),  # the last day, a Thursday
        ("2026-05-31T12:00", 0, 0.5),  # half of a Sunday
        ("2026-12-31T18:00", 0.25, 0),
        ("2026-03-29T00:00", 2, 1),  # clocks change in Europe on that Sunday: a day is a day in UTC
    ],
)
def test_what_is_left_of_a_month(now: str, workdays: float, weekend: float) -> None:
    left = list(days_left(steady(at(now), "1", "1")))
    assert sum(part for day, part in left if not is_weekend(day)) == Decimal(str(workdays))
    assert sum(part for day, part in left if is_weekend(day)) == Decimal(str(weekend))


def test_a_new_month_goes_on_at_the_rate_of_the_last() -> None:
    history = steady(at("2026-12-01T00:00"), "10", "1")
    assert history.spent == 0
    assert month_end(history)[1] == 23 * 10 + 8 * 1


def test_the_band_is_that_of_the_days() -> None:
    # Two weeks of workdays that cost 8 and 12 in turn; weekends nothing.
    now = at("2026-11-30T00:00")
    costs = {date(2026, 11, day): Decimal(8 if day % 2 else 12) for day in range(16, 30)}
    history = History(now, LONG_AGO, {day: cost for day, cost in costs.items() if not is_weekend(day)})
    low, value, high = month_end(history)
    # The 16th to 20th and the 23rd to 27th: 5 of each. A day's variance is 10 x 2^2 / 9; one is left.
    mean = Decimal(10)
    assert value == mean
    half = Decimal("1.2816") * (Decimal(40) / 9 * (1 + Decimal(1) / 10)).sqrt()
    assert (low, high) == (pytest.approx(mean - half), pytest.approx(mean + half))


def test_under_a_week_it_is_wider_and_says_so() -> None:
    now = at("2026-11-20T00:00")  # a Friday, after three full workdays
    history = steady(now, "10", "1", since=at("2026-11-16T15:00"))
    assert full_days(history) == (date(2026, 11, 17), date(2026, 11, 18), date(2026, 11, 19))
    rate = run_rate(history)
    assert rate is not None
    found = projected(history, rate, given("spent", 0, "USD", ""))
    # 7 workdays, and 4 weekend days that were never seen and are taken to be workdays.
    assert found.value == 110
    half = (
        2
        * Decimal("1.2816")
        * (Decimal("2.5") ** 2 * (7 + Decimal(49) / 3) + Decimal(5) ** 2 * (4 + Decimal(16) / 3)).sqrt()
    )
    assert found.high == pytest.approx(110 + half)
    assert found.low == max(0, 110 - half)
    assert found.note == "only 3 full days are measured, less than a week: the band is twice as wide"


def test_a_part_of_a_day_is_a_guess() -> None:
    history = History(
        at("2026-11-28T12:00"),
        at("2026-11-28T06:00"),
        {date(2026, 11, 28): Decimal(5)},
        {date(2026, 11, 1): Decimal(5)},
    )
    # 5 in a quarter of a day: 20 a day for two days and a half.
    assert month_end(history) == (5 + 25, 5 + 50, 5 + 100)
    assert run_rate(History(at("2026-11-28T06:59"), at("2026-11-28T06:00"))) is None


def test_days_without_spending_count() -> None:
    now = at("2026-11-23T00:00")
    history = History(now, LONG_AGO, {date(2026, 11, 20): Decimal(100)})
    rate = run_rate(history)
    assert rate is not None
    assert rate.workday.mean == 10
    assert rate.weekend.mean == 0


def test_when_a_limit_is_reached() -> None:
    history = steady(at("2026-11-23T00:00"), "10", "1")
    rate = run_rate(history)
    assert rate is not None
    assert reached_on(history, rate, Decimal(167)) == date(2026, 11, 23)
    assert reached_on(history, rate, Decimal(208)) == date(2026, 11, 28)  # 5 workdays and a Saturday
    assert reached_on(history, rate, Decimal(219)) == date(2026, 11, 30)
    assert reached_on(history, rate, Decimal(220)) is None
