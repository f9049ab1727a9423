"""Coupled lanes: the mixed-integer program sized to the time there is, and a greedy plan without it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spillway.decide.allocation.cells import make_cells, make_groups, reference_work
from spillway.decide.allocation.model import build
from spillway.decide.allocation.plan import Schedule, Status
from spillway.decide.allocation.problem import LaneProblem, Problem
from spillway.decide.allocation.program import advance, solve_lane
from spillway.decide.allocation.recourse import one_lane
from spillway.decide.allocation.solver import run
from spillway.decide.allocation.types import Floats


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work a solve may be. Columns and nodes bound it the same on every machine; the time is a safety net."""

    seconds: float = 1.0
    nodes: int = 15
    gap: float = 0.005
    columns: int = 600
    outcomes: int = 7
    """Most outcomes of demand a period and branch."""
    branches: int = 3
    """Most ways that demand may take after the first period, each with its own replicas; as many as leave three
    outcomes a period to each (measured: outcomes are worth more than branches)."""
    integers: int = 1
    """Periods whose replicas are whole in the program; later ones are rounded."""
    accepted_gap: float = 0.03
    """What was found at the limit is taken if it is within this of the bound."""


def solve_coupled(problem: Problem, effort: Effort) -> Schedule | None:
    """The best schedule within the effort; None where nothing close enough was found."""
    groups = make_groups(problem, merge=True)
    width = sum(1 + len(item.hosted) for item in problem.classes) + sum(len(g.lanes) for g in groups)
    width += len({number for g in groups if len(g.lanes) > 1 for number in g.lanes})
    cells, periods = effort.columns // max(width, 1), len(problem.period_seconds)
    branches = max(1, min(effort.branches, cells // (3 * periods)))
    outcomes = outcomes_within(periods, cells // branches, effort.outcomes)
    model = build(problem, make_cells(problem, outcomes, branches), groups, integers=effort.integers)
    found = run(model, effort.seconds, effort.gap, effort.nodes)
    if found is None or (not found.optimal and found.gap > effort.accepted_gap):
        return None
    expected = np.tensordot(model.weights, found.values[model.replicas], axes=1)
    replicas = whole(problem, expected, 1)
    return Schedule(
        tuple(lane.name for lane in problem.lanes),
        replicas,
        np.array(problem.period_seconds, dtype=np.float64),
        found.usd,
        found.gap,
        Status.OPTIMAL if found.optimal else Status.TIME_LIMIT,
    )


def outcomes_within(periods: int, cells: int, most: int) -> list[int]:
    """Outcomes by period for so many cells in total: at least one each, the earlier periods first."""
    spare = max(0, min(cells, most * periods) - periods)
    return [1 + spare // periods + (1 if k < spare % periods else 0) for k in range(periods)]


def whole(problem: Problem, values: Floats, integers: int) -> Floats:
    """Whole replicas: later periods are rounded up where more than a tenth is asked for and the pool has room."""
    found = np.floor(values + 1e-6)
    found[:, :integers] = np.round(values[:, :integers])
    for k in range(integers, values.shape[1]):
        for number in np.argsort(found[:, k] - values[:, k], kind="stable"):
            lane = problem.lanes[number]
            held = sum(
                found[i, k] * other.gpus_per_replica
                for i, other in enumerate(problem.lanes)
                if other.pool is not None and other.pool == lane.pool
            )
            room = problem.pools.get(lane.pool, math.inf) if lane.pool is not None else math.inf
            if values[number, k] - found[number, k] > 0.1 and held + lane.gpus_per_replica <= room:
                found[number, k] += 1
    return found


def greedy(problem: Problem) -> Schedule:
    """Lane by lane, the cheapest per unit of work first: each the open-loop schedule for what is left to it."""
    work = {item.key: reference_work(problem, item) for item in problem.classes}

    def price(lane: LaneProblem) -> float:
        ratios = [seconds / work[key] for key, seconds in lane.work_seconds.items()]
        return lane.usd_per_replica_hour * (float(np.mean(ratios)) if ratios else 1.0)

    seconds = np.asarray(problem.period_seconds, dtype=np.float64)
    found, usd, rest = {}, 0.0, problem
    for lane in sorted(problem.lanes, key=lambda item: (price(item), item.name)):
        mine = replace(rest, lanes=(lane,), classes=tuple(rest.users(lane)))
        policy = solve_lane(mine, lane, levels=1)
        merged = policy.path(lane.ready, lane.pending_seconds)
        path = [merged[policy.period_at(float(at))] for at in np.cumsum(seconds) - seconds]
        found[lane.name] = path
        usd += float(policy.costs(lane.ready, lane.pending_seconds).min())
        rest = _remaining(rest, lane, path)
    return Schedule(
        tuple(lane.name for lane in problem.lanes),
        np.array([found[lane.name] for lane in problem.lanes], dtype=np.float64).reshape(len(problem.lanes), -1),
        seconds,
        usd,
        1.0,
        Status.FAST,
    )


def _remaining(problem: Problem, lane: LaneProblem, path: Sequence[int]) -> Problem:
    """The problem with what the lane takes and the GPUs that it holds taken off."""
    have, soon, serving = lane.ready, list(lane.pending_seconds), []
    for order, seconds in zip(path, problem.period_seconds, strict=True):
        serving.append(min(have, order))
        have, soon = advance(have, soon, order, float(seconds), lane.startup_seconds)
    load = problem.work(lane)
    most = max(serving, default=0)
    table = lane.response.table(load, most)
    left = np.take_along_axis(table, np.broadcast_to(np.array(serving)[None, :, None], (*load.shape, 1)), axis=2)
    taken = one_lane(problem, lane, {item.key: item.demand for item in problem.classes}, load - left[..., 0]).own
    classes = tuple(replace(item, demand=np.maximum(item.demand - taken[item.key], 0.0)) for item in problem.classes)
    pools = dict(problem.pools)
    if lane.pool in pools:
        pools[lane.pool] = max(0.0, pools[lane.pool] - max(path) * lane.gpus_per_replica)
    return replace(problem, classes=classes, pools=pools)


def routed(problem: Problem, serving: Floats) -> list[dict[str, dict[str, float]]]:
    """Shares of each class by lane in the first periods, with so many replicas (L, P) serving each of them."""
    periods = serving.shape[1]
    mean = {item.key: np.maximum(item.demand.mean(axis=0)[:periods], 1e-6) for item in problem.classes}
    if len(problem.lanes) <= 1:
        return [_closed_form(problem, serving[:, k], k) for k in range(periods)]
    now = replace(
        problem,
        period_seconds=np.ones(periods),
        classes=tuple(replace(item, demand=mean[item.key][None, :]) for item in problem.classes),
    )
    groups = make_groups(now, merge=False)
    model = build(now, make_cells(now, [1] * periods), groups, integers=0, fixed=serving)
    found = run(model, 1.0, 0.0, 1)
    if found is None:
        return [{item.key: {} for item in problem.classes} for _ in range(periods)]
    shares = []
    for k in range(periods):
        mine: dict[str, dict[str, float]] = {item.key: {} for item in now.classes}
        for (g, number), local in model.local.taken.items():
            item, lane = now.classes[groups[g].classes[0]], now.lanes[number]
            rate = model.at(found.values, k, local) / lane.work_seconds[item.key]
            mine[item.key][lane.name] = rate / float(mean[item.key][k])
        for (c, name), local in model.local.hosted.items():
            item = now.classes[c]
            mine[item.key][name] = model.at(found.values, k, local) / float(mean[item.key][k])
        shares.append({key: _clean(value) for key, value in mine.items()})
    return shares


def _closed_form(problem: Problem, serving: Floats, period: int) -> dict[str, dict[str, float]]:
    """At most one own lane: expected over the paths."""
    demand = {item.key: np.maximum(item.demand[:, period], 1e-6) for item in problem.classes}
    lane = problem.lanes[0] if problem.lanes else None
    taken = np.zeros(next(iter(demand.values())).shape) if demand else np.zeros(1)
    if lane is not None:
        work = sum((demand[key] * seconds for key, seconds in lane.work_seconds.items()), np.zeros(taken.shape))
        taken = work - lane.response.left_at(int(serving[0]), work)
    served = one_lane(problem, lane, demand, taken)
    shares: dict[str, dict[str, float]] = {}
    for key, rate in demand.items():
        mine = {name: float(value.mean()) for (other, name), value in served.hosted.items() if other == key}
        if lane is not None and key in lane.work_seconds:
            mine[lane.name] = float(served.own[key].mean())
        shares[key] = _clean({name: value / float(rate.mean()) for name, value in mine.items()})
    return shares


def _clean(shares: Mapping[str, float]) -> dict[str, float]:
    kept = {name: min(1.0, value) for name, value in sorted(shares.items()) if value > 1e-9}
    total = sum(kept.values())
    return {name: value / total for name, value in kept.items()} if total > 1.0 else kept
