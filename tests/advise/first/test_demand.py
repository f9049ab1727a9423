"""What is said of measured traffic, and which SLO is suggested by it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from advise.first.worlds import LATENCY, counted
from spillway.advise.first.demand import suggest, tokens_per_month, told
from spillway.advise.first.facts import Latency


def test_a_month_is_the_measured_rate_times_30_4_days_with_its_trace() -> None:
    month = tokens_per_month(counted(days=10))
    assert month is not None
    assert month.value == round(Decimal(2 * 1200 * 86_400) * Decimal("30.4"))
    assert (month.low, month.high) == (round(month.value * Decimal("0.8")), round(month.value * Decimal("1.2")))
    assert [figure.name for figure in month.inputs] == ["input tokens", "output tokens", "days measured"]
    assert month.formula


def test_less_than_a_week_widens_the_band_and_says_so() -> None:
    week, short = tokens_per_month(counted(days=7)), tokens_per_month(counted(days=3))
    assert week is not None
    assert short is not None
    assert week.low is not None
    assert short.low is not None
    assert week.low / week.value > short.low / short.value
    assert any("Less than a week (3.0 days)" in line for line in told(counted(days=3)))
    assert not any("Less than a week" in line for line in told(counted(days=7)))


def test_less_than_a_day_tells_no_month() -> None:
    few = counted(days=0.2)
    assert tokens_per_month(few) is None
    said = " ".join(told(few))
    assert "nor a whole day, so that no month is told" in said
    assert "83% of them input (25% of it from the prefix cache)" in said


def test_requests_without_tokens_and_nothing_at_all() -> None:
    bare = counted(input_tokens=None, output_tokens=None, cached_tokens=None)
    assert tokens_per_month(bare) is None
    assert len(told(bare)) == 1
    assert "1,728,000 requests, 2/s in the mean, 8/s in the busiest minutes" in told(bare)[0]
    assert told(None) == told(counted(requests=0.0))
    assert told(None)[0].startswith("Measured: nothing.")


def test_the_slo_has_room_over_the_worst_workload() -> None:
    slo = suggest([Latency(0.2, 0.3, 0.01, 0.02), LATENCY], "histograms")
    # 410 ms x 1.5 = 615, 31 ms x 1.5 = 46.5, rounded up to two digits.
    assert (slo.ttft_ms, slo.itl_ms, slo.attainment) == (620, 47, "99")
    assert [figure.value for figure in slo.figures] == [620, 47]
    assert slo.figures[0].inputs[0].source == "histograms"


def test_a_tail_beyond_it_asks_for_less() -> None:
    assert suggest([Latency(0.41, 0.7, 0.031, 0.04)], "h").attainment == "95"
    assert suggest([Latency(0.41, None, 0.031, 0.04)], "h").attainment == "95"


@pytest.mark.parametrize(
    ("latency", "said"),
    [
        (Latency(), "not known: nothing measured"),
        (Latency(0.4, 0.5, None, None), "not known: nothing measured"),
        (Latency(19.0, 40.0, 0.01, 0.02), "a queue rather than a wish"),
        (Latency(0.4, 0.5, 0.6, 0.9), "a queue rather than a wish"),
    ],
)
def test_nothing_measured_or_a_queue_is_a_marked_default(latency: Latency, said: str) -> None:
    slo = suggest([latency], "histograms")
    assert (slo.ttft_ms, slo.itl_ms, slo.figures) == (2000, 100, ())
    assert said in slo.why
    assert "not known" in slo.why
