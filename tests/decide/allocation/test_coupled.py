"""The mixed-integer program: against the dynamic program, against HiGHS's own search, and under its limits."""

from __future__ import annotations

import json
from dataclasses import replace

import highspy
import numpy as np
import pytest

from decide.allocation.exact import Evaluator
from decide.allocation.problems import BACKGROUND, INTERACTIVE, Markov, busy, one_class, one_lane, walks
from spillway.decide.allocation import (
    AllocationState,
    ClassProblem,
    Effort,
    HostedOption,
    LaneProblem,
    Problem,
    Settings,
    Status,
    allocate,
)
from spillway.decide.allocation.cells import make_cells, make_groups
from spillway.decide.allocation.coupled import greedy, outcomes_within, solve_coupled
from spillway.decide.allocation.model import Model, build
from spillway.decide.allocation.solver import run
from spillway.decide.codec import canonical, codec_of

SMALL = [
    Markov((1.0, 2.0, 3.5), (1,), ((0, 1), (0, 1, 1, 2), (1, 2)), 5, 1, 0.2, 0.6, 5, ready=2),
    Markov((0.5, 2.5), (0, 1), ((0, 0, 0, 1), (1, 1, 1, 0)), 5, 1, 0.2, 0.9, 4),
    Markov((1.0, 3.0), (0,), ((0, 0, 1, 1), (1, 1, 1, 0)), 5, 2, 0.2, 0.8, 5, ready=1, pending=(1,)),
    Markov((2.0, 2.4, 3.0), (0, 1, 2), ((0, 1), (1, 2), (0, 2)), 4, 2, 0.25, 0.6, 5, ready=3),
    Markov((0.0, 4.0), (1,), ((0, 0, 0, 1), (0, 0, 1, 1)), 5, 1, 0.3, 1.0, 6, ready=4),
]
EXACT = Effort(seconds=30.0, nodes=5000, gap=1e-6, columns=2000, branches=3, integers=9)


@pytest.mark.parametrize("case", SMALL, ids=range(len(SMALL)))
def test_rolling_program_is_within_one_percent_of_the_optimum(case: Markov) -> None:
    """Solved anew in every state that can come up, as the controller does; evaluated by plain recursion."""
    exact = Evaluator(case)
    asked: dict[tuple[int, int | None, int, tuple[int, ...]], int] = {}

    def rule(t: int, level: int | None, ready: int, pending: tuple[int, ...]) -> int:
        key = (t, level, ready, pending)
        if key not in asked:
            schedule = solve_coupled(case.problem(ready, pending, level, case.periods - t), EXACT)
            assert schedule is not None
            asked[key] = int(schedule.replicas[0, 0])
        return asked[key]

    first = rule(0, None, case.ready, tuple(sorted(case.pending)))
    assert exact.first(first) <= 1.01 * exact.optimum() + 1e-6
    assert exact.first(first, rule) <= 1.01 * exact.optimum() + 1e-6


def by_highs(model: Model) -> float:
    """The optimum by HiGHS's own branch and cut."""
    highs = highspy.Highs()
    for name, value in (("output_flag", False), ("threads", 1), ("mip_rel_gap", 1e-7)):
        highs.setOptionValue(name, value)
    highs.passModel(
        len(model.cost), len(model.row_lower), len(model.values), 2, 1, 0.0, model.cost, model.lower, model.upper,
        model.row_lower, model.row_upper, model.starts, model.columns, model.values, model.integer,
    )  # fmt: skip
    highs.run()
    assert highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(highs.getInfo().objective_function_value)


@pytest.mark.parametrize(("seed", "scale"), [(0, 0.3), (1, 0.6)])
def test_branching_finds_what_highs_finds(seed: int, scale: float) -> None:
    problem = busy(seed, scale=scale)
    groups = make_groups(problem, merge=True)
    model = build(problem, make_cells(problem, [2] * 6), groups, integers=2)
    found = run(model, 60.0, 1e-6, 5000)
    assert found is not None
    assert found.optimal
    assert found.usd == pytest.approx(by_highs(model), rel=2e-5)
    quick = run(model, 60.0, 0.005, 40)
    assert quick is not None
    assert found.usd - 1e-6 <= quick.usd <= found.usd * (1 + quick.gap + 1e-6)


def test_pools_bounds_and_data_policy_hold() -> None:
    for seed in range(4):
        problem = busy(seed, scale=1.5)
        plan, _ = allocate(problem, None, 0.0)
        for k in range(6):
            for pool, gpus in problem.pools.items():
                assert sum(plan.lanes[x.name].path[k] for x in problem.lanes if x.pool == pool) <= gpus
            assert all(x.min_replicas <= plan.lanes[x.name].path[k] <= x.max_replicas for x in problem.lanes)
        for item in problem.classes:
            allowed = {x.name for x in problem.lanes if item.key in x.work_seconds} | {o.lane for o in item.hosted}
            assert set(plan.shares[item.key]) <= allowed
            assert sum(plan.shares[item.key].values()) <= 1 + 1e-9
        assert set(plan.shares["c7"]) <= {"gpu0", "gpu2", "gpu3"}


