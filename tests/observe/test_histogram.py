"""Shares of requests within a bound, from buckets of any bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.observe.histogram import rate_within, share_within

BUCKETS = ((0.1, 2.0), (0.5, 6.0), (1.0, 10.0), (math.inf, 12.0))


@pytest.mark.parametrize(
    ("bound", "within"),
    [
        (0.05, 1.0),  # half of the first bucket, which starts at 0
        (0.1, 2.0),
        (0.3, 4.0),  # the middle of a bucket
        (1.0, 10.0),
        (5.0, 10.0),  # above the last finite bound nothing is known: not within
        (0.0, 0.0),
    ],
)
def test_it_interpolates_between_any_bounds(bound: float, within: float) -> None:
    assert rate_within(BUCKETS, bound) == pytest.approx((within, 12.0))


def test_no_observation_is_no_share() -> None:
    assert rate_within(((0.1, 0.0), (math.inf, 0.0)), 0.1) is None
    assert rate_within((), 0.1) is None
    assert share_within([], 0.1) is None


def test_pods_weigh_by_their_requests_even_with_different_bounds() -> None:
    fast = ((0.2, 9.0), (math.inf, 9.0))
    slow = ((0.1, 0.0), (3.0, 1.0), (math.inf, 1.0))
    assert share_within([fast, slow], 0.2) == pytest.approx((9 + 0.1 / 2.9) / 10)


def test_rounding_out_of_order_does_no_harm() -> None:
    assert rate_within(((0.1, 1.0), (0.2, 0.9999), (math.inf, 1.0)), 0.2) == (1.0, 1.0)


@given(
    steps=st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 50)), min_size=1, max_size=12),
    bounds=st.tuples(st.floats(0, 100), st.floats(0, 100)),
)
def test_a_share_grows_with_its_bound_and_stays_a_share(
    steps: list[tuple[float, float]], bounds: tuple[float, float]
) -> None:
    buckets, bound, total = [], 0.0, 0.0
    for width, rate in steps:
        bound, total = bound + width, total + rate
        buckets.append((bound, total))
    buckets.append((math.inf, total))
    low, high = (share_within([buckets], each) for each in sorted(bounds))
    if low is None or high is None:
        assert total == 0
    else:
        assert 0 <= low <= high + 1e-9 <= 1 + 2e-9
