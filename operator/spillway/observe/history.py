"""Range history on a regular grid, filled once and then only at its newer end; gaps stay gaps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillway.decide.snapshot import Series
from spillway.observe.prometheus import Evaluation
from spillway.observe.promql import TAG

FINE_POINTS = 480
COARSE_POINTS = 15 * 86_400 // 300
OVERLAP_POINTS = 5
"""Points read again each time: rates near the end still change while scrapes arrive."""
MAX_VALUES = 24_000_000
"""Most values that one history holds (about 100 MB): series beyond are refused, with a warning."""
MIN_CHUNK_POINTS = 72
RETRY_SECONDS = 300.0

HistoryKey = tuple[str, tuple[tuple[str, str], ...]]
"""Tag of the measure, and the labels."""

Values = NDArray[np.float32]
Points = Mapping[HistoryKey, tuple[NDArray[np.float64], Values]]
"""Unix times and values as Prometheus answered."""


def parse_matrix(result: Any) -> dict[HistoryKey, tuple[NDArray[np.float64], Values]]:
    """Parser of range queries; raises ValueError and the like for anything else."""
    found: dict[HistoryKey, tuple[NDArray[np.float64], Values]] = {}
    for item in result:
        labels = item["metric"]
        key = (labels.get(TAG, ""), tuple(sorted((name, text) for name, text in labels.items() if name != TAG)))
        times = np.array([point[0] for point in item["values"]], dtype=np.float64)
        values = np.array([point[1] for point in item["values"]], dtype=np.float32)
        found[key] = (times, np.where(np.isfinite(values), values, np.float32(math.nan)))
    return found


@dataclass(frozen=True, slots=True)
class HistoryGrid:
    """Series on one common grid; NaN inside is a gap."""

    end: float
    """Unix time of the last point, in seconds."""
    step_seconds: int
    points: int
    series: Mapping[HistoryKey, Values] = field(default_factory=dict)

    @property
    def start(self) -> float:
        """Unix time of the first point, in seconds."""
        return self.end - (self.points - 1) * self.step_seconds

    def to_series(self, values: Values) -> Series | None:
        """A sum or member of the grid as a Series from its first known point on; None when nothing is known."""
        known = np.flatnonzero(np.isfinite(values))
        if known.size == 0:
            return None
        first = int(known[0])
        numbers = values[first:].astype(np.float64)
        cut = [value if value == value else None for value in numbers.tolist()]  # noqa: PLR0124 - NaN is a gap
        return Series(float(self.start + first * self.step_seconds), float(self.step_seconds), tuple(cut))

    def until(self, end: float) -> HistoryGrid:
        """The same history on the grid that ends at ``end``; what is not known yet is a gap."""
        shift = round((end - self.end) / self.step_seconds)
        if shift <= 0:
            return self
        moved: dict[HistoryKey, Values] = {}
        for key, values in self.series.items():
            moved[key] = self.empty()
            moved[key][: max(0, self.points - shift)] = values[shift:]
        return HistoryGrid(end, self.step_seconds, self.points, moved)

    def empty(self) -> Values:
        """A series of gaps."""
        return np.full(self.points, math.nan, dtype=np.float32)


def add(left: Values | None, right: Values | None) -> Values | None:
    """Sum where at least one is known; a gap in both stays a gap."""
    if left is None or right is None:
        return right if left is None else left
    total = np.nan_to_num(left) + np.nan_to_num(right)
    both = np.isnan(left) & np.isnan(right)
    return np.where(both, np.float32(math.nan), total).astype(np.float32)


class History:
    """What is asked next, and what is known so far. Published grids are never changed afterwards."""

    def __init__(self, step_seconds: int, points: int) -> None:
        """An empty history of ``points`` points, ``step_seconds`` apart."""
        self._step = step_seconds
        self._points = points
        self._grid: HistoryGrid | None = None
        self._filled = 0
        """Points from the end backwards that were asked for."""
        self._chunk = points
        self._retry_at = -math.inf
        self._asked: tuple[float, float] | None = None
        self.truncated = False
        """Whether series had to be refused to stay within memory."""

    @property
    def grid(self) -> HistoryGrid | None:
        """What is known so far; None before the first answer."""
        return self._grid

    def next_request(self, now: float) -> Evaluation | None:
        """The one range to ask for now; None when nothing is due."""
        end = math.floor(now / self._step) * self._step
        grid = self._grid
        if grid is None or end < grid.end - OVERLAP_POINTS * self._step:
            self._grid, self._filled = None, 0
            return self._evaluate(end - (self._chunk - 1) * self._step, end)
        if end > grid.end:
            first = max(end - (self._points - 1) * self._step, grid.end - (OVERLAP_POINTS - 1) * self._step)
            return self._evaluate(max(first, end - (max(self._chunk, OVERLAP_POINTS) - 1) * self._step), end)
        if self._filled < self._points and now >= self._retry_at:
            newest = grid.end - self._filled * self._step
            return self._evaluate(max(grid.start, newest - (self._chunk - 1) * self._step), newest)
        return None

    def _evaluate(self, start: float, end: float) -> Evaluation:
        self._asked = (start, end)
        return Evaluation(end=end, start=start, step_seconds=self._step)

    def failed(self, now: float, *, too_much: bool) -> None:
        """The last request failed. ``too_much``: Prometheus answers other queries, so ask for less at a time."""
        self._asked = None
        if not too_much:
            return
        if self._chunk <= MIN_CHUNK_POINTS:
            self._retry_at = now + RETRY_SECONDS
        self._chunk = max(MIN_CHUNK_POINTS, self._chunk // 4)

    def merge(self, answer: Points) -> None:
        """Take the answer to the last request."""
        if self._asked is None:
            return
        start, end = self._asked
        self._asked = None
        old = self._grid
        new_end = max(end, old.end) if old else end
        shift = round((new_end - old.end) / self._step) if old else 0
        asked = round((end - start) / self._step) + 1
        if old is None:
            self._filled = asked
        elif end > old.end:
            # A jump longer than one chunk leaves older points unasked: they are asked for again from there.
            self._filled = min(self._points, self._filled + shift) if asked > shift else asked
        else:
            self._filled = min(self._points, self._filled + asked)
        grid = HistoryGrid(new_end, self._step, self._points)
        self._grid = HistoryGrid(new_end, self._step, self._points, self._merged(grid, old, shift, answer, start, end))

    def _merged(
        self, grid: HistoryGrid, old: HistoryGrid | None, shift: int, answer: Points, start: float, end: float
    ) -> dict[HistoryKey, Values]:
        merged: dict[HistoryKey, Values] = {}
        first = round((start - grid.start) / self._step)
        last = round((end - grid.start) / self._step)
        known = old.series if old else {}
        limit = MAX_VALUES // self._points
        self.truncated = False
        for key in dict.fromkeys((*known, *answer)):
            row = grid.empty()
            if key in known and shift < self._points:
                row[: self._points - shift] = known[key][shift:]
            row[max(0, first) : last + 1] = math.nan
            if key in answer:
                times, values = answer[key]
                index = np.rint((times - grid.start) / self._step).astype(np.int64)
                inside = (index >= 0) & (index < self._points)
                row[index[inside]] = values[inside]
            if not np.isfinite(row).any():
                continue
            if len(merged) >= limit:
                self.truncated = True
                break
            row.setflags(write=False)
            merged[key] = row
        return merged