def two_classes(demand: float, **more: object) -> tuple[ClassProblem, ClassProblem]:
    rate = np.full((4, 4), demand)
    hosted = (HostedOption("hosted", 0.002, **more),)  # type: ignore[arg-type]
    return (
        one_class(rate, key="chat", latency=INTERACTIVE, hosted=hosted, miss_usd=0.003),
        one_class(rate, key="batch", latency=BACKGROUND, hosted=hosted, miss_usd=0.5),
    )


def no_gpus(classes: tuple[ClassProblem, ...], **more: object) -> Problem:
    lanes = tuple(one_lane(classes, name=name, most=2, pool="p") for name in ("a", "b"))
    return Problem(np.full(4, 240.0), lanes, classes, pools={"p": 0.0}, **more)  # type: ignore[arg-type]


def test_ceiling_binds_and_interactive_goes_first() -> None:
    """Both classes ask for 1 request a second and may spend for one of them; the price of misses says otherwise."""
    problem = no_gpus(two_classes(1.0), ceiling_usd_per_hour=3600 * 0.002 * 1.25)
    plan, _ = allocate(problem, None, 0.0)
    assert plan.shares["chat"] == pytest.approx({"hosted": 1.0})
    assert plan.shares["batch"] == pytest.approx({"hosted": 0.25})


def test_own_capacity_goes_to_interactive_under_a_ceiling() -> None:
    classes = two_classes(2.0)
    lanes = tuple(one_lane(classes, name=name, most=1, min_replicas=1, ready=1, pool="p") for name in ("a", "b"))
    problem = Problem(np.full(4, 240.0), lanes, classes, ceiling_usd_per_hour=0.36, pools={"p": 2.0})
    plan, _ = allocate(problem, None, 0.0)
    assert sum(plan.shares["chat"].values()) > 0.8
    assert sum(plan.shares["batch"].values()) < 0.05


@pytest.mark.parametrize(
    ("limit", "share"),
    [({"max_requests_per_second": 1.0}, 0.5), ({"tokens_per_request": 1000.0}, 0.6)],
)
def test_limits_of_hosted_lanes_bind(limit: dict[str, float], share: float) -> None:
    """Two classes of 1 request a second: 1 request a second together, or 72,000 tokens a minute."""
    problem = no_gpus(two_classes(1.0, **limit), hosted_tokens_per_minute={"hosted": 72_000.0})
    plan, _ = allocate(problem, None, 0.0)
    hosted = [plan.shares[key].get("hosted", 0.0) for key in ("chat", "batch")]
    assert hosted[0] == pytest.approx(1.0)
    assert sum(hosted) / 2 == pytest.approx(share)


def test_tier_ceiling_binds_its_classes_only() -> None:
    chat, batch = two_classes(1.0)
    problem = no_gpus((chat, replace(batch, tier="low")), tier_usd_per_hour={"low": 3600 * 0.002 * 0.5})
    plan, _ = allocate(problem, None, 0.0)
    assert plan.shares["chat"] == pytest.approx({"hosted": 1.0})
    assert plan.shares["batch"] == pytest.approx({"hosted": 0.5})


def test_equivalence_uses_the_cheaper_gpu_where_it_may() -> None:
    """The class that may use both goes to the cheap type; the one bound to the dear type has it."""
    rate = np.full((8, 6), 3.0)
    free, bound = (
        one_class(rate, key="free", usd=None, miss_usd=5.0),
        one_class(rate, key="bound", usd=None, miss_usd=5.0),
    )
    cheap = one_lane((free,), name="cheap", most=8, usd_per_replica_hour=2.0)
    dear = one_lane((free, bound), name="dear", most=8, usd_per_replica_hour=4.0)
    plan, _ = allocate(Problem(np.full(6, 240.0), (cheap, dear), (free, bound)), None, 0.0)
    assert plan.lanes["cheap"].replicas >= 3
    assert 3 <= plan.lanes["dear"].replicas <= 5
    assert plan.lanes["dear"].replicas + plan.lanes["cheap"].replicas <= 9


def test_minimum_up_time_keeps_what_was_ordered() -> None:
    """Demand for two periods only: nothing is ordered if it must stay for long, and what is young stays."""
    rate = np.zeros((2, 8))
    rate[:, 1:3] = 2.0
    item = one_class(rate, usd=0.001)

    def path(minimum: float, **more: object) -> tuple[int, ...]:
        lane = one_lane((item,), most=4, usd_per_replica_hour=1.5, minimum_up_seconds=minimum, **more)
        plan, _ = allocate(Problem(np.full(8, 240.0), (lane,), (item,)), None, 0.0)
        return plan.lanes["gpu"].path

    assert max(path(0.0)) >= 2
    assert max(path(1920.0)) == 0
    assert path(960.0, pending_seconds=(240.0, 240.0))[:4] == (2, 2, 2, 2)


