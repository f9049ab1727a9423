"""Results are found again for the same array only."""

from __future__ import annotations

import numpy as np

from spillway.decide.recalled import Floats, recalled


def test_the_same_array_and_values_are_worked_on_once() -> None:
    calls: list[float] = []

    @recalled(2)
    def total(values: Floats, factor: float) -> float:
        calls.append(factor)
        return float(values.sum()) * factor

    one, other = np.ones(3), np.ones(3)
    assert [total(one, 1.0), total(one, 1.0), total(one, 2.0)] == [3.0, 3.0, 6.0]
    assert calls == [1.0, 2.0]
    total(other, 1.0)
    assert calls == [1.0, 2.0, 1.0]


def test_the_oldest_are_forgotten() -> None:
    calls: list[Floats] = []

    @recalled(2)
    def noted(values: Floats) -> int:
        calls.append(values)
        return len(calls)

    arrays = [np.full(1, float(i)) for i in range(3)]
    assert [noted(a) for a in arrays] == [1, 2, 3]
    assert noted(arrays[2]) == 3
    assert noted(arrays[0]) == 4


def test_an_array_that_is_gone_is_not_taken_for_a_new_one_at_its_place() -> None:
    @recalled(4)
    def first(values: Floats) -> float:
        return float(values[0])

    assert [first(np.full(1, float(i))) for i in range(20)] == [float(i) for i in range(20)]
