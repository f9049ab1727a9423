"""What must hold for any problem."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decide.allocation.problems import BACKGROUND, DEFERRABLE, INTERACTIVE, response, walks
from spillway.decide.allocation import ClassProblem, HostedOption, LaneProblem, Problem, allocate, solve_lane
from spillway.decide.allocation.problem import miss_prices
from spillway.decide.allocation.recourse import host, one_lane

RESPONSE = response(13)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def problems(draw: st.DrawFn, lanes: int | None = None) -> Problem:
    """Up to three lanes and four classes with any of what may bind."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    periods, classes = draw(st.integers(2, 5)), []
    for i in range(draw(st.integers(1, 4))):
        options = tuple(
            HostedOption(f"h{j}", draw(st.sampled_from([0.0005, 0.002, 0.01])), draw(st.sampled_from([1.0, math.inf])))
            for j in range(draw(st.integers(0, 2)))
        )
        demand = walks(random, 24, periods, draw(st.floats(0.0, 3.0)))
        latency = draw(st.sampled_from([INTERACTIVE, BACKGROUND, DEFERRABLE]))
        classes.append(ClassProblem(f"c{i}", latency, options, draw(st.sampled_from([0.0, 0.01, 1.0])), demand))
    made = []
    for number in range(lanes or draw(st.integers(1, 3))):
        keys = [c.key for c in classes if draw(st.booleans())]
        low = draw(st.integers(0, 2))
        made.append(
            LaneProblem(
                name=f"g{number}",
                usd_per_replica_hour=draw(st.sampled_from([0.5, 3.0, 12.0])),
                min_replicas=low,
                max_replicas=low + draw(st.integers(0, 8)),
                ready=draw(st.integers(0, 6)),
                startup_seconds=draw(st.sampled_from([30.0, 240.0, 700.0])),
                work_seconds={key: draw(st.sampled_from([0.5, 1.0, 2.0])) for key in keys},
                response=RESPONSE,
                pending_seconds=tuple(draw(st.lists(st.floats(0, 700), max_size=2))),
                minimum_up_seconds=draw(st.sampled_from([0.0, 600.0])),
                pool=draw(st.sampled_from([None, "p"])),
                gpus_per_replica=draw(st.integers(1, 2)),
            )
        )
    return Problem(
        np.full(periods, 240.0),
        tuple(made),
        tuple(classes),
        ceiling_usd_per_hour=draw(st.sampled_from([0.0, 5.0, math.inf])),
        pools={"p": float(draw(st.integers(0, 12)))},
        pacing=draw(st.sampled_from([1.0, 3.0])),
    )


def staying(lane: LaneProblem) -> int:
    """Replicas that their minimum up-time may keep: other lanes' minimums give way to them."""
    return lane.ready + len(lane.pending_seconds) if lane.minimum_up_seconds > 0 else 0


@quick
@given(problems())
def test_never_above_bounds_pools_policy_or_limits(problem: Problem) -> None:
    plan, state = allocate(problem, None, 0.0)
    later, _ = allocate(problem, state, 30.0)
    for made in (plan, later):
        for lane in problem.lanes:
            orders = made.lanes[lane.name].path
            assert orders[0] == made.lanes[lane.name].replicas
            crowded = (
                lane.pool == "p"
                and sum(max(x.min_replicas, staying(x)) * x.gpus_per_replica for x in problem.lanes)
                > problem.pools["p"]
            )
            least = 0 if crowded else problem.least(lane)
            assert all(least <= n <= problem.most(lane) for n in orders)
        mine = [lane for lane in problem.lanes if lane.pool == "p"]
        for k in range(len(problem.period_seconds)):
            held = sum(made.lanes[lane.name].path[k] * lane.gpus_per_replica for lane in mine)
            # A pool that has shrunk below what must stay only stops growing.
            assert held <= max(problem.pools["p"], sum(staying(x) * x.gpus_per_replica for x in mine))
        for shares in (made.shares, made.next_shares):
            _check_shares(problem, shares)
    assert math.isfinite(plan.expected_usd)


