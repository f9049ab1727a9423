"""A choice as a slice picks what it picked before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.simulate.selection import chosen


@given(st.lists(st.booleans(), max_size=12))
def test_what_is_chosen_stays_the_same(which: list[bool]) -> None:
    mask = np.array(which, dtype=np.bool_)
    values = np.arange(len(which))
    assert values[chosen(mask)].tolist() == values[mask].tolist()


@pytest.mark.parametrize("which", [[], [False, False], [True, True], [False, True, True, False]])
def test_a_stretch_is_a_slice(which: list[bool]) -> None:
    assert isinstance(chosen(np.array(which, dtype=np.bool_)), slice)
