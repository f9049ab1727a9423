"""Shares and weights."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillway.api import LatencyClass
from spillway.decide.eligibility import Outlet
from spillway.decide.overflow import Load
from spillway.decide.shares import Capacity, keep_if_close, moved_share, wanted_shares, weights, whole


def load(key: str = "c", usd: float | None = 0.5 / 3600, **fields: object) -> Load:
    outlets = () if usd is None else (Outlet("h", usd, math.inf),)
    base = {"key": key, "latency": LatencyClass.INTERACTIVE, "outlets": outlets, "attainment": 0.99}
    return Load(**(base | fields))  # type: ignore[arg-type]


def wanted(replicas: int, *loads: Load, upper: float = 10.0, mean: float = 8.0, ceiling: float = math.inf):  # type: ignore[no-untyped-def]
    keys = [item.key for item in loads]
    own = Capacity("gpu", dict.fromkeys(keys, 1.0), 1.0, replicas)
    return wanted_shares(
        loads,
        {key: [own] for key in keys},
        dict.fromkeys(keys, upper),
        dict.fromkeys(keys, mean),
        ceiling,
    )


def test_what_warm_replicas_cannot_take_at_the_upper_demand() -> None:
    assert wanted(4, load())["c"].wanted == pytest.approx(0.6)
    assert wanted(10, load())["c"].wanted == 0.0
    assert wanted(0, load())["c"].wanted == 1.0


def test_background_is_spilled_before_interactive() -> None:
    made = wanted(15, load("a"), load("b", latency=LatencyClass.BACKGROUND))
    assert made["a"].wanted == 0.0
    assert made["b"].wanted == pytest.approx(0.5)


def test_who_may_not_leave_never_does() -> None:
    made = wanted(5, load("a", usd=None), load("b"))
    assert made["a"].wanted == 0.0
    assert made["b"].wanted == 1.0


def test_the_ceiling_keeps_the_rest_on_own_lanes() -> None:
    # 60% of 8 requests/s cost 8 * 0.6 * $0.50; only $1.00 may be spent: 2 requests/s of 8.
    made = wanted(4, load(), ceiling=1.0)
    assert made["c"].wanted == pytest.approx(0.25)
    assert made["c"].capped


def test_what_waits_takes_capacity_but_at_most_half() -> None:
    assert Capacity("gpu", {"c": 1.0}, 1.0, 4.0).work == pytest.approx(4)
    assert Capacity("gpu", {"c": 1.0}, 1.0, 4.0, 1.5).work == pytest.approx(2.5)
    assert Capacity("gpu", {"c": 1.0}, 1.0, 4.0, 99.0).work == pytest.approx(2)


@pytest.mark.parametrize(
    ("target", "before", "calm", "share"),
    [
        (0.5, 0.1, False, 0.5),
        (0.5, None, False, 0.5),
        (0.1, 0.5, False, 0.5),
        (0.1, 0.5, True, 0.3),
        (0.4, 0.5, True, 0.4),
        (0.51, 0.5, True, 0.5),
        (0.49, 0.5, True, 0.5),
        (0.0, 0.01, True, 0.0),
        (0.0, 0.01, False, 0.01),
        (1.0, 0.99, False, 1.0),
        (0.0, 1.0, True, 0.8),
    ],
)
def test_up_at_once_down_in_steps(target: float, before: float | None, calm: bool, share: float) -> None:
    assert moved_share(target, before, calm) == pytest.approx(share)


def test_weights() -> None:
    assert weights(["a", "h"], 0.257, {"h": 1.0}, {"a": 3.0}) == {"a": 74, "h": 26}
    assert weights(["a", "h"], 0.001, {"h": 1.0}, {"a": 3.0}) == {"a": 99, "h": 1}
    assert weights(["a", "h"], 0.999, {"h": 1.0}, {"a": 3.0}) == {"a": 1, "h": 99}
    assert weights(["a", "b", "h"], 0.1, {"h": 1.0}, {"a": 2.0, "b": 1.0}) == {"a": 60, "b": 30, "h": 10}
    assert weights(["a", "h", "x"], 0.0, {}, {"a": 1.0}) == {"a": 100, "h": 0, "x": 0}
    assert weights(["a", "h"], 1.0, {"h": 1.0}, {}) == {"a": 0, "h": 100}
    assert weights(["h", "k"], 0.4, {"h": 3.0, "k": 1.0}, {}) == {"h": 75, "k": 25}


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1e6), min_size=1), st.integers(0, 100))
def test_whole_sums_up(split: dict[str, float], total: int) -> None:
    made = whole(split, total)
    if sum(split.values()) <= 0:
        assert made == {}
        return
    assert sum(made.values()) == total
    assert all(value >= 0 for value in made.values())


def test_small_moves_are_not_worth_a_write() -> None:
    assert keep_if_close({"a": 90, "h": 10}, {"a": 88, "h": 12}) == {"a": 90, "h": 10}
    assert keep_if_close({"a": 90, "h": 10}, {"a": 87, "h": 13}) == {"a": 87, "h": 13}
    assert keep_if_close({"a": 99, "h": 1}, {"a": 100, "h": 0}) == {"a": 100, "h": 0}
    assert keep_if_close({"a": 1, "h": 0}, {"a": 100, "h": 0}) == {"a": 100, "h": 0}