def _check_shares(problem: Problem, shares: object) -> None:
    assert isinstance(shares, dict)
    usd, used = 0.0, dict[str, float]()
    for item in problem.classes:
        mine = shares[item.key]
        allowed = {lane.name for lane in problem.lanes if item.key in lane.work_seconds}
        assert set(mine) <= allowed | {option.lane for option in item.hosted}
        assert all(0 < share <= 1 for share in mine.values())
        assert sum(mine.values()) <= 1 + 1e-6
        low = float(item.demand.mean(axis=0)[:2].min())
        for option in item.hosted:
            rate = mine.get(option.lane, 0.0) * low
            usd += 3600 * rate * option.usd_per_request
            used[option.lane] = used.get(option.lane, 0.0) + rate / option.max_requests_per_second
    assert usd <= problem.ceiling_usd_per_hour * (1 + 1e-6) + 1e-6
    assert all(share <= 1 + 1e-6 for share in used.values())


@quick
@given(problems(lanes=1), st.floats(1.0, 5.0))
def test_dearer_hosted_lane_means_not_fewer_replicas(problem: Problem, factor: float) -> None:
    problem = replace(problem, ceiling_usd_per_hour=math.inf)
    lane = problem.lanes[0]

    def order(scale: float) -> int:
        classes = tuple(
            replace(
                item,
                miss_usd=0.0 if item.hosted else item.miss_usd,
                hosted=tuple(HostedOption(o.lane, o.usd_per_request * scale) for o in item.hosted),
            )
            for item in problem.classes
        )
        return solve_lane(replace(problem, classes=classes), lane, levels=1).order(0, ())

    assert order(factor) >= order(1.0)


@quick
@given(problems(lanes=1), st.floats(0.2, 1.0))
def test_cheaper_gpu_means_not_fewer_replicas(problem: Problem, factor: float) -> None:
    lane = problem.lanes[0]

    def order(scale: float) -> int:
        cheaper = replace(lane, usd_per_replica_hour=lane.usd_per_replica_hour * scale)
        return solve_lane(replace(problem, lanes=(cheaper,)), cheaper).order(0, ())

    assert order(factor) >= order(1.0)


@quick
@given(problems(lanes=1), st.floats(0.0, 1.0))
def test_every_request_goes_somewhere_once(problem: Problem, part: float) -> None:
    lane = problem.lanes[0]
    demand = {item.key: item.demand for item in problem.classes}
    work = problem.work(lane)
    served = one_lane(problem, lane, demand, part * work)
    for item in problem.classes:
        hosted = sum(value for (key, _), value in served.hosted.items() if key == item.key)
        total = served.own[item.key] + hosted + served.missed[item.key]
        np.testing.assert_allclose(total, item.demand, atol=1e-9)
        assert (served.missed[item.key] >= -1e-9).all()
    own = sum((served.own[key] * seconds for key, seconds in lane.work_seconds.items()), np.zeros(work.shape))
    np.testing.assert_allclose(own, part * work, atol=1e-9)


@quick
@given(problems())
def test_precedence_of_misses(problem: Problem) -> None:
    """Never cheaper to miss than to host; the more urgent never cheaper to miss, by own work or by hosted dollar."""
    prices = miss_prices(problem)
    demand = {item.key: np.asarray(item.demand) for item in problem.classes}
    hosted, _, _ = host(problem, demand, prices)
    spent = sum(
        (
            3600 * option.usd_per_request * hosted[item.key, option.lane]
            for item in problem.classes
            for option in item.hosted
        ),
        np.zeros(1),
    )
    assert float(np.max(spent)) <= problem.ceiling_usd_per_hour + 1e-6
    for item in problem.classes:
        assert prices[item.key] >= item.miss_usd
        assert all(prices[item.key] > problem.pacing * option.usd_per_request for option in item.hosted)
