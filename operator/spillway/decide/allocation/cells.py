"""Few weighted outcomes of demand per period that stand for many joint paths, and classes that are planned as one.

Replicas are common to all outcomes of a branch and recourse is separate per period, so within a branch only each
period's own joint distribution over classes matters, not how paths run on: outcomes are made per period. That keeps the
marginal spread, which clustering of whole paths would average away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillway.decide.allocation.problem import ClassProblem, LaneProblem, Problem
from spillway.decide.allocation.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One outcome in one period."""

    period: int
    branch: int
    """Which replicas it is served by; 0 in the first period."""
    weight: float
    """Probability; a period's weights sum to 1."""
    demand: Floats
    """(C,) requests a second."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Classes that may use the same own lanes with the same relation of work: one flow of work per lane."""

    classes: tuple[int, ...]
    lanes: tuple[int, ...]
    work: Floats
    """(C of the group,) reference work in replica-seconds a request: the mean over the lanes."""
    per_lane: Floats
    """(L of the group,) work at the lane per unit of reference work."""


def make_cells(problem: Problem, outcomes: Sequence[int], branches: int = 1) -> list[Cell]:
    """Per period and branch so many outcomes: means of parts of the paths that differ least in the work they bring.

    Branches part by the work of the second period, which is known when the second order is given; paths of equal work
    stay together, so that no branch tells the future. A path's work counts at the mean of the own lanes, or in
    requests for a class without one.
    """
    if not problem.classes:
        return []
    demand = np.stack([item.demand for item in problem.classes])
    weight = np.array([reference_work(problem, item) or 1.0 for item in problem.classes])
    total = np.tensordot(weight, demand, axes=1)
    paths, periods = total.shape
    order = np.argsort(total[:, min(1, periods - 1)], kind="stable")
    parts = partition(total[order, min(1, periods - 1)], branches)
    branch_paths = [order[begin:end] for begin, end in parts]
    cells = []
    for period in range(periods):
        whole = [np.arange(paths)] if period == 0 else branch_paths
        for branch, members in enumerate(whole):
            ranked = members[np.argsort(total[members, period], kind="stable")]
            for begin, end in partition(total[ranked, period], outcomes[period]):
                part = ranked[begin:end]
                cells.append(Cell(period, branch, len(part) / paths, demand[:, part, period].mean(axis=1)))
    return cells


def partition(ordered: Floats, most: int) -> list[tuple[int, int]]:
    """Up to ``most`` ranges of ascending values: the widest-spread range is split where that takes most variance."""
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    ranges = [(0, len(ordered), *_best_cut(ordered, sums, 0, len(ordered)))]
    while len(ranges) < most:
        number = max(range(len(ranges)), key=lambda i: ranges[i][2])
        begin, end, gain, cut = ranges[number]
        if gain <= 0:
            break
        halves = [(a, b, *_best_cut(ordered, sums, a, b)) for a, b in ((begin, cut), (cut, end))]
        ranges[number : number + 1] = halves
    return [(begin, end) for begin, end, _, _ in ranges]


def _best_cut(ordered: Floats, sums: Floats, begin: int, end: int) -> tuple[float, int]:
    """Variance (times count) that the best cut takes, and where it is; nothing for equal values."""
    if ordered[begin] == ordered[end - 1]:
        return 0.0, begin
    cuts = begin + 1 + np.flatnonzero(ordered[begin + 1 : end] > ordered[begin : end - 1])
    low, high = cuts - begin, end - cuts
    mean_low, mean_high = (sums[cuts] - sums[begin]) / low, (sums[end] - sums[cuts]) / high
    gains = low * high / (end - begin) * (mean_high - mean_low) ** 2
    best = int(np.argmax(gains))
    return float(gains[best]), int(cuts[best])


def reference_work(problem: Problem, item: ClassProblem) -> float:
    """Mean replica-seconds a request over the own lanes that may serve the class; 0 without one."""
    seconds = [lane.work_seconds[item.key] for lane in problem.lanes if item.key in lane.work_seconds]
    return float(np.mean(seconds)) if seconds else 0.0


def make_groups(problem: Problem, *, merge: bool) -> list[Group]:
    """Classes by their lanes and by the relation of work among these, to two digits; each its own if not ``merge``."""
    found: dict[tuple[object, ...], list[int]] = {}
    for index, item in enumerate(problem.classes):
        lanes = _lanes(problem.lanes, item)
        seconds = np.array([problem.lanes[i].work_seconds[item.key] for i in lanes])
        ratios = tuple(np.round(np.log(seconds / seconds.mean()), 1)) if len(lanes) > 1 else ()
        key: tuple[object, ...] = (lanes, *ratios) if merge and lanes else (index,)
        found.setdefault(key, []).append(index)
    return [_group(problem, members) for members in found.values()]


def _group(problem: Problem, members: list[int]) -> Group:
    first = problem.classes[members[0]]
    lanes = _lanes(problem.lanes, first)
    work = np.array([reference_work(problem, problem.classes[i]) or 1.0 for i in members])
    share = np.array([float(problem.classes[i].demand.mean()) for i in members]) * work
    share = share / share.sum() if share.sum() > 0 else np.full(len(members), 1 / len(members))
    per_lane = [
        sum(
            s * problem.lanes[i].work_seconds[problem.classes[c].key] / w
            for s, c, w in zip(share, members, work, strict=True)
        )
        for i in lanes
    ]
    return Group(tuple(members), lanes, work, np.array(per_lane))


def _lanes(lanes: Sequence[LaneProblem], item: ClassProblem) -> tuple[int, ...]:
    return tuple(i for i, lane in enumerate(lanes) if item.key in lane.work_seconds)
