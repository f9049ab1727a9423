"""Demand traces: the two CSV forms (gzip allowed), recognised by their header.

bins:     t_s,class,requests,input_tokens,output_tokens[,iat_cv]   totals in the bin that starts at t_s
requests: arrival_s,class,input_tokens,output_tokens

An empty value is a collection gap ("not observed"), never a drop in demand; 0 is "observed none".
"""

from __future__ import annotations

import csv
import gzip
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BIN_COLUMNS = ("t_s", "class", "requests", "input_tokens", "output_tokens")
REQUEST_COLUMNS = ("arrival_s", "class", "input_tokens", "output_tokens")


class TraceError(ValueError):
    """A trace file that can't be used; the message names the file, the line and what to mend."""


@dataclass(frozen=True, slots=True)
class BinSeries:
    """One class's totals per bin; NaN where nothing was observed (iat_cv: where it isn't given)."""

    class_name: str
    requests: Floats
    input_tokens: Floats
    output_tokens: Floats
    iat_cv: Floats


@dataclass(frozen=True, slots=True)
class BinTrace:
    """Binned demand on a regular grid: bin i covers [start_s + i*width_s, start_s + (i+1)*width_s)."""

    start_s: float
    width_s: float
    series: tuple[BinSeries, ...]

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.series[0].requests) if self.series else 0

    @property
    def duration_s(self) -> float:
        """Seconds that the bins cover."""
        return self.bins * self.width_s

    def window(self, start_s: float, duration_s: float) -> BinTrace:
        """The whole bins inside [start_s, start_s + duration_s), moved to start at 0.

        Raises TraceError where the trace does not cover the window.
        """
        first = round((start_s - self.start_s) / self.width_s)
        count = round(duration_s / self.width_s)
        if first < 0 or count < 1 or first + count > self.bins:
            end_s = self.start_s + self.duration_s
            raise TraceError(
                f"window of {duration_s:g} s from {start_s:g} s is outside the trace "
                f"({self.start_s:g} s to {end_s:g} s): choose a window inside"
            )
        cut = slice(first, first + count)
        series = tuple(
            BinSeries(s.class_name, s.requests[cut], s.input_tokens[cut], s.output_tokens[cut], s.iat_cv[cut])
            for s in self.series
        )
        return BinTrace(0.0, self.width_s, series)

    def compressed(self, factor: float) -> BinTrace:
        """The same demand curve run through `factor` times faster: equal rates per second, shorter bins."""
        series = tuple(
            replace(
                s,
                requests=s.requests / factor,
                input_tokens=s.input_tokens / factor,
                output_tokens=s.output_tokens / factor,
            )
            for s in self.series
        )
        return BinTrace(self.start_s / factor, self.width_s / factor, series)


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """Single requests in order of arrival; `class_index` points into `classes`."""

    classes: tuple[str, ...]
    arrival_s: Floats
    class_index: NDArray[np.int64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]


def read_trace(path: Path) -> BinTrace | RequestTrace:
    """Read a trace of either form.

    Raises TraceError with one line that names the file and what is wrong.
    """
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            header = tuple(rows.fieldnames or ())
            if header[:5] == BIN_COLUMNS:
                return _read_bins(path, rows)
            if header[:4] == REQUEST_COLUMNS:
                return _read_requests(path, rows)
    except OSError as error:
        raise TraceError(f"trace {path}: cannot be read: {error.strerror or error}") from error
    raise TraceError(
        f"trace {path}: header {','.join(header)!r} is neither {','.join(BIN_COLUMNS)}[,iat_cv] "
        f"nor {','.join(REQUEST_COLUMNS)}"
    )


def _number(path: Path, line: int, row: dict[str, str | None], column: str) -> float:
    text = (row.get(column) or "").strip()
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not math.isfinite(value) or value < 0:
        raise TraceError(f"trace {path}, line {line}: {column} is {text!r}: give a number of 0 or more, or nothing")
    return value


def _read_bins(path: Path, rows: Iterable[dict[str, str | None]]) -> BinTrace:
    cells: dict[str, dict[float, tuple[float, float, float, float]]] = {}
    for line, row in enumerate(rows, start=2):
        start_s, requests, tokens_in, tokens_out, cv = (
            _number(path, line, row, column)
            for column in ("t_s", "requests", "input_tokens", "output_tokens", "iat_cv")
        )
        if math.isnan(start_s):
            raise TraceError(f"trace {path}, line {line}: t_s is empty: give the bin's start in seconds")
        cells.setdefault(row["class"] or "", {})[start_s] = (requests, tokens_in, tokens_out, cv)
    starts = sorted({start_s for by_start in cells.values() for start_s in by_start})
    if len(starts) < 2:
        raise TraceError(f"trace {path}: needs two bins or more, the step between them is the bin's width")
    width_s = min(b - a for a, b in itertools.pairwise(starts))
    bins = round((starts[-1] - starts[0]) / width_s) + 1
    series = tuple(_series(name, cells[name], starts[0], width_s, bins) for name in sorted(cells))
    return BinTrace(starts[0], width_s, series)


def _series(
    name: str,
    by_start: dict[float, tuple[float, float, float, float]],
    first_s: float,
    width_s: float,
    bins: int,
) -> BinSeries:
    grid = np.full((4, bins), np.nan)
    for start_s, values in by_start.items():
        grid[:, round((start_s - first_s) / width_s)] = values
    return BinSeries(name, grid[0], grid[1], grid[2], grid[3])


def _read_requests(path: Path, rows: Iterable[dict[str, str | None]]) -> RequestTrace:
    parsed = sorted(_request_rows(path, rows), key=lambda row: row[0])
    names = sorted({row[1] for row in parsed})
    index = {name: position for position, name in enumerate(names)}
    return RequestTrace(
        tuple(names),
        np.array([row[0] for row in parsed], dtype=np.float64),
        np.array([index[row[1]] for row in parsed], dtype=np.int64),
        np.array([row[2] for row in parsed], dtype=np.int64),
        np.array([row[3] for row in parsed], dtype=np.int64),
    )


def _request_rows(path: Path, rows: Iterable[dict[str, str | None]]) -> Iterator[tuple[float, str, int, int]]:
    for line, row in enumerate(rows, start=2):
        arrival_s, tokens_in, tokens_out = (
            _number(path, line, row, column) for column in ("arrival_s", "input_tokens", "output_tokens")
        )
        if math.isnan(arrival_s + tokens_in + tokens_out):
            raise TraceError(f"trace {path}, line {line}: a request needs all of {','.join(REQUEST_COLUMNS)}")
        yield arrival_s, row["class"] or "", max(1, int(tokens_in)), max(1, int(tokens_out))
