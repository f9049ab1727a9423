"""Time and quality of allocation: ``PYTHONPATH=operator:tests python -m decide.allocation.benchmark``.

CPU time of this process is printed beside wall time, as a shared machine stretches the latter.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import highspy
import numpy as np

from decide.allocation.problems import busy, one_class, one_lane, walks
from spillway.decide.allocation import Effort, Problem, Settings, allocate, solve_lane
from spillway.decide.allocation.cells import make_cells, make_groups
from spillway.decide.allocation.coupled import outcomes_within, solve_coupled
from spillway.decide.allocation.model import Model, build
from spillway.decide.allocation.solver import run


def say(line: str) -> None:
    """A line of the result."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


SCALES = (0.3, 0.6, 1.0, 2.0)
LONG = {"seconds": 120.0, "gap": 2e-4, "nodes": 3000}


def timed(calls: list[Callable[[], object]]) -> str:
    """p50 and p99 of wall and CPU milliseconds."""
    wall, cpu = [], []
    for call in calls:
        began, used = time.perf_counter(), time.process_time()
        call()
        wall.append(1e3 * (time.perf_counter() - began))
        cpu.append(1e3 * (time.process_time() - used))
    parts = [
        f"{name} p50 {np.quantile(v, 0.5):6.2f}  p99 {np.quantile(v, 0.99):6.2f}"
        for name, v in (("wall", wall), ("cpu", cpu))
    ]
    return "  ".join(parts) + " ms"


def program() -> None:
    """One lane: 8 levels, 40 replicas, 8 periods."""
    random = np.random.default_rng(0)
    item = one_class(walks(random, 64, 8, 20.0))
    for stages in (1, 2):
        lane = one_lane((item,), most=40, ready=15, startup_seconds=120.0 * stages)
        problem = Problem(np.full(8, 120.0), (lane,), (item,))
        policy = solve_lane(problem, lane)
        say(f"dynamic program, {stages} under way:  {timed([lambda p=problem, x=lane: solve_lane(p, x)] * 100)}")  # type: ignore[misc]
        say(f"  lookup between solves:      {timed([lambda q=policy: q.order(15, (30.0,), 20.0, 20.0)] * 200)}")  # type: ignore[misc]
        small = replace(problem, classes=(replace(item, demand=item.demand[::4]),))
        say(f"  open loop of 16 paths:      {timed([lambda p=small, x=lane: solve_lane(p, x, levels=1)] * 100)}")  # type: ignore[misc]


def ticks(effort: Effort) -> None:
    """8 classes on 4 own and 2 hosted lanes: solving ticks, and the ticks between."""
    problems = [busy(seed, scale=scale) for scale in SCALES for seed in range(25)]
    settings = Settings(effort=effort)
    allocate(problems[0], None, 0.0, settings)
    states = [allocate(problem, None, 0.0, settings) for problem in problems]
    solving: list[Callable[[], object]] = [lambda p=p: allocate(p, None, 0.0, settings) for p in problems]  # type: ignore[misc]
    between: list[Callable[[], object]] = [
        lambda p=p, s=s: allocate(p, s, 30.0, settings)  # type: ignore[misc]
        for p, (_, s) in zip(problems, states, strict=True)
    ]
    counts = {
        status: sum(plan.status == status for plan, _ in states) for status in {plan.status for plan, _ in states}
    }
    made = ", ".join(f"{count} {status}" for status, count in counts.items())
    say(f"8 classes, 6 lanes, solving:  {timed(solving)}  {made}")
    say(f"  between solves:             {timed(between)}")


def long_model(problem: Problem) -> Model:
    """Every class by itself, 4 outcomes in 3 branches: about ten times the columns."""
    groups = make_groups(problem, merge=False)
    return build(problem, make_cells(problem, [4] * len(problem.period_seconds), 3), groups, integers=1)


def regret(efforts: dict[str, Effort]) -> None:
    """Expected dollars of a quick solve's first orders, the rest decided by the long model, over the long optimum."""
    problems = [busy(seed, scale=scale) for scale in SCALES[:3] for seed in range(4)]
    best = []
    for problem in problems:
        found = run(long_model(problem), **LONG)  # type: ignore[arg-type]
        assert found is not None
        best.append(found.usd)
    for name, effort in efforts.items():
        shares = []
        for problem, usd in zip(problems, best, strict=True):
            schedule, model = solve_coupled(problem, effort), long_model(problem)
            if schedule is None:
                continue
            columns = model.replicas[0, :, 0]
            lower, upper = model.lower.copy(), model.upper.copy()
            lower[columns] = upper[columns] = schedule.replicas[:, 0]
            found = run(replace(model, lower=lower, upper=upper), **LONG)  # type: ignore[arg-type]
            assert found is not None
            shares.append(100 * (found.usd / usd - 1))
        say(f"{name:28s}  above a long solve: mean {np.mean(shares):.2f}%  worst {max(shares):.2f}%  of {len(shares)}")


def against_highs() -> None:
    """The same programs by HiGHS's own branch and cut."""
    models = []
    for scale in SCALES:
        for seed in range(5):
            problem = busy(seed, scale=scale)
            groups = make_groups(problem, merge=True)
            models.append(build(problem, make_cells(problem, outcomes_within(6, 14, 7)), groups, integers=1))

    def by_highs(model: Model) -> None:
        highs = highspy.Highs()
        for name, value in (("output_flag", False), ("threads", 1), ("mip_rel_gap", 0.005)):
            highs.setOptionValue(name, value)
        highs.passModel(
            len(model.cost), len(model.row_lower), len(model.values), 2, 1, 0.0, model.cost, model.lower, model.upper,
            model.row_lower, model.row_upper, model.starts, model.columns, model.values, model.integer,
        )  # fmt: skip
        highs.run()

    say(f"program of one tick, ours:    {timed([lambda m=m: run(m, 1.0, 0.005, 15) for m in models])}")  # type: ignore[misc]
    say(f"  HiGHS's own search:         {timed([lambda m=m: by_highs(m) for m in models])}")  # type: ignore[misc]


def main() -> int:
    """All of it."""
    program()
    ticks(Effort())
    regret({"default": Effort(), "400 columns": Effort(columns=400), "1200 columns": Effort(columns=1200)})
    against_highs()
    return 0


if __name__ == "__main__":
    sys.exit(main())
