"""The mixed-integer program of coupled lanes as sparse arrays.

Replicas to have, n[lane, period], are common to all outcomes of demand in the first period and to those of a branch
after; what is served where is decided per outcome (cell). An order serves after the start-up: replicas that serve are
at most the replicas to have in every period since, which also says that what is stopped goes at once and what is under
way goes first.

    min  sum price * n  +  sum weight * length * (usd * pacing * hosted + miss price * missed)  -  worth of the last n
    n[l,k] >= ready[l,k] (of the orders since);  GPUs of a pool;  orders stay a minimum up-time
    per cell: sum over lanes of taken work + hosted + missed = demand, by group and by class
              taken work <= linear bounds of load - left(load, ready)
              hosted within requests and tokens per minute, and within the dollar ceilings
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spillway.decide.allocation.cells import Cell, Group
from spillway.decide.allocation.problem import LaneProblem, Problem
from spillway.decide.allocation.recourse_rows import add_cells
from spillway.decide.allocation.rows import INFINITE, LocalColumns, Rows, Serving, Terms
from spillway.decide.allocation.types import Floats, Ints, Longs

_SLACK = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Columns and rows for the solver, and where to find what in a solution."""

    cost: Floats
    lower: Floats
    upper: Floats
    integer: Ints
    row_lower: Floats
    row_upper: Floats
    starts: Ints
    columns: Ints
    values: Floats
    replicas: Longs
    """(B, L, K) columns by branch; the same in the first period."""
    weights: Floats
    """(B,) of the branches."""
    local: LocalColumns
    first: int
    """Column where the first cell begins."""

    def at(self, values: Floats, cell: int, local: int) -> float:
        """Value of a cell's column in a solution."""
        return float(values[self.first + cell * self.local.width + local])


def build(
    problem: Problem,
    cells: Sequence[Cell],
    groups: Sequence[Group],
    *,
    integers: int,
    fixed: Floats | None = None,
) -> Model:
    """The program for these cells; replicas are whole in the first ``integers`` periods, real-valued after.

    With ``fixed`` (L, K) so many replicas serve and only the recourse is left to decide.
    """
    rows = Rows()
    weights = _branch_weights(cells)
    if fixed is None:
        replicas, serving = _replicas(problem, rows, weights, integers)
        _pools(problem, rows, replicas)
    else:
        replicas = np.array([[[rows.column(0.0, n, n) for n in lane] for lane in fixed.tolist()]], dtype=np.int64)
        serving = [[[[(int(column), 1.0)] for column in lane] for lane in branch] for branch in replicas]
    first = len(rows.cost)
    local = add_cells(problem, cells, groups, rows, serving)
    return Model(
        *rows.arrays(),
        replicas=replicas.reshape(len(replicas), len(problem.lanes), len(problem.period_seconds)),
        weights=weights,
        local=local,
        first=first,
    )


def _branch_weights(cells: Sequence[Cell]) -> Floats:
    if not cells:
        return np.ones(1)
    last = max(cell.period for cell in cells)
    weights = np.zeros(max(cell.branch for cell in cells) + 1)
    for cell in cells:
        if cell.period == last:
            weights[cell.branch] += cell.weight
    return weights


def _replicas(problem: Problem, rows: Rows, weights: Floats, integers: int) -> tuple[Longs, Serving]:
    """Columns (B, L, K), and what serves by branch, lane and period."""
    periods, hours = len(problem.period_seconds), problem.hours
    replicas = np.zeros((len(weights), len(problem.lanes), periods), dtype=np.int64)
    serving: Serving = []
    for branch, weight in enumerate(weights.tolist()):
        mine = []
        for number, lane in enumerate(problem.lanes):
            least, most = problem.least(lane), problem.most(lane)
            for k in range(periods):
                price = lane.usd_per_replica_hour * float(hours[k])
                if k > 0:
                    column = rows.column(weight * price, least, most, integer=k < integers)
                elif branch > 0:
                    column = int(replicas[0, number, 0])
                else:
                    column = rows.column(price, least, most, integer=integers > 0)
                replicas[branch, number, k] = column
            terms = _serving(problem, lane, rows, replicas[branch, number])
            mine.append(terms if branch == 0 else [serving[0][number][0], *terms[1:]])
            if lane.minimum_up_seconds > 0:
                _minimum_up(problem, lane, rows, replicas[branch, number])
            if lane.terminal_usd is not None:
                _terminal(lane.terminal_usd, most, rows, int(replicas[branch, number, -1]), weight)
        serving.append(mine)
    return replicas, serving


