"""Demand that is known beforehand: it stands instead of the forecast where it reaches far enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decide.builders import NOW, World, traffic
from spillway.decide.demand import announced, class_demands, joint_paths
from spillway.decide.memory import Memory
from spillway.decide.snapshot import Series

RISING = Series(NOW, 60.0, tuple(float(minute) for minute in range(20)))
"""0 requests a second in the first minute from now, 1 in the second, and so on."""


def test_the_mean_around_each_moment() -> None:
    found = announced(RISING, (120.0, 360.0), NOW)
    assert found is not None
    assert found.tolist() == pytest.approx([np.mean([0, 1, 2, 3]), np.mean([4, 5, 6, 7])])
    late = announced(RISING, (600.0,), NOW)
    assert late is not None
    assert late.tolist() == pytest.approx([np.mean(range(5, 15))]), "at most ten minutes"


def test_what_does_not_reach_is_no_announcement() -> None:
    assert announced(RISING, (120.0, 1100.0), NOW) is None
    assert announced(replace(RISING, start=NOW + 60.0), (30.0, 120.0), NOW) is None
    assert announced(replace(RISING, values=(*RISING.values[:3], None, *RISING.values[4:])), (120.0,), NOW) is None


def test_announced_demand_is_certain_and_others_are_forecast() -> None:
    world = World(classes=(replace(traffic("a", 41.0), announced=RISING), traffic("b", 41.0)))
    demands = class_demands(world.snapshot(), Memory())
    made = joint_paths(list(demands.values()), (120.0, 360.0), NOW)
    certain, guessed = made["ai/a"], made["ai/b"]
    assert (certain == certain[0]).all()
    assert certain[0].tolist() == pytest.approx([1.5, 5.5])
    assert guessed.mean(axis=0) == pytest.approx([41.0, 41.0], rel=0.01), "steady until now, so it goes on"
    beyond = joint_paths(list(demands.values()), (120.0, 3600.0), NOW)
    assert beyond["ai/a"].mean(axis=0) == pytest.approx([41.0, 41.0], rel=0.01), "too far for the announcement"
