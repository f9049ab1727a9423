"""Intervals of the day-block bootstrap: deterministic, paired, and as wide as theory says."""

from __future__ import annotations

import numpy as np
import pytest

from spillway.simulate.bootstrap import cost_interval, day_costs, geometric_mean_ratio_interval, ratio_interval
from spillway.simulate.score import DayScore, SeedScore


def seed_score(days: list[float], miss_usd: float = 0.0) -> SeedScore:
    blocks = tuple(DayScore(86_400.0, 10, 1, day, 0.0, miss_usd) for day in days)
    return SeedScore(
        cost_usd=sum(days), cost_with_misses_usd={}, gpu_cost_usd=sum(days), hosted_cost_usd=0.0, gpu_hours=0.0,
        slo_held=True, slo_attainment=1.0, slo_attainment_by_class={}, spilled_token_share=0.0, scale_ups=0,
        scale_downs=0, direction_changes_per_hour=0.0, deadline_misses=0, decide_ms_p50=0.0, decide_ms_p99=0.0,
        days=blocks,
    )  # fmt: skip


def test_equal_days_leave_no_doubt() -> None:
    costs = day_costs([seed_score([5.0, 5.0])] * 3)
    assert costs.shape == (3, 2)
    assert cost_interval(costs) == (10.0, 10.0)


def test_misses_can_be_charged() -> None:
    assert day_costs([seed_score([1.0, 2.0], miss_usd=0.5)], miss_factor=3).tolist() == [[2.5, 3.5]]


def test_the_interval_is_that_of_the_mean_of_independent_blocks() -> None:
    """21 blocks with standard deviation s: the total of a seed's 7 days has 7*s/sqrt(21); 1.96 of it each side."""
    costs = np.random.default_rng(1).normal(100.0, 10.0, size=(3, 7))
    low, high = cost_interval(costs)
    half = 1.96 * 7 * costs.std() / np.sqrt(21)
    assert (low + high) / 2 == pytest.approx(7 * costs.mean(), rel=0.01)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_what_is_common_to_a_day_cancels_out_of_a_ratio() -> None:
    days = np.random.default_rng(2).lognormal(4.0, 1.0, size=(3, 7))
    low, high = ratio_interval(0.8 * days, days)
    assert low == pytest.approx(0.8)
    assert high == pytest.approx(0.8)
    low, high = ratio_interval(0.8 * days, days[::-1, ::-1].copy())
    assert high - low > 0.2


def test_the_same_blocks_give_the_same_interval() -> None:
    costs, other = np.random.default_rng(3).lognormal(3.0, 0.5, size=(2, 3, 7))
    assert cost_interval(costs) == cost_interval(costs)
    assert ratio_interval(costs, other) == ratio_interval(costs, other)


def test_geometric_mean_over_scenarios() -> None:
    ones = np.ones((3, 7))
    assert geometric_mean_ratio_interval([(2 * ones, ones), (ones, 2 * ones)]) == pytest.approx((1.0, 1.0))
    costs, other = np.random.default_rng(4).lognormal(3.0, 0.5, size=(2, 3, 7))
    assert geometric_mean_ratio_interval([(costs, other)]) == pytest.approx(ratio_interval(costs, other))


def test_a_reference_that_costs_nothing_is_infinitely_cheaper() -> None:
    assert ratio_interval(np.ones((1, 2)), np.zeros((1, 2))) == (np.inf, np.inf)


def test_unpaired_days_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(3, 7\) and \(3, 6\)"):
        ratio_interval(np.ones((3, 7)), np.ones((3, 6)))
    with pytest.raises(ValueError, match="same number of days"):
        day_costs([seed_score([1.0]), seed_score([1.0, 2.0])])
    with pytest.raises(ValueError, match="one scenario or more"):
        geometric_mean_ratio_interval([])
