"""The price of a second of a replica's time, piece by piece: the dual of a linear program over the whole span.

The program keeps real-valued replicas N by lane and piece, pays for their start-up and release, and lets the work of
each group of alike requests go to a lane or to its hosted price; work may wait as long as a request may. Its groups
are coarse, so its value proves nothing; any prices that no replica's life can beat (`grid.affordable`) prove a bound,
and the program finds good ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import highspy
import numpy as np
from numpy.typing import NDArray

from spillway.simulate.bound.grid import Grid, LifeCost
from spillway.simulate.world import Floats, Integers, World

MUST_SERVE = 100.0
"""Price of not serving a request that no hosted lane may take, over its dearest own work: forbidding in effect."""
_FREE = highspy.kHighsInf


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Alike requests: of one class, arriving in one piece, with about the same worth per second of work."""

    class_index: int
    piece: int
    work_s: dict[int, float]
    """By own lane that may take them."""
    hosted_usd: float


@dataclass(slots=True)
class _Program:
    """A linear program built row by row: min cost @ x, low <= x, row_low <= rows @ x <= row_high."""

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    row_low: list[float] = field(default_factory=list)
    row_high: list[float] = field(default_factory=list)

    def variables(self, costs: Sequence[float] | Floats, low: float = 0.0, high: float = _FREE) -> Integers:
        """Add variables; their numbers."""
        first = len(self.cost)
        self.cost.extend(float(c) for c in costs)
        self.low.extend([low] * len(costs))
        self.high.extend([high] * len(costs))
        return np.arange(first, len(self.cost))

    def row(self, terms: Sequence[tuple[int, float]], low: float, high: float) -> int:
        """Add a row; its number."""
        self.starts.append(len(self.columns))
        for column, value in terms:
            self.columns.append(int(column))
            self.values.append(float(value))
        self.row_low.append(low)
        self.row_high.append(high)
        return len(self.starts) - 1

    def duals(self) -> Floats:
        """Solve; the rows' duals. Raises ValueError where the solver finds no optimum."""
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self.cost), len(self.starts)
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = (np.array(v) for v in (self.cost, self.low, self.high))
        lp.row_lower_, lp.row_upper_ = np.array(self.row_low), np.array(self.row_high)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.array([*self.starts, len(self.columns)], dtype=np.int32)
        lp.a_matrix_.index_ = np.array(self.columns, dtype=np.int32)
        lp.a_matrix_.value_ = np.array(self.values)
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        solver.passModel(lp)
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise ValueError(f"cost bound: the solver ended with {solver.getModelStatus()}")
        duals: NDArray[np.float64] = np.array(solver.getSolution().row_dual, dtype=np.float64)
        return duals


def lane_prices(
    world: World, pieces: Grid, costs: Sequence[LifeCost], groups: Sequence[Group], windows_s: Sequence[float]
) -> list[Floats]:
    """Dollars per second of work by own lane and piece, not yet made affordable.

    `windows_s`, by class: how long after its arrival a typical request may still be worked on.
    """
    program = _Program()
    replicas = [_replicas(program, world.own[lane].min_replicas, pieces, cost) for lane, cost in enumerate(costs)]
    capacity: list[list[list[tuple[int, float]]]] = [
        [[(n, -width)] for n, width in zip(lane, pieces.widths, strict=True)] for lane in replicas
    ]
    chosen = _choices(program, groups)
    for index, truth in enumerate(world.classes):
        mine = [(group, columns) for group, columns in zip(groups, chosen, strict=True) if group.class_index == index]
        until = pieces.piece(pieces.edges[1:] + windows_s[index])
        for lane in truth.own:
            beyond_usd = world.own[lane].usd_per_replica_hour / 3600.0
            assigned = _assigned(program, [(g.piece, c[lane], g.work_s[lane]) for g, c in mine if lane in c], pieces)
            done = _done(program, assigned, until, pieces)
            program.cost[assigned[-1]] += beyond_usd
            program.cost[done[-1]] -= beyond_usd
            for piece in range(pieces.pieces):
                capacity[lane][piece].append((int(done[piece]), 1.0))
                if piece:
                    capacity[lane][piece].append((int(done[piece - 1]), -1.0))
    rows = [[program.row(terms, -_FREE, 0.0) for terms in lane] for lane in capacity]
    duals = program.duals()
    return [np.maximum(-duals[np.array(lane)], 0.0) for lane in rows]


def _replicas(program: _Program, fewest: int, pieces: Grid, cost: LifeCost) -> Integers:
    """Replicas of a lane by piece, with their cost of being on, of going up and of going down."""
    count = program.variables(cost.on, low=float(fewest))
    ups = program.variables(cost.up[:-1])
    for b in range(pieces.pieces):
        before = [(count[b - 1], -1.0)] if b else []
        program.row([(count[b], 1.0), *before, (ups[b], -1.0)], -_FREE, 0.0)
    if np.any(cost.down > 0.0):
        downs = program.variables(cost.down[1:])
        for b in range(pieces.pieces):
            after = [(count[b + 1], -1.0)] if b + 1 < pieces.pieces else []
            program.row([(count[b], 1.0), *after, (downs[b], -1.0)], -_FREE, 0.0)
    return count


def _choices(program: _Program, groups: Sequence[Group]) -> list[dict[int, int]]:
    """By group: the variable of each lane's share of it, together at most 1; each saves the hosted price."""
    chosen = []
    for group in groups:
        shares = program.variables([-group.hosted_usd] * len(group.work_s), high=1.0)
        columns = dict(zip(group.work_s, shares.tolist(), strict=True))
        if len(columns) > 1:
            program.row([(c, 1.0) for c in columns.values()], -_FREE, 1.0)
        chosen.append(columns)
    return chosen


def _assigned(program: _Program, shares: list[tuple[int, int, float]], pieces: Grid) -> Integers:
    """Work assigned up to the end of each piece, from (piece, variable of the share, seconds of work)."""
    total = program.variables(np.zeros(pieces.pieces))
    terms: list[list[tuple[int, float]]] = [[(int(total[b]), 1.0)] for b in range(pieces.pieces)]
    for b in range(1, pieces.pieces):
        terms[b].append((int(total[b - 1]), -1.0))
    for piece, column, work in shares:
        terms[piece].append((column, -work))
    for row in terms:
        program.row(row, 0.0, 0.0)
    return total


def _done(program: _Program, assigned: Integers, until: Integers, pieces: Grid) -> Integers:
    """Work done up to the end of each piece: never before it has come, never later than it may wait."""
    total = program.variables(np.zeros(pieces.pieces))
    for b in range(pieces.pieces):
        program.row([(total[b], 1.0), (assigned[b], -1.0)], -_FREE, 0.0)
        if b:
            program.row([(total[b - 1], 1.0), (total[b], -1.0)], -_FREE, 0.0)
        if until[b] < pieces.pieces:
            program.row([(assigned[b], 1.0), (total[until[b]], -1.0)], -_FREE, 0.0)
    return total
