"""The recourse of the mixed-integer program: per outcome in a period, what is served where.

By group: work taken on own lanes + hosted + missed = demand. By lane: taken work under linear bounds of
load - left(load, replicas). By hosted lane and ceiling: what may leave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from spillway.decide.allocation.cells import Cell, Group
from spillway.decide.allocation.cuts import chords, tangents
from spillway.decide.allocation.problem import Problem, miss_prices
from spillway.decide.allocation.rows import INFINITE, LocalColumns, Rows, Serving, Stamp
from spillway.decide.allocation.types import Floats, Longs

CHORDS = 12
"""Most pieces of taken work over replicas, for a lane whose load is known."""
_RHO = (0.75, 0.9, 1.0, 1.1, 1.3)
"""Load per replica at which taken work is bounded by a plane, where the load is a choice."""


def add_cells(
    problem: Problem,
    cells: Sequence[Cell],
    groups: Sequence[Group],
    rows: Rows,
    serving: Serving,
) -> LocalColumns:
    """Add the recourse of all cells; ``serving`` holds the columns of replicas."""
    adder = _Adder(problem, cells, groups, serving)
    adder.leftovers()
    for g in range(len(groups)):
        adder.balance(g)
    for number in sorted(adder.shared):
        adder.shared_lane(number)
    adder.limits()
    first = len(rows.cost)
    adder.stamp.print_on(rows, adder.outside())
    for number in range(len(problem.lanes)):
        if number not in adder.shared:
            adder.own_lane(number, rows, first)
    return LocalColumns(adder.stamp.width, adder.hosted, adder.missed, adder.taken)


class _Adder:
    def __init__(
        self,
        problem: Problem,
        cells: Sequence[Cell],
        groups: Sequence[Group],
        serving: Serving,
    ) -> None:
        self.problem, self.cells, self.groups, self.serving = problem, cells, groups, serving
        self.stamp = Stamp(len(cells))
        self.demand = np.array([cell.demand for cell in cells]).reshape(len(cells), len(problem.classes))
        seconds = np.asarray(problem.period_seconds, dtype=np.float64)
        self.scale = np.array([cell.weight * seconds[cell.period] for cell in cells])
        self.hosted: dict[tuple[int, str], int] = {}
        self.missed: dict[int, int] = {}
        self.taken: dict[tuple[int, int], int] = {}
        self.shared = {number for group in groups if len(group.lanes) > 1 for number in group.lanes}
        self.parts = max((len(lane[0]) for lane in serving[0]), default=1)

    def outside(self) -> Longs:
        """The columns that negative numbers stand for: by lane and part of the period."""
        found = np.zeros((len(self.cells), len(self.problem.lanes) * self.parts), dtype=np.int64)
        for row, cell in enumerate(self.cells):
            for number, lane in enumerate(self.serving[cell.branch]):
                for part, (column, _) in enumerate(lane[cell.period]):
                    found[row, number * self.parts + part] = column
        return found

    def leftovers(self) -> None:
        """Columns of what is hosted and missed, by class."""
        prices = miss_prices(self.problem)
        for c, item in enumerate(self.problem.classes):
            self.missed[c] = self.stamp.column(self.scale * prices[item.key], 0.0, self.demand[:, c])
            for option in item.hosted:
                usd = self.scale * (option.usd_per_request * self.problem.pacing)
                self.hosted[c, option.lane] = self.stamp.column(usd, 0.0, self.demand[:, c])

    def _rest(self, c: int) -> list[int]:
        return [self.missed[c], *(self.hosted[c, option.lane] for option in self.problem.classes[c].hosted)]

    def balance(self, g: int) -> None:
        """Demand of a group is taken, hosted or missed; no class leaves more than it has."""
        group, columns, values = self.groups[g], list[int](), list[float]()
        for c, work in zip(group.classes, group.work, strict=True):
            rest = self._rest(c)
            columns += rest
            values += [float(work)] * len(rest)
            if len(group.classes) > 1 and len(rest) > 1:
                self.stamp.row(-INFINITE, self.demand[:, c], rest, [1.0] * len(rest))
        for number, per in zip(group.lanes, group.per_lane, strict=True):
            self.taken[g, number] = self.stamp.column(0.0, 0.0, INFINITE)
            columns.append(self.taken[g, number])
            values.append(1 / float(per))
        total = self.demand[:, list(group.classes)] @ group.work
        self.stamp.row(total, total, columns, values)

    def _mine(self, number: int) -> list[tuple[int, Group, float]]:
        """Groups that may use the lane, with its work per unit of reference work."""
        return [
            (g, group, float(group.per_lane[group.lanes.index(number)]))
            for g, group in enumerate(self.groups)
            if number in group.lanes
        ]

    def _load(self, number: int) -> Floats:
        """(cells,) work at the lane if everything that may came to it."""
        total = np.zeros(len(self.cells))
        for _, group, per in self._mine(number):
            total = total + per * (self.demand[:, list(group.classes)] @ group.work)
        return total

    def shared_lane(self, number: int) -> None:
        """A lane whose load is a choice: planes in load and replicas; what it leaves is hosted or missed."""
        mine = self._mine(number)
        taken = [self.taken[g, number] for g, _, _ in mine]
        ones = [1.0] * len(taken)
        offered = self.stamp.column(0.0, 0.0, self._load(number))
        parts = [part for _, part in self.serving[0][number][0]]
        columns = [-1 - (number * self.parts + p) for p in range(len(parts))]
        for constant, in_load, in_count in self._planes(number):
            values = [*ones, -in_load, *(-in_count * part for part in parts)]
            self.stamp.row(-INFINITE, float(constant), [*taken, offered, *columns], values)
        rest, works = list[int](), list[float]()
        for _, group, per in mine:
            for c, work in zip(group.classes, group.work, strict=True):
                rest += self._rest(c)
                works += [-float(work) * per] * len(self._rest(c))
        self.stamp.row(-INFINITE, 0.0, [offered, *taken, *rest], [1.0, *(-v for v in ones), *works])

    def _planes(self, number: int) -> Floats:
        """Bounds that hold for any load: the load, the replicas, and planes about load = replicas at two sizes."""
        lane, most = self.problem.lanes[number], max(1, self.problem.most(self.problem.lanes[number]))
        size = min(float(most), max(1.0, float(self._load(number).max())))
        points = [(rho * size * part, size * part) for part in (0.4, 1.0) for rho in _RHO]
        planes = tangents(lane.response, np.array(points), most)
        return np.concatenate([np.array([(0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]), planes])

    def own_lane(self, number: int, rows: Rows, first: int) -> None:
        """A lane to which all load of its classes comes: chords in replicas at each cell's load."""
        taken = [self.taken[g, number] for g, _, _ in self._mine(number)]
        if not taken:
            return
        lane, most = self.problem.lanes[number], self.problem.most(self.problem.lanes[number])
        for row, (cell, load) in enumerate(zip(self.cells, self._load(number), strict=True)):
            base = first + row * self.stamp.width
            columns = [base + t for t in taken] + [
                column for column, _ in self.serving[cell.branch][number][cell.period]
            ]
            parts = [part for _, part in self.serving[cell.branch][number][cell.period]]
            for constant, slope in chords(lane.response, float(load), most, CHORDS):
                values = [1.0] * len(taken) + [-float(slope) * part for part in parts]
                rows.row(-INFINITE, float(constant), columns, values)

    def limits(self) -> None:
        """Requests and tokens per minute of hosted lanes, and the dollar ceilings."""
        problem = self.problem
        uses: dict[tuple[str, float], list[tuple[int, float]]] = {}
        for c, item in enumerate(problem.classes):
            for option in item.hosted:
                usd = 3600 * option.usd_per_request
                limits = [
                    ("ceiling", problem.ceiling_usd_per_hour, usd),
                    (f"lane/{option.lane}", 1.0, 1 / option.max_requests_per_second),
                    (
                        f"tokens/{option.lane}",
                        problem.hosted_tokens_per_minute.get(option.lane, math.inf),
                        60 * option.tokens_per_request,
                    ),
                ]
                if item.tier is not None:
                    limits.append((f"tier/{item.tier}", problem.tier_usd_per_hour.get(item.tier, math.inf), usd))
                for name, limit, use in limits:
                    if math.isfinite(limit) and use > 0:
                        uses.setdefault((name, limit), []).append((self.hosted[c, option.lane], use))
        for (_, limit), terms in uses.items():
            self.stamp.row(-INFINITE, limit, [column for column, _ in terms], [use for _, use in terms])
