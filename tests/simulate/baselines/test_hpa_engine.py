"""The HPA's algorithm on hand-computed cases; tests/e2e/test_hpa_baseline.py has the real controller."""

from __future__ import annotations

import pytest

from spillway.simulate.baselines.hpa_engine import (
    Behavior,
    Hpa,
    PodList,
    PolicyKind,
    ScalingPolicy,
    ScalingRules,
    Select,
    average_proposal,
    pods_proposal,
    value_proposal,
)


@pytest.mark.parametrize(
    ("total", "current", "ready", "expected"),
    [
        (1.1, 4, 4, 4),  # r = 1.1: within the tolerance.
        (1.101, 4, 4, 5),  # ceil(1.101 * 4)
        (7.0, 4, 3, 21),  # Ready ones only are multiplied.
        (0.89, 4, 4, 4),  # ceil(0.89 * 4)
        (0.0, 4, 4, 0),
        (2.5, 0, 0, 3),  # From none: ceil(r).
    ],
)
def test_value(total: float, current: int, ready: int, expected: int) -> None:
    assert value_proposal(total, 1.0, current=current, ready=ready) == expected


@pytest.mark.parametrize(
    ("total", "replicas", "expected"),
    [(17.6 * 4, 4, 4), (17.7 * 4, 4, 5), (64.0, 2, 4), (14.3 * 4, 4, 4), (1.0, 4, 1), (0.0, 4, 0)],
)
def test_average(total: float, replicas: int, expected: int) -> None:
    assert average_proposal(total, 16.0, replicas=replicas) == expected


def test_pods_without_a_value_count_nothing_on_the_way_up() -> None:
    pods = PodList(ready=("a", "b", "c"))
    # 30 and 30 against 10 are r = 3; with c at 0 it is 2, so ceil(2 * 3).
    assert pods_proposal({"a": 30.0, "b": 30.0}, 10.0, pods, current=3) == 6


def test_pods_without_a_value_count_the_target_on_the_way_down() -> None:
    pods = PodList(ready=("a", "b", "c", "d"))
    # 2 and 2 against 10 are r = 0.2; with c and d at 10 it is 0.6, so ceil(0.6 * 4).
    assert pods_proposal({"a": 2.0, "b": 2.0}, 10.0, pods, current=4) == 3


def test_pending_pods_count_nothing_on_the_way_up_and_are_left_out_on_the_way_down() -> None:
    pods = PodList(ready=("a",), pending=("b", "c"))
    assert pods_proposal({"a": 40.0}, 10.0, pods, current=3) == 4  # 40/3 -> 13.333: 1.3333 * 3
    assert pods_proposal({"a": 2.0}, 10.0, pods, current=3) == 1  # ceil(0.2 * 1)


def test_a_turned_direction_keeps_the_replicas() -> None:
    pods = PodList(ready=("a", "b", "c", "d"))
    # r = 1.2, but with three pods at 0 it is 0.3.
    assert pods_proposal({"a": 12.0}, 10.0, pods, current=4) == 4
    assert pods_proposal({}, 10.0, pods, current=4) is None


def test_up_by_the_larger_of_double_and_four() -> None:
    assert Hpa(1, 100).step(0.0, 1, [50]) == 5
    assert Hpa(1, 100).step(0.0, 10, [50]) == 20
    assert Hpa(1, 15).step(0.0, 10, [50]) == 15


def test_up_is_counted_over_the_period() -> None:
    hpa = Hpa(1, 1000)
    assert hpa.step(0.0, 10, [500]) == 20
    # 5 s later the period began with 10: 20 is all there is; after 15 s it is 40.
    assert hpa.step(5.0, 20, [500]) == 20
    assert hpa.step(15.0, 20, [500]) == 40


def test_without_a_behavior_four_or_double_at_each_step() -> None:
    hpa = Hpa(1, 100, behavior=None)
    assert hpa.step(0.0, 1, [50]) == 4
    assert hpa.step(1.0, 4, [50]) == 8
    assert hpa.step(2.0, 8, [1]) == 16  # 50 is still the highest recommendation.
    assert hpa.step(301.5, 16, [1]) == 1


def test_down_to_the_highest_of_the_last_five_minutes() -> None:
    hpa = Hpa(1, 100)
    assert hpa.step(0.0, 10, [8]) == 10  # The count when it began is a recommendation as well.
    assert hpa.step(299.0, 10, [2]) == 10
    assert hpa.step(300.0, 10, [3]) == 3  # Those of 0 s are no longer after the cutoff; 2 and 3 are.


def test_a_policy_of_one_pod() -> None:
    rules = ScalingRules((ScalingPolicy(PolicyKind.PODS, 1, 120.0),), 0.0)
    hpa = Hpa(1, 100, Behavior(down=rules))
    assert hpa.step(0.0, 10, [10]) == 10
    assert hpa.step(15.0, 10, [2]) == 9
    assert hpa.step(30.0, 9, [2]) == 9
    assert hpa.step(135.0, 9, [2]) == 8


def test_an_up_window_takes_the_lowest() -> None:
    hpa = Hpa(1, 100, Behavior(up=ScalingRules((ScalingPolicy(PolicyKind.PERCENT, 100, 15.0),), 60.0)))
    assert hpa.step(0.0, 4, [8]) == 4
    assert hpa.step(30.0, 4, [6]) == 4
    assert hpa.step(60.0, 4, [8]) == 6
    assert hpa.step(95.0, 6, [8]) == 8


def test_selection_and_switching_off() -> None:
    policies = (ScalingPolicy(PolicyKind.PODS, 4, 15.0), ScalingPolicy(PolicyKind.PERCENT, 10, 15.0))
    least = Behavior(up=ScalingRules(policies, 0.0, Select.MIN), down=ScalingRules(policies, 0.0, Select.DISABLED))
    assert Hpa(1, 100, least).step(0.0, 20, [90]) == 22
    assert Hpa(1, 100, least).step(0.0, 20, [1]) == 20


def test_the_highest_of_several_and_nothing_down_on_a_missing_one() -> None:
    assert Hpa(1, 100).step(0.0, 4, [5, 7]) == 7
    assert Hpa(1, 100).step(0.0, 4, [5, None]) == 5
    assert Hpa(1, 100, behavior=None, downscale_window_s=0.0).step(0.0, 4, [2, None]) == 4
    assert Hpa(1, 100).step(0.0, 4, [None]) == 4


def test_outside_of_its_bounds() -> None:
    assert Hpa(3, 10).step(0.0, 1, [1]) == 3
    assert Hpa(3, 10).step(0.0, 12, [12]) == 10
