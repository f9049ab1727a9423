"""Long-run goals as prices."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.decide.allocation.prices import (
    BURN_BOUNDS,
    DAY_SECONDS,
    MULTIPLIER_BOUNDS,
    PACING_MOST,
    MissPrice,
    pacing_factor,
)

number = st.floats(0, 1e9)


def day(price: MissPrice, miss_share: float, requests: float = 1e5, hours: int = 24) -> MissPrice:
    for _ in range(hours):
        price = price.after(requests / 24, requests / 24 * miss_share, DAY_SECONDS / 24, 0.99)
    return price


def test_on_budget_the_price_stays() -> None:
    price = MissPrice()
    assert price.usd(0.002, 0.99) == pytest.approx(0.002)
    assert day(price, 0.01).usd(0.002, 0.99) == pytest.approx(0.002, rel=1e-6)


def test_overspending_raises_and_thrift_lowers() -> None:
    over, under = day(MissPrice(), 0.03), day(MissPrice(), 0.0)
    assert over.usd(1.0, 0.99) > 5
    assert under.usd(1.0, 0.99) < 0.5
    assert day(over, 0.0).usd(1.0, 0.99) < over.usd(1.0, 0.99)


def test_it_settles_where_misses_answer_to_the_price() -> None:
    """A plant whose misses fall with the price ends on budget: the integral leaves no lasting error."""
    price, shares = MissPrice(), []
    for _ in range(24 * 12):
        share = min(1.0, 0.04 / price.usd(1.0, 0.99))
        shares.append(share)
        price = price.after(1e5 / 24, 1e5 / 24 * share, DAY_SECONDS / 24, 0.99)
    assert sum(shares[-24:]) / 24 == pytest.approx(0.01, rel=0.05)


def test_first_miss_of_a_quiet_class_says_little() -> None:
    assert MissPrice().after(10, 1, 60, 0.99).usd(1.0, 0.99) < 2


@given(st.lists(st.tuples(number, number, st.floats(-10, 1e7)), max_size=8), st.floats(0, 1))
def test_bounded_and_restored_from_json(steps: list[tuple[float, float, float]], attainment: float) -> None:
    price = MissPrice()
    for requests, misses, seconds in steps:
        price = price.after(requests, misses, seconds, attainment)
    usd = price.usd(1.0, attainment)
    assert MULTIPLIER_BOUNDS[0] * BURN_BOUNDS[0] * 0.999 <= usd <= MULTIPLIER_BOUNDS[1] * BURN_BOUNDS[1] * 1.001
    assert MissPrice.from_json(json.loads(json.dumps(price.as_json()))) == price


@pytest.mark.parametrize("bad", [None, 3, [], {"log_multiplier": "x"}, {"requests": math.nan}, {"misses": -1}])
def test_bad_json_is_a_fresh_start(bad: object) -> None:
    assert MissPrice.from_json(bad) == MissPrice()


def test_pacing() -> None:
    assert pacing_factor(500, 1000, 0.5) == pytest.approx(1.0)
    assert pacing_factor(100, 1000, 0.5) == 1.0
    assert pacing_factor(800, 1000, 0.5) == pytest.approx((0.8 + 1 / 30) / (0.5 + 1 / 30) / (0.2 / 0.5))
    assert pacing_factor(1000, 1000, 0.9) == PACING_MOST
    assert pacing_factor(10, 1000, 0.001) < 1.3
    assert pacing_factor(0, 0, 0.5) == PACING_MOST
    assert pacing_factor(1e6, math.inf, 0.5) == 1.0


@given(st.floats(0, 2e3), st.floats(0, 2e3), st.floats(0, 1))
def test_pacing_grows_with_spending(low: float, more: float, elapsed: float) -> None:
    assert 1 <= pacing_factor(low, 1000, elapsed) <= pacing_factor(low + more, 1000, elapsed) <= PACING_MOST
