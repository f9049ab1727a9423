"""Demand: the formula, what inflates it, and what measurements say, with their band."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from advise.plans import declared, figure, measured
from spillway.advise.demand import (
    DemandError,
    declared_demand,
    from_manifest,
    measured_demand,
    projected,
    relative_half_width,
)
from spillway.advise.figures import traced
from spillway.api import DeclaredDemand


def test_the_published_example() -> None:
    demand = declared_demand(declared())
    assert demand.tokens.value == 330_000_000
    assert (demand.input.value, demand.output.value, demand.cached.value) == (198_000_000, 132_000_000, 0)
    assert demand.tasks.value == 6_600
    assert demand.tokens_per_developer_day is not None
    assert demand.tokens_per_developer_day.value == 1_500_000


def test_retries_and_tool_loops_add_to_the_tokens_without_them() -> None:
    demand = declared_demand(declared(retries="0.1", tool_loops="0.3", cached_share="0.5"))
    assert demand.tokens.value == 330_000_000 * Decimal("1.4")
    assert demand.cached.value == demand.input.value / 2
    assert demand.tasks.value == 6_600, "a retried task is one task"
    leaves = {each.name: each.source for _, each in traced(demand.cached) if not each.inputs}
    assert leaves.keys() >= {"developers", "retries", "tool_loops", "cached share of input", "input_share", "workdays"}
    assert leaves["retries"] == "--retries"


@for_all(st.decimals("0", "1", places=3), st.decimals("0", "1", places=3), st.integers(1, 10**6))
def test_parts_add_up(share: Decimal, cached: Decimal, people: int) -> None:
    demand = declared_demand(declared(input_share=str(share), cached_share=str(cached), developers=people))
    assert demand.input.value + demand.output.value == demand.tokens.value
    assert 0 <= demand.cached.value <= demand.input.value


def test_a_manifest_says_the_same_and_where() -> None:
    spec = DeclaredDemand(
        developers=10, tasks_per_developer_day=30, tokens_per_task=50_000, retry_inflation_percent=40,
        cached_input_share_percent=25, monthly_growth_percent=-5,
    )  # fmt: skip
    found = from_manifest(spec, "WorkloadClass a/b")
    demand = declared_demand(found)
    assert demand.tokens.value == 330_000_000 * Decimal("1.4")
    assert (found.cached_share.value, found.growth.value) == (Decimal("0.25"), Decimal("-0.05"))
    assert found.growth.source == "WorkloadClass a/b spec.demand.monthlyGrowthPercent"


def test_a_measured_month_is_the_daily_mean_of_a_mean_month() -> None:
    demand = measured_demand(measured(1_200_000, 10, cached=Decimal("0.3")))
    assert demand.measured
    assert demand.tokens.value == 36_500_000
    assert demand.input.value == 21_900_000
    assert demand.cached_share is not None
    assert demand.cached_share.value == Decimal("0.3")
    assert demand.tasks.value == 36_500
    assert (demand.tokens.low, demand.tokens.high) == (36_500_000, 36_500_000), "every day was the same"


def test_what_nobody_counts_is_not_zero() -> None:
    demand = measured_demand(measured(1_000, 10))
    assert demand.cached_share is None
    assert "not counted" in demand.cached.source


def test_the_band_widens_below_a_week_and_below_two_days() -> None:
    assert relative_half_width(measured(1_000, 7)) == 0
    assert relative_half_width(measured(1_000, 6)) == Decimal("0.5")
    assert relative_half_width(replace(measured(1_000, 6), days=Decimal("6.99"))) == Decimal("0.5")
    assert relative_half_width(measured(1_000, 1)) == 1
    uneven = relative_half_width(measured(1_000, 4, last_day=40_000))
    assert uneven > Decimal("0.5"), "days that differ more than that say so"
    demand = measured_demand(measured(1_000, 4, last_day=40_000))
    assert demand.tokens.low == 0, "never below nothing"


def test_peaks_over_the_mean() -> None:
    demand = measured_demand(replace(measured(1_200, 4, last_day=6_000), busiest_hour_tokens=Decimal(300)))
    assert demand.busiest_day is not None
    assert demand.busiest_hour is not None
    assert (demand.busiest_day.value, demand.busiest_hour.value) == (Decimal("2.5"), 3)
    alone = measured_demand(measured(1_200, 1))
    assert (alone.busiest_day, alone.busiest_hour) == (None, None)


def test_no_time_is_no_measurement() -> None:
    with pytest.raises(DemandError, match="no time"):
        measured_demand(replace(measured(1_000, 2), days=Decimal(0)))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DemandError, match="cannot be: check --developers, --tasks_per_day and --tokens_per_task"):
        declared_demand(declared(developers=10**6, tokens_per_task=10**9))


def test_growth_over_a_year() -> None:
    first = figure("cost", 100, "USD").banded(Decimal(50), Decimal(200))
    months = projected(first, figure("growth", "0.1"))
    assert len(months) == 12
    assert months[0].value == 100
    assert months[2].value == 121
    assert (months[1].low, months[1].high) == (55, 220)
    assert months[11].formula == "cost x (1 + growth a month)^11"
