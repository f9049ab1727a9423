"""Totals by class out of a history: gaps are no time, and days are whole ones."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from spillway.observe.consumption import measured_by_class
from spillway.observe.history import Values
from spillway.observe.past import Past, PastDemand

START = datetime(2026, 11, 2, tzinfo=UTC).timestamp()
BINS = 3 * 288


def constant(value: float) -> Values:
    return np.full(BINS, value, dtype=np.float32)


def past(**classes: PastDemand) -> Past:
    return Past(START, 300.0, classes, {})


def test_totals_days_and_source() -> None:
    found = measured_by_class(past(a=PastDemand(constant(10), constant(6000), constant(4000), constant(600))), "P")["a"]
    assert (found.days, found.requests) == (3, 10 * BINS)
    assert (found.input_tokens, found.output_tokens, found.cached_tokens) == (6000 * BINS, 4000 * BINS, 600 * BINS)
    assert found.daily_tokens == (2_880_000,) * 3
    assert found.source == "P, 2026-11-02 00:00 to 2026-11-05 00:00 UTC"


def test_a_gap_is_no_time_and_its_day_no_day() -> None:
    requests = constant(10)
    requests[100:200] = np.nan
    requests[288 + 5] = np.nan
    found = measured_by_class(past(a=PastDemand(requests, constant(6000), constant(4000))), "P")["a"]
    assert found.days == Decimal((BINS - 101) * 300) / 86_400
    assert found.cached_tokens is None
    assert len(found.daily_tokens) == 2
    assert [int(day) for day in found.daily_tokens] == pytest.approx([2_880_000] * 2, rel=1e-6)


def test_the_busiest_hour_is_a_whole_one() -> None:
    tokens = constant(10)
    tokens[24:36] = 50
    tokens[40] = 10_000
    requests = constant(1)
    requests[37:40] = np.nan
    found = measured_by_class(past(a=PastDemand(requests, tokens, constant(0))), "P")["a"]
    assert found.busiest_hour_tokens == 600, "the hour of the peak has gaps"


def test_a_class_of_which_nothing_is_known_is_left_out() -> None:
    assert measured_by_class(past(a=PastDemand(constant(np.nan), constant(1), constant(1))), "P") == {}
