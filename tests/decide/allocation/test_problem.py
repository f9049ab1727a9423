"""Responses, chains, cuts and what a problem refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from decide.allocation.problems import busy, left_of, one_class, one_lane, response, walks
from spillway.decide.allocation import AllocationError, HostedOption, Problem, marginal_values
from spillway.decide.allocation.cells import make_cells, partition
from spillway.decide.allocation.chain import fit_chain
from spillway.decide.allocation.cuts import chords, tangents


def test_response_between_and_beyond_its_grid() -> None:
    made = response(4, top=10.0, points=201)
    assert float(made.left_at(2, 3.0)) == pytest.approx(left_of(3.0, 2), abs=1e-6)
    assert float(made.left_at(2, 3.013)) == pytest.approx(left_of(3.013, 2), abs=1e-3)
    assert float(made.left_at(4, 12.0)) == pytest.approx(left_of(12.0, 4), abs=1e-2)
    assert float(made.left_at(0, 5.0)) == 5.0
    beyond = made.table(np.array([4.0]), 8)[0]
    assert (np.diff(beyond) <= 0).all()
    assert (np.diff(beyond, 2) >= -1e-12).all()
    assert made.table(np.zeros((3, 2)), 4).shape == (3, 2, 5)


def test_chain_keeps_equal_paths_together() -> None:
    """Two paths that are equal now and part later are one level now: it can't tell them apart."""
    chain = fit_chain(np.array([[1.0, 2.0], [1.0, 5.0], [3.0, 5.0]]), 3)
    assert len(chain.edges[0]) == 2
    np.testing.assert_allclose(chain.start, [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(chain.follow[0][0], [0.5, 0.5, 0])
    assert chain.level(0, 0.1) == 0
    assert chain.level(0, 2.9) == 0
    assert chain.level(0, 9.0) == 1


def test_cells_keep_mean_and_spread() -> None:
    problem = busy(3)
    cells = make_cells(problem, [3] * 6, branches=2)
    demand = np.stack([item.demand for item in problem.classes])
    for k in range(6):
        mine = [cell for cell in cells if cell.period == k]
        assert sum(cell.weight for cell in mine) == pytest.approx(1.0)
        mean = sum(cell.weight * cell.demand for cell in mine)
        np.testing.assert_allclose(mean, demand[:, :, k].mean(axis=1))
    assert partition(np.array([0.0, 0.0, 0.0, 4.0]), 5) == [(0, 3), (3, 4)]
    assert partition(np.array([1.0]), 3) == [(0, 1)]


def test_cuts_bound_taken_work_closely() -> None:
    made = response(12)
    rows = chords(made, 6.0, 12, 12)
    for n in range(13):
        taken = 6.0 - float(made.left_at(n, 6.0))
        assert float((rows[:, 0] + rows[:, 1] * n).min()) == pytest.approx(taken, abs=1e-9)
    points = np.array([(rho * 8.0, 8.0) for rho in (0.75, 0.9, 1.0, 1.1, 1.3)])
    planes = tangents(made, points, 12)
    for n in range(2, 13):
        for load in np.linspace(0.5, 14, 28):
            taken = load - float(made.left_at(n, load))
            bound = min(load, n, float((planes[:, 0] + planes[:, 1] * load + planes[:, 2] * n).min()))
            assert bound >= taken - 0.02
            assert bound <= taken + 0.35


def test_a_problem_that_contradicts_itself_is_named() -> None:
    item = one_class(np.ones((2, 3)))
    lane = one_lane((item,))
    with pytest.raises(AllocationError, match="demand has shapes"):
        Problem(np.ones(4), (lane,), (item,))
    with pytest.raises(AllocationError, match="lane gpu: min_replicas is above"):
        Problem(np.ones(3), (replace(lane, min_replicas=20),), (item,))
    with pytest.raises(AllocationError, match="work_seconds of x"):
        Problem(np.ones(3), (replace(lane, work_seconds={"x": 1.0}),), (item,))
    with pytest.raises(AllocationError, match="longer than 0 s"):
        Problem(np.zeros(3), (lane,), (item,))


def test_one_more_gpu_saves_what_it_takes_over() -> None:
    """Steady demand of 6, room for 3: the fourth replica saves a little less than its work's hosted price."""
    item = one_class(np.full((1, 6), 6.0), usd=0.004)
    lane = one_lane((item,), most=3, ready=3, startup_seconds=1e-3, pool="p")
    problem = Problem(np.full(6, 240.0), (lane,), (item,), pools={"p": 3.0})
    found = marginal_values(problem)
    taken = left_of(6.0, 3) - left_of(6.0, 4)
    assert found.lanes["gpu"] == pytest.approx(3600 * 0.004 * taken - 3.0, rel=0.01)
    assert found.pools["p"] == 0.0
    assert marginal_values(replace(problem, lanes=(replace(lane, max_replicas=9),))).pools["p"] == pytest.approx(
        found.lanes["gpu"], rel=1e-6
    )
    assert found.ceiling == 0.0


def test_one_more_dollar_and_one_more_token_save_misses() -> None:
    option = HostedOption("hosted", 0.001, tokens_per_request=1000.0)
    item = replace(one_class(np.full((1, 4), 2.0), miss_usd=0.1), hosted=(option,))
    problem = Problem(np.full(4, 240.0), (), (item,), ceiling_usd_per_hour=3.6)
    found = marginal_values(problem)
    assert found.ceiling == pytest.approx((0.1 - 0.001) * 1 / 0.001, rel=1e-6)
    limited = replace(problem, ceiling_usd_per_hour=math.inf, hosted_tokens_per_minute={"hosted": 60_000.0})
    assert marginal_values(limited).hosted["hosted"] == pytest.approx((0.1 - 0.001) * 60, rel=1e-6)


def test_marginals_of_coupled_lanes_are_finite() -> None:
    random = np.random.default_rng(0)
    item = one_class(walks(random, 16, 4, 6.0))
    lanes = tuple(one_lane((item,), name=name, most=3, ready=2, pool="p") for name in ("a", "b"))
    found = marginal_values(Problem(np.full(4, 240.0), lanes, (item,), pools={"p": 5.0}))
    assert found.pools["p"] > 0
    assert all(math.isfinite(value) and value >= 0 for value in found.lanes.values())