def _serving(problem: Problem, lane: LaneProblem, rows: Rows, replicas: Longs) -> list[Terms]:
    """What serves in each period: at most what was to be there since the start-up time before."""
    seconds = np.asarray(problem.period_seconds, dtype=np.float64)
    ends = np.cumsum(seconds)
    ratio = lane.startup_seconds / float(seconds.mean())
    stages = max(1, math.ceil(ratio - _SLACK))
    share = min(1.0, ratio - (stages - 1))
    arrived = [
        lane.ready + sum(min(1.0, max(0.0, (end - s) / length)) for s in lane.pending_seconds)
        for end, length in zip(ends, seconds, strict=True)
    ]
    terms = []
    for k in range(len(seconds)):
        parts = []
        for back, part in ((stages, share), (stages - 1, 1 - share)):
            if part < _SLACK:
                continue
            upper = arrived[k] if k < back else INFINITE
            column = rows.column(0.0, 0.0, upper)
            for j in range(max(0, k - back), k + 1):
                rows.row(-INFINITE, 0.0, [column, int(replicas[j])], [1.0, -1.0])
            parts.append((column, part))
        whole = sum(part for _, part in parts)
        terms.append([(column, part / whole) for column, part in parts])
    return terms


def _minimum_up(problem: Problem, lane: LaneProblem, rows: Rows, replicas: Longs) -> None:
    """Orders of the last minimum up-time are still there: n[k] >= sum of orders since, those under way included."""
    seconds = np.asarray(problem.period_seconds, dtype=np.float64)
    begins = np.cumsum(seconds) - seconds
    have, most = lane.ready + len(lane.pending_seconds), problem.most(lane)
    orders = []
    for k in range(len(seconds)):
        order = rows.column(0.0, 0.0, INFINITE)
        orders.append(order)
        if k == 0:
            rows.row(-have, INFINITE, [order, int(replicas[0])], [1.0, -1.0])
        else:
            rows.row(0.0, INFINITE, [order, int(replicas[k]), int(replicas[k - 1])], [1.0, -1.0, 1.0])
        recent = [orders[j] for j in range(k + 1) if begins[j] > begins[k] - lane.minimum_up_seconds + 1e-9]
        young = sum(1 for s in lane.pending_seconds if lane.startup_seconds - s + begins[k] < lane.minimum_up_seconds)
        rows.row(min(young, most), INFINITE, [int(replicas[k]), *recent], [1.0] + [-1.0] * len(recent))


def _terminal(worth: Floats, most: int, rows: Rows, last: int, weight: float) -> None:
    """Dollars of the replicas at the end, by the least concave curve above the given values."""
    points = [(n, float(worth[min(n, len(worth) - 1)])) for n in range(most + 1)]
    hull: list[tuple[int, float]] = []
    for n, value in points:
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (n - hull[-1][0]) <= (value - hull[-1][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((n, value))
    column = rows.column(-weight, -INFINITE, max(value for _, value in hull))
    for (a, low), (b, high) in pairwise(hull):
        slope = (high - low) / (b - a)
        rows.row(-INFINITE, low - slope * a, [column, last], [1.0, -slope])


def _pools(problem: Problem, rows: Rows, replicas: Longs) -> None:
    for pool, gpus in problem.pools.items():
        mine = [(i, lane.gpus_per_replica) for i, lane in enumerate(problem.lanes) if lane.pool == pool]
        if len(mine) > 1:
            for columns in replicas.transpose(0, 2, 1).reshape(-1, replicas.shape[1]):
                rows.row(-INFINITE, gpus, [int(columns[i]) for i, _ in mine], [float(g) for _, g in mine])
