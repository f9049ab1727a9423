"""Collects columns and rows, singly or the same for many cells at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillway.decide.allocation.types import Floats, Ints, Longs

INFINITE = 1e30

Terms = list[tuple[int, float]]
"""Columns of replicas that serve in a period, with their share of it."""
Serving = list[list[list[Terms]]]
"""By branch, lane and period."""


@dataclass(frozen=True, slots=True)
class LocalColumns:
    """Where a cell's columns are, counted from its first."""

    width: int
    hosted: Mapping[tuple[int, str], int]
    """By (class, hosted lane)."""
    missed: Mapping[int, int]
    taken: Mapping[tuple[int, int], int]
    """By (group, lane): work in the lane's replicas."""


class Rows:
    """A program under construction."""

    def __init__(self) -> None:
        self.cost: list[float] = []
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.integer: list[int] = []
        self.row_lower: list[float] = []
        self.row_upper: list[float] = []
        self.starts: list[int] = [0]
        self.columns: list[int] = []
        self.values: list[float] = []

    def column(self, cost: float, lower: float, upper: float, *, integer: bool = False) -> int:
        """Add a column; its number."""
        self.cost.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        self.integer.append(int(integer))
        return len(self.cost) - 1

    def row(self, lower: float, upper: float, columns: Sequence[int], values: Sequence[float]) -> None:
        """Add a row."""
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        self.columns += columns
        self.values += values
        self.starts.append(len(self.columns))

    def arrays(self) -> tuple[Floats, Floats, Floats, Ints, Floats, Floats, Ints, Ints, Floats]:
        """Cost, lower, upper, integrality of columns; bounds of rows; row starts, columns, values."""
        return (
            np.array(self.cost),
            np.array(self.lower),
            np.array(self.upper),
            np.array(self.integer, dtype=np.int32),
            np.array(self.row_lower),
            np.array(self.row_upper),
            np.array(self.starts, dtype=np.int32),
            np.array(self.columns, dtype=np.int32),
            np.array(self.values),
        )


class Stamp:
    """Columns and rows of one cell, to be repeated for all: bounds and costs differ by cell, coefficients don't.

    Column numbers are counted from the cell's first; negative ones stand for columns outside, see `print_on`.
    """

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self._columns: list[tuple[Floats | float, float, Floats | float]] = []
        self._rows: list[tuple[Floats | float, Floats | float]] = []
        self._index: list[int] = []
        self._values: list[float] = []
        self._lengths: list[int] = []

    @property
    def width(self) -> int:
        """Columns a cell."""
        return len(self._columns)

    def column(self, cost: Floats | float, lower: float, upper: Floats | float) -> int:
        """Add a column to every cell; its local number."""
        self._columns.append((cost, lower, upper))
        return len(self._columns) - 1

    def row(
        self, lower: Floats | float, upper: Floats | float, columns: Sequence[int], values: Sequence[float]
    ) -> None:
        """Add a row to every cell."""
        self._rows.append((lower, upper))
        self._index += columns
        self._values += values
        self._lengths.append(len(columns))

    def print_on(self, rows: Rows, outside: Longs) -> None:
        """Repeat for all cells. ``outside`` (cells, X): the column that -1, -2, ... stand for."""
        first = len(rows.cost)
        rows.cost += self._spread([cost for cost, _, _ in self._columns])
        rows.lower += self._spread([lower for _, lower, _ in self._columns])
        rows.upper += self._spread([upper for _, _, upper in self._columns])
        rows.integer += [0] * (self.width * self.cells)
        index = np.array(self._index, dtype=np.int64)
        bases = first + self.width * np.arange(self.cells)[:, None]
        numbers = np.where(index >= 0, bases + index, 0)
        if outside.shape[1]:
            numbers = np.where(index >= 0, numbers, outside[:, np.where(index < 0, -1 - index, 0)])
        ends = len(rows.columns) + np.cumsum(np.tile(self._lengths, self.cells))
        rows.columns += numbers.ravel().tolist()
        rows.values += self._values * self.cells
        rows.starts += ends.tolist()
        rows.row_lower += self._spread([lower for lower, _ in self._rows])
        rows.row_upper += self._spread([upper for _, upper in self._rows])

    def _spread(self, values: Sequence[Floats | float]) -> list[float]:
        """All values of the first cell, then of the second, and so on."""
        table = np.empty((self.cells, len(values)))
        for number, value in enumerate(values):
            table[:, number] = value
        found: list[float] = table.ravel().tolist()
        return found
