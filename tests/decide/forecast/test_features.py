"""Means over windows of slots, against interpolation by numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spillway.decide.forecast.features import LEAST, Cumulated

slots = st.lists(st.one_of(st.floats(0.0, 1e6), st.just(float("nan"))), max_size=20)
positions = st.one_of(st.floats(-5.0, 25.0), st.integers(-2, 22).map(float))


@given(slots, st.lists(st.tuples(positions, positions), min_size=1, max_size=6))
def test_a_mean_between_two_positions_is_by_straight_lines(
    values: list[float], windows: list[tuple[float, float]]
) -> None:
    series, ends = np.array(values, dtype=np.float64), np.array(windows)
    known = np.isfinite(series)
    grid = np.arange(series.size + 1)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, series, 0.0))))
    counts = np.concatenate(([0.0], np.cumsum(known)))
    total, number = (np.diff(np.interp(ends, grid, upto), axis=1)[:, 0] for upto in (sums, counts))
    expected = np.where(number > LEAST, np.maximum(total, 0.0) / np.maximum(number, LEAST), np.nan)
    found = Cumulated(series).mean(ends[:, 0], ends[:, 1])
    assert np.array_equal(found, expected, equal_nan=True)
