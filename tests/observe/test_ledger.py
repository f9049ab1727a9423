"""The spend ledger: every token once, whatever restarts, at the price of its lane."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.decide.snapshot import TokenPrice
from spillway.observe.ledger import (
    KEPT,
    MOST_SERIES,
    SERIES_KEPT_SECONDS,
    Counted,
    Ledger,
    LedgerError,
    entered,
    from_text,
    opened,
    spent,
    to_text,
    uncounted,
)

NOW = datetime(2026, 3, 31, 22, 59, 0, tzinfo=UTC).timestamp()
PRICE = TokenPrice(Decimal("2"), Decimal("0.5"), Decimal("8"), "contract")
LANE = "ai/hosted"


def counts(
    input_tokens: float, output_tokens: float = 0.0, cached: float = 0.0, series: str = "a", *tiers: str
) -> Counted:
    tokens = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cached_tokens": cached}
    return Counted(series, LANE, tiers, tokens, PRICE)


def begun(*counted: Counted) -> Ledger:
    return opened(counted or [counts(0.0)], NOW)


def usd(ledger: Ledger, now: float = NOW) -> tuple[float, float, float]:
    found = spent(ledger, [LANE], now)
    return found.hour_usd, found.day_usd, found.month_usd


def test_tokens_at_their_prices() -> None:
    ledger = entered(begun(), [counts(1_000_000, 500_000, cached=400_000)], NOW)
    # 600,000 at $2, 400,000 cached at $0.50, 500,000 out at $8, each per million.
    assert usd(ledger) == pytest.approx((5.4, 5.4, 5.4))


def test_what_the_counters_showed_before_is_nobodys() -> None:
    assert usd(begun(counts(9e9))) == (0.0, 0.0, 0.0)
    assert usd(entered(begun(counts(9e9)), [counts(9e9 + 1_000_000)], NOW)) == pytest.approx((2.0, 2.0, 2.0))


def test_while_nothing_counts_the_rest_is_kept() -> None:
    ledger = entered(begun(), [counts(1_000_000)], NOW)
    blind = uncounted(ledger, NOW + 10)
    assert from_text(to_text(blind)) == blind
    assert not blind.counting
    again = opened([counts(9_000_000)], NOW + 20, blind)
    assert usd(entered(again, [counts(10_000_000)], NOW + 30), NOW + 30)[2] == pytest.approx(4.0)


def test_a_counter_that_falls_began_anew_and_a_new_one_at_zero() -> None:
    ledger = entered(begun(counts(5_000_000)), [counts(1_000_000)], NOW)
    assert usd(ledger)[0] == pytest.approx(2.0)
    ledger = entered(ledger, [counts(1_000_000), counts(3_000_000, series="b")], NOW + 1)
    assert usd(ledger)[0] == pytest.approx(8.0)


def test_a_restart_loses_nothing() -> None:
    """What was counted while nobody looked is entered at the next look, and nothing twice."""
    ledger = entered(begun(), [counts(1_000_000)], NOW)
    back = from_text(to_text(ledger))
    assert back == ledger
    late = entered(back, [counts(4_000_000)], NOW + 30)
    assert usd(late, NOW + 30) == pytest.approx((8.0, 8.0, 8.0))
    assert entered(late, [counts(4_000_000)], NOW + 31).amounts == late.amounts


def test_hours_days_and_months_end() -> None:
    ledger = entered(begun(), [counts(1_000_000)], NOW)  # 22:59 on the last day of March
    ledger = entered(ledger, [counts(2_000_000)], NOW + 60)
    assert usd(ledger, NOW + 60) == pytest.approx((2.0, 4.0, 4.0))
    april = entered(ledger, [counts(3_000_000)], NOW + 3660)
    assert usd(april, NOW + 3660) == pytest.approx((2.0, 2.0, 2.0))
    assert usd(april, NOW + 7260) == pytest.approx((0.0, 2.0, 2.0))


def test_old_periods_and_series_are_dropped() -> None:
    ledger = begun()
    for hour in range(100):
        at = NOW + 3600.0 * hour
        ledger = entered(ledger, [counts(1_000_000.0 * (hour + 1))], at)
    assert {kind: len(periods) for kind, periods in ledger.amounts.items()} == {
        "hour": KEPT["hour"],
        "day": 6,
        "month": 2,
    }
    gone = entered(ledger, [], ledger.at + SERIES_KEPT_SECONDS + 1)
    assert gone.seen == {}
    many = entered(begun(), [counts(1.0, series=f"s{i:05}") for i in range(MOST_SERIES + 50)], NOW)
    assert len(many.seen) == MOST_SERIES


def test_by_lane_and_by_tier() -> None:
    other = replace(counts(3_000_000, series="x"), lane="ai/other")
    ledger = entered(
        begun(), [counts(1_000_000, 0, 0, "g", "Gold"), counts(2_000_000, 0, 0, "b", "Gold", "Low"), other], NOW
    )
    found = spent(ledger, [LANE], NOW)
    assert found.hour_usd == pytest.approx(6.0)
    # What may be either's counts against both.
    assert found.tier_hour_usd == pytest.approx({"Gold": 6.0, "Low": 4.0})
    assert spent(ledger, [LANE, "ai/other"], NOW).day_usd == pytest.approx(12.0)


def test_a_lane_without_a_price_counts_nothing_but_is_followed() -> None:
    free = replace(counts(5_000_000), price=None)
    ledger = entered(begun(), [free], NOW)
    assert usd(ledger)[0] == 0.0
    assert usd(entered(ledger, [counts(6_000_000)], NOW))[0] == pytest.approx(2.0)


@given(st.lists(st.tuples(st.floats(0, 1e7), st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_every_token_once_whatever_restarts(steps: list[tuple[float, bool, bool]]) -> None:
    """Growth, restarts of the egress (its counter begins anew) and of the operator (the ledger is read back)."""
    ledger, counter, total = begun(), 0.0, 0.0
    for number, (growth, egress_restarts, operator_restarts) in enumerate(steps):
        # A restart shows where the counter is below what it was.
        if egress_restarts and growth < counter:
            counter = 0.0
        counter += growth
        total += growth
        ledger = entered(ledger, [counts(counter)], NOW + number % 59)
        if operator_restarts:
            ledger = from_text(to_text(ledger))
    assert usd(ledger)[2] == pytest.approx(2.0 * total / 1e6, abs=1e-6 * (len(steps) + 1))


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "{}", '{"version":1}', '{"version":1,"since":0,"at":0,"seen":[],"microUsd":{}}']
)
def test_what_is_no_ledger(text: str) -> None:
    with pytest.raises(LedgerError, match="not a ledger"):
        from_text(text)


def test_a_later_version_is_not_touched() -> None:
    with pytest.raises(LedgerError, match="version 2, this operator reads 1"):
        from_text('{"version": 2}')
