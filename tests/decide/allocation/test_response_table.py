"""What is left of an offered load, looked up for all replicas or for some."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spillway.decide.allocation.problem import Response

GRID = Response(
    np.arange(4.0), np.array([0.0, 1.0, 3.0]),
    np.array([[0.0, 1.0, 3.0], [0.0, 0.4, 2.1], [0.0, 0.1, 1.2], [0.0, 0.05, 0.5]]),
)  # fmt: skip


@given(st.lists(st.floats(0.0, 5.0), max_size=5), st.integers(0, 8), st.data())
def test_some_replicas_are_a_part_of_all(loads: list[float], most: int, data: st.DataObject) -> None:
    least = data.draw(st.integers(0, most))
    load = np.array(loads)
    assert np.array_equal(GRID.table(load, most, least), GRID.table(load, most)[:, least:])


def test_between_and_beyond_the_grid() -> None:
    table = GRID.table(np.array([2.0, 4.0]), 5)
    assert table[0, :4].tolist() == [2.0, 1.25, 0.65, 0.275]
    assert table[1, :4].tolist() == [4.0, 3.1, 2.2, 1.5]
    assert np.allclose(table[1, 4:], 1.5 * np.array([1.5 / 2.2, (1.5 / 2.2) ** 2]))
    assert GRID.left_at(1, 2.0) == 1.25
