"""Few weighted outcomes of demand per period that stand for many joint paths, and classes that are planned as one.

Replicas are common to all outcomes and recourse is separate per period, so only each period's own joint distribution
over classes matters, not how paths run on: outcomes are drawn per period. That keeps the marginal spread, which
clustering of whole paths would average away.
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
    weight: float
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


def make_cells(problem: Problem, outcomes: Sequence[int]) -> list[Cell]:
    """Per period so many outcomes: means of equal shares of the paths, ordered by the work that they bring.

    A path's work counts at the mean of the own lanes, or in requests for a class without one.
    """
    demand = np.stack([item.demand for item in problem.classes])
    weight = np.array([reference_work(problem, item) or 1.0 for item in problem.classes])
    total = np.tensordot(weight, demand, axes=1)
    cells = []
    for period in range(demand.shape[2]):
        order = np.argsort(total[:, period], kind="stable")
        for part in np.array_split(order, min(outcomes[period], len(order))):
            cells.append(Cell(period, len(part) / len(order), demand[:, part, period].mean(axis=1)))
    return cells


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
