"""The dynamic program of one lane against plain recursion over everything that can happen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decide.allocation.exact import Evaluator
from decide.allocation.problems import Markov, one_class, one_lane, walks
from spillway.decide.allocation import Problem, solve_lane
from spillway.decide.allocation.program import Policy, advance


@st.composite
def cases(draw: st.DrawFn, stages: int | None = None) -> Markov:
    levels = draw(st.integers(1, 3))
    loads = draw(st.lists(st.integers(0, 12), min_size=levels, max_size=levels, unique=True))
    level = st.integers(0, levels - 1)
    lead = stages or draw(st.integers(1, 2))
    return Markov(
        loads=tuple(sorted(x / 4 for x in loads)),
        start=tuple(draw(st.lists(level, min_size=1, max_size=2))),
        follow=tuple(tuple(draw(st.lists(level, min_size=2, max_size=2))) for _ in range(levels)),
        periods=draw(st.integers(2, 4)),
        stages=lead,
        usd_per_replica_period=draw(st.sampled_from([0.05, 0.2, 0.5])),
        usd_per_left=draw(st.sampled_from([0.1, 0.6, 2.0])),
        most=draw(st.integers(1, 5)),
        ready=draw(st.integers(0, 3)),
        pending=tuple(draw(st.lists(st.integers(1, lead), max_size=2))),
    )


def solved(case: Markov) -> Policy:
    problem = case.problem()
    return solve_lane(problem, problem.lanes[0], levels=64)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_equals_recursion(case: Markov) -> None:
    """The value of every first order, not only of the best one."""
    policy, exact = solved(case), Evaluator(case)
    pending = tuple(240.0 * p for p in case.pending)
    costs = policy.costs(case.ready, pending)
    for order, usd in enumerate(costs.tolist()):
        assert usd == pytest.approx(exact.first(order), rel=2e-3, abs=2e-3)
    assert costs.min() == pytest.approx(exact.optimum(), rel=2e-3, abs=2e-3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_lookup_between_solves_is_optimal(case: Markov) -> None:
    """The solved policy, asked in every later state by what is measured then, costs what the optimum costs."""
    policy, exact = solved(case), Evaluator(case)

    def rule(t: int, level: int | None, ready: int, pending: tuple[int, ...]) -> int:
        load = None if level is None else case.loads[level]
        return policy.order(ready, [240.0 * p for p in pending], load, 240.0 * t + 1)

    first = policy.order(case.ready, [240.0 * p for p in case.pending])
    assert exact.first(first, rule) == pytest.approx(exact.optimum(), rel=5e-3, abs=5e-3)


def test_startup_shorter_than_a_period_serves_its_rest() -> None:
    """A replica that is Ready after a third of the period takes its work for two thirds of it."""
    demand = np.full((1, 3), 1.0)
    item = one_class(demand, usd=3.0 / 3600)
    lane = one_lane((item,), most=1, startup_seconds=80.0, usd_per_replica_hour=1.0)
    problem = Problem(np.full(3, 240.0), (lane,), (item,))
    costs = solve_lane(problem, lane).costs(0, ())
    left, period = float(lane.response.left_at(1, 1.0)), 240 / 3600
    served = 3 * period * (1 / 3 + 2 / 3 * left) + 2 * 3 * period * left
    assert costs[1] == pytest.approx(3 * 1.0 * period + served)


def test_long_startup_merges_periods() -> None:
    """1,500 s over periods of 300 s: two orders under way at most, in periods of 900 s."""
    demand = np.full((4, 12), 3.0)
    item = one_class(demand, usd=0.01)
    lane = one_lane((item,), most=6, startup_seconds=1500.0)
    policy = solve_lane(Problem(np.full(12, 300.0), (lane,), (item,)), lane)
    assert policy.stages == 2
    assert policy.seconds.tolist() == [900.0] * 4
    assert policy.order(0, ()) in (3, 4)


@pytest.mark.parametrize("levels", [1, 8])
def test_bounds_hold_everywhere(levels: int) -> None:
    item = one_class(walks(np.random.default_rng(1), 32, 6, 6.0))
    lane = one_lane((item,), most=5, min_replicas=2, ready=4)
    policy = solve_lane(Problem(np.full(6, 120.0), (lane,), (item,)), lane, levels)
    assert all(2 <= order <= 5 for order in policy.path(4, ()))
    assert 2 <= policy.order(20, (10.0, 20.0), 0.0) <= 5
    assert 2 <= policy.order(0, (), 100.0) <= 5


def test_dear_start_keeps_what_runs() -> None:
    """In a trough shorter than a start-up pays for, nothing is stopped; in a long one it is."""

    def order(trough: int) -> int:
        demand = np.full((1, 10), 4.0)
        demand[0, :trough] = 2.5
        item = one_class(demand, usd=0.006)
        lane = one_lane((item,), most=6, ready=5, usd_per_replica_hour=3.0, startup_seconds=480.0)
        return solve_lane(Problem(np.full(10, 240.0), (lane,), (item,)), lane).order(5, ())

    assert order(1) == 5
    assert order(8) < 5


def test_terminal_worth_asks_for_replicas_in_time() -> None:
    """Two are worth their last period's price at the end, a third is not; before that nothing needs them."""
    item = one_class(np.full((1, 4), 0.0))
    lane = one_lane((item,), most=3, ready=3, terminal_usd=np.array([0.0, 10.0, 11.0, 11.1]))
    assert solve_lane(Problem(np.full(4, 240.0), (lane,), (item,)), lane).path(3, ()) == (0, 0, 0, 2)


def test_advance_follows_each_replica() -> None:
    assert advance(3, [100.0, 200.0], 6, 120.0, 240.0) == (4, [80.0, 120.0])
    assert advance(3, [100.0, 200.0], 4, 120.0, 240.0) == (4, [])
    assert advance(3, [100.0, 200.0], 2, 120.0, 240.0) == (2, [])
