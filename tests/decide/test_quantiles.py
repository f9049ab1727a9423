"""Against numpy: not one digit may differ, since decisions are replayed byte by byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spillway.decide.quantiles import median, quantiles

few = arrays(np.float64, st.integers(1, 140), elements=st.floats(0.0, 1e12, allow_subnormal=False))


@given(few, st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4))
def test_quantiles_are_those_of_numpy(values: np.ndarray, probabilities: list[float]) -> None:
    assert quantiles(values, *probabilities) == np.quantile(values, probabilities).tolist()


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.8, 0.9, 0.99, 1.0])
@given(few)
def test_so_are_those_in_use(probability: float, values: np.ndarray) -> None:
    assert quantiles(values, probability) == [float(np.quantile(values, probability))]


@given(few)
def test_the_median_is_that_of_numpy(values: np.ndarray) -> None:
    assert median(values) == float(np.median(values))


def test_a_gap_makes_them_unknown() -> None:
    values = np.array([1.0, np.nan, 2.0])
    assert np.isnan(quantiles(values, 0.1, 0.5)).all()
    assert np.isnan(median(values))
