"""Windows over pieces against looking at each piece."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spillway.simulate.bound.grid import Grid, Reach

PIECES = Grid(np.array([0.0, 10.0, 20.0, 35.0, 40.0, 100.0]), np.ones(5))
moments = st.one_of(st.floats(0.0, 120.0), st.sampled_from([0.0, 10.0, 100.0]))


@given(
    st.lists(st.tuples(moments, st.one_of(st.floats(0.0, 120.0), st.just(math.inf))), max_size=8),
    st.lists(st.integers(0, 9), min_size=6, max_size=6),
)
def test_the_least_price_over_a_window_is_that_of_its_pieces(
    windows: list[tuple[float, float]], prices: list[int]
) -> None:
    start = np.array([begin for begin, _ in windows])
    until = np.array([begin + length for begin, length in windows])
    first, last = PIECES.piece(start), PIECES.piece(until)
    found = Reach.of(PIECES, first, until).lowest(np.array(prices, dtype=np.float64))
    assert found.tolist() == [min(prices[a : b + 1]) for a, b in zip(first, last, strict=True)]