def test_ready_schedule_covers_a_long_start() -> None:
    """What is needed in the fourth period is ordered a start-up before, not earlier."""
    rate = np.zeros((1, 6))
    rate[0, 3:] = 4.0
    item = one_class(rate, usd=0.01)
    a, b = (one_lane((item,), name=name, most=6, startup_seconds=480.0) for name in ("a", "b"))
    plan, _ = allocate(Problem(np.full(6, 240.0), (a, b), (item,)), None, 0.0)
    total = [sum(lane.path[k] for lane in plan.lanes.values()) for k in range(6)]
    assert total[0] == 0
    assert total[1] >= 4


def test_time_limit_keeps_the_last_plan_shifted() -> None:
    """No time at all: the first call plans lane by lane, a later one keeps the schedule of before, moved on."""
    problem = busy(0)
    none = Settings(effort=Effort(seconds=0.0, nodes=0, gap=1e-9, accepted_gap=0.0))
    plan, _ = allocate(problem, None, 0.0, none)
    assert plan.status is Status.FAST
    good, state = allocate(problem, None, 0.0)
    assert good.status is Status.OPTIMAL
    kept, again = allocate(problem, state, 240.0, none)
    assert kept.status is Status.KEPT
    for name, lane in kept.lanes.items():
        path = good.lanes[name].path
        assert lane.path == (*path[1:], path[-1])
    assert again.solved_at == 240.0


def test_kept_plan_obeys_a_smaller_pool() -> None:
    problem = busy(0)
    _, state = allocate(problem, None, 0.0)
    smaller = replace(problem, pools={"p": 3.0, "q": 2.0})
    none = Settings(effort=Effort(seconds=0.0, nodes=0, gap=1e-9, accepted_gap=0.0))
    plan, _ = allocate(smaller, state, 60.0, none)
    for k in range(6):
        for pool, gpus in smaller.pools.items():
            assert sum(plan.lanes[x.name].path[k] for x in smaller.lanes if x.pool == pool) <= gpus


def test_greedy_is_feasible_and_no_better() -> None:
    for seed in range(3):
        problem = busy(seed)
        schedule, best = greedy(problem), solve_coupled(problem, Effort())
        assert best is not None
        for pool, gpus in problem.pools.items():
            mine = [i for i, x in enumerate(problem.lanes) if x.pool == pool]
            assert (schedule.replicas[mine].sum(axis=0) <= gpus).all()


def test_between_solves_the_schedule_answers() -> None:
    problem = busy(0)
    first, state = allocate(problem, None, 0.0)
    plan, same = allocate(problem, state, 30.0)
    assert plan.status is Status.FAST
    assert same is state
    assert {name: lane.path for name, lane in plan.lanes.items()} == {n: x.path for n, x in first.lanes.items()}
    assert allocate(problem, state, 61.0)[0].status is Status.OPTIMAL
    assert allocate(replace(problem, ceiling_usd_per_hour=1.0), state, 30.0)[0].status is Status.OPTIMAL


def test_state_is_recorded_and_read_back() -> None:
    """Through the codec of recordings; the plan that follows is the same."""
    problem = busy(0)
    _, state = allocate(problem, None, 0.0)
    codec = codec_of(AllocationState)
    text = canonical(codec.encode(state))
    assert len(text) < 4000
    again = codec.decode(json.loads(text))
    assert canonical(codec.encode(again)) == text
    assert allocate(problem, again, 30.0)[0].lanes == allocate(problem, state, 30.0)[0].lanes


def test_same_problem_same_plan() -> None:
    """Whatever was solved before, in any order."""
    first = [allocate(busy(seed), None, 0.0)[0] for seed in (1, 2)]
    again = [allocate(busy(seed), None, 0.0)[0] for seed in (2, 1)][::-1]
    for a, b in zip(first, again, strict=True):
        assert a.lanes == b.lanes
        assert a.shares == b.shares
        assert a.expected_usd == b.expected_usd


def test_outcomes_fit_the_cells() -> None:
    assert outcomes_within(6, 14, 7) == [3, 3, 2, 2, 2, 2]
    assert outcomes_within(6, 3, 7) == [1] * 6
    assert outcomes_within(4, 100, 7) == [7] * 4


def test_split_of_dollars_is_by_the_lane_problem() -> None:
    """Lanes that share nothing are planned apart: the same as each alone."""
    random = np.random.default_rng(5)
    a, b = (one_class(walks(random, 32, 6, mean), key=key) for key, mean in (("a", 4.0), ("b", 2.0)))
    lanes: tuple[LaneProblem, ...] = (one_lane((a,), name="x"), one_lane((b,), name="y"))
    both, _ = allocate(Problem(np.full(6, 240.0), lanes, (a, b)), None, 0.0)
    alone = [allocate(Problem(np.full(6, 240.0), (x,), (c,)), None, 0.0)[0] for x, c in zip(lanes, (a, b), strict=True)]
    assert both.expected_usd == pytest.approx(sum(plan.expected_usd for plan in alone))
    assert both.lanes == {**alone[0].lanes, **alone[1].lanes}
