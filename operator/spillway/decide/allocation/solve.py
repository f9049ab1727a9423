"""Allocation of one plan: a dynamic program per independent lane, a mixed-integer program for coupled ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from spillway.decide.allocation.coupled import Effort, greedy, routed, solve_coupled
from spillway.decide.allocation.parts import fitted, split
from spillway.decide.allocation.plan import AllocationState, LanePlan, Plan, Schedule, Status
from spillway.decide.allocation.problem import LaneProblem, Problem
from spillway.decide.allocation.program import Policy, advance, solve_lane
from spillway.decide.allocation.recourse import one_lane


@dataclass(frozen=True, slots=True)
class Settings:
    """How allocation works."""

    solve_seconds: float = 60.0
    """Between solves of coupled lanes; in between the last schedule answers."""
    levels: int = 8
    """Demand levels of the dynamic program."""
    effort: Effort = field(default_factory=Effort)
    orders_only: bool = False
    """Only what to ask for now: no later periods, shares and dollars of the whole plan."""


Solved = Policy | Schedule | None


def allocate(
    problem: Problem, state: AllocationState | None, at: float, settings: Settings | None = None
) -> tuple[Plan, AllocationState]:
    """What to ask for at time ``at`` (seconds), and what to remember."""
    settings, problem = settings or Settings(), fitted(problem)
    parts = split(problem)
    signature = _signature(problem, parts)
    known = state is not None and state.signature == signature
    due = not known or state is None or not 0 <= at - state.solved_at < settings.solve_seconds
    solved: list[Solved] = []
    schedules = dict[str, Schedule]()
    for part in parts:
        found = _solve_part(part, state, at, settings, due=due)
        solved.append(found)
        if isinstance(found, Schedule):
            schedules[_name(part)] = found
    made = AllocationState(at, schedules, signature) if due or state is None else state
    if settings.orders_only:
        return _ordered(parts, solved, at - made.solved_at), made
    return _plan(problem, parts, solved, at - made.solved_at, fast=bool(schedules) and not due), made


def _ordered(parts: list[Problem], solved: list[Solved], elapsed: float) -> Plan:
    """The orders of now alone."""
    lanes = {}
    for part, found in zip(parts, solved, strict=True):
        for number, lane in enumerate(part.lanes):
            order = part.least(lane)
            if isinstance(found, Policy):
                order = _cheapest(found, lane)
            elif isinstance(found, Schedule):
                order = int(found.replicas[number, found.shifted(elapsed)])
            order = min(max(order, part.least(lane)), part.most(lane))
            lanes[lane.name] = LanePlan(order, (order,))
    return Plan(lanes, {}, {}, math.nan, Status.OPTIMAL)


def _cheapest(policy: Policy, lane: LaneProblem) -> int:
    """The order with the least expected dollars; of equals the one nearest to what is asked for now."""
    costs = policy.costs(lane.ready, lane.pending_seconds)
    asked = lane.ready + len(lane.pending_seconds)
    return min(np.nonzero(costs <= costs.min())[0].tolist(), key=lambda order: (abs(order - asked), order))


def _solve_part(part: Problem, state: AllocationState | None, at: float, settings: Settings, *, due: bool) -> Solved:
    if not part.lanes:
        return None
    if is_single(part):
        return solve_lane(part, part.lanes[0], settings.levels)
    if not due and state is not None:
        return state.schedules[_name(part)]
    return solve_coupled(part, settings.effort) or _kept(part, state, at) or greedy(part)


def is_single(part: Problem) -> bool:
    """Whether the exact program of one lane covers the part."""
    return len(part.lanes) == 1 and part.lanes[0].minimum_up_seconds <= 0


def _name(part: Problem) -> str:
    return ",".join(lane.name for lane in part.lanes)


def _signature(problem: Problem, parts: list[Problem]) -> str:
    """What a solution is for: lanes with bounds and prices, classes with options, limits; not demand or what runs."""
    lanes = [
        (lane.name, lane.usd_per_replica_hour, problem.least(lane), problem.most(lane), *sorted(lane.work_seconds))
        for lane in problem.lanes
    ]
    classes = [(item.key, *(option.lane for option in item.hosted)) for item in problem.classes]
    together = [_name(part) for part in parts]
    limits = (problem.ceiling_usd_per_hour, *sorted(problem.pools.items()), *sorted(problem.tier_usd_per_hour.items()))
    return repr((lanes, classes, together, limits, len(problem.period_seconds)))


def _kept(part: Problem, state: AllocationState | None, at: float) -> Schedule | None:
    """The last schedule of these lanes, shifted to now, within the bounds of now."""
    last = None if state is None else state.schedules.get(_name(part))
    if last is None or state is None:
        return None
    begins = np.cumsum(part.period_seconds) - np.asarray(part.period_seconds)
    if not 0 <= at - state.solved_at < float(last.seconds.sum()):
        return None
    periods = [last.shifted(at - state.solved_at + float(begin)) for begin in begins]
    replicas = np.ascontiguousarray(last.replicas[:, periods])
    for number, lane in enumerate(part.lanes):
        replicas[number] = np.clip(replicas[number], part.least(lane), part.most(lane))
    for pool, gpus in part.pools.items():
        mine = np.array([lane.gpus_per_replica if lane.pool == pool else 0 for lane in part.lanes])
        if (mine @ replicas > gpus + 1e-9).any():
            return None
    return Schedule(last.lanes, replicas, np.array(part.period_seconds), last.usd, last.gap, Status.KEPT)


def _hosted_only(part: Problem) -> float:
    """Expected dollars of classes without an own lane."""
    if not part.classes:
        return 0.0
    demand = {item.key: item.demand for item in part.classes}
    served = one_lane(part, None, demand, np.zeros(part.classes[0].demand.shape))
    usd = np.broadcast_to(served.usd_per_second, part.classes[0].demand.shape).mean(axis=0)
    return float(usd @ np.asarray(part.period_seconds))


def _plan(problem: Problem, parts: list[Problem], solved: list[Solved], elapsed: float, *, fast: bool) -> Plan:
    gap, usd = 0.0, 0.0
    lanes: dict[str, LanePlan] = {}
    now: dict[str, dict[str, float]] = {}
    later: dict[str, dict[str, float]] = {}
    statuses = {Status.OPTIMAL}
    for part, found in zip(parts, solved, strict=True):
        if isinstance(found, Schedule):
            statuses.add(found.status)
            gap = max(gap, found.gap)
        usd += _usd(part, found)
        serving = np.zeros((len(part.lanes), min(2, len(problem.period_seconds))))
        for number, lane in enumerate(part.lanes):
            orders = _orders(part, lane, found, number, elapsed)
            lanes[lane.name] = LanePlan(orders[0], tuple(orders))
            serving[number] = _serving(problem, lane, orders)[: serving.shape[1]]
        if part.classes:
            shares = routed(part, serving)
            now |= shares[0]
            later |= shares[-1]
    order = (Status.KEPT, Status.FAST, Status.TIME_LIMIT, Status.OPTIMAL)
    status = Status.FAST if fast else next(s for s in order if s in statuses)
    keys = [item.key for item in problem.classes]
    return Plan(lanes, {key: now[key] for key in keys}, {key: later[key] for key in keys}, usd, status, gap)


def _usd(part: Problem, solved: Solved) -> float:
    if solved is None:
        return _hosted_only(part)
    if isinstance(solved, Schedule):
        return solved.usd
    return float(solved.costs(part.lanes[0].ready, part.lanes[0].pending_seconds).min())


def _orders(part: Problem, lane: LaneProblem, solved: Solved, number: int, elapsed: float) -> list[int]:
    begins = (np.cumsum(part.period_seconds) - np.asarray(part.period_seconds)).tolist()
    least, most = part.least(lane), part.most(lane)
    if isinstance(solved, Policy):
        path = solved.path(lane.ready, lane.pending_seconds)
        orders = [path[solved.period_at(begin)] for begin in begins]
    elif isinstance(solved, Schedule):
        orders = [int(solved.replicas[number, solved.shifted(elapsed + begin)]) for begin in begins]
    else:
        orders = [least] * len(begins)
    return [min(max(order, least), most) for order in orders]


def _serving(problem: Problem, lane: LaneProblem, orders: list[int]) -> list[float]:
    """Replicas that serve in the first and the second period."""
    first = min(lane.ready, orders[0])
    seconds = float(problem.period_seconds[0])
    up, _ = advance(lane.ready, lane.pending_seconds, orders[0], seconds, lane.startup_seconds)
    second = min(up, orders[1]) if len(orders) > 1 else up
    return [float(first), float(second)]


def expected_usd(problem: Problem, settings: Settings, parts: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> float:
    """Dollars over the horizon, planned in the given parts (names of lanes, keys of classes)."""
    total = 0.0
    for names, keys in parts:
        part = replace(
            problem,
            lanes=tuple(lane for lane in problem.lanes if lane.name in names),
            classes=tuple(item for item in problem.classes if item.key in keys),
        )
        if is_single(part):
            total += _usd(part, solve_lane(part, part.lanes[0], settings.levels))
        elif not names:
            total += _hosted_only(part)
        else:
            schedule = solve_coupled(part, settings.effort)
            total += math.nan if schedule is None else schedule.usd
    return total
