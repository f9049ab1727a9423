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
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_BINS = 5_000_000
BLOCK = 200_000
"""Requests read at once."""

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
            reader = csv.reader(stream)
            header = tuple(next(reader, ()))
            if header[:5] == BIN_COLUMNS:
                return _read_bins(path, header, reader)
            if header[:4] == REQUEST_COLUMNS:
                return _read_requests(path, stream)
    except (gzip.BadGzipFile, EOFError) as error:
        raise TraceError(
            f"trace {path}: cannot be read: its name ends in .gz, but it is not gzipped, or not to its end; gzip "
            "it, or name it .csv"
        ) from error
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        raise TraceError(f"trace {path}: cannot be read: {reason}") from error
    except (UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise TraceError(f"trace {path}: cannot be read: it is no CSV in UTF-8, gzipped if its name ends so") from error
    if not header:
        raise TraceError(
            f"trace {path}: is empty; its first line must be {','.join(BIN_COLUMNS)}[,iat_cv] or "
            f"{','.join(REQUEST_COLUMNS)}"
        )
    raise TraceError(
        f"trace {path}: header {','.join(header)[:80]!r} is neither {','.join(BIN_COLUMNS)}[,iat_cv] "
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


def _read_bins(path: Path, header: tuple[str, ...], rows: Iterable[list[str]]) -> BinTrace:
    cells: dict[str, dict[float, tuple[float, float, float, float]]] = {}
    for line, values in enumerate(rows, start=2):
        row: dict[str, str | None] = dict(zip(header, values, strict=False))
        if not row:
            continue
        start_s, requests, tokens_in, tokens_out, cv = (
            _number(path, line, row, column)
            for column in ("t_s", "requests", "input_tokens", "output_tokens", "iat_cv")
        )
        if math.isnan(start_s):
            raise TraceError(f"trace {path}, line {line}: t_s is empty: give the bin's start in seconds")
        cells.setdefault(row.get("class") or "", {})[start_s] = (requests, tokens_in, tokens_out, cv)
    starts = sorted({start_s for by_start in cells.values() for start_s in by_start})
    if not starts:
        raise TraceError(f"trace {path}: is empty; it needs a line for each bin and class")
    if len(starts) < 2:
        raise TraceError(f"trace {path}: needs two bins or more, the step between them is the bin's width")
    width_s = min(b - a for a, b in itertools.pairwise(starts))
    bins = round((starts[-1] - starts[0]) / width_s) + 1
    if bins > MAX_BINS:
        raise TraceError(
            f"trace {path}: bins of {width_s:g} s over {starts[-1] - starts[0]:g} s are {bins}, more than {MAX_BINS}: "
            "two bins lie too close together"
        )
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


def _read_requests(path: Path, lines: Iterable[str]) -> RequestTrace:
    parts: list[tuple[Floats, Integers, Integers, Integers]] = []
    numbers: dict[str, int] = {}
    first = 2
    # In blocks: a file may hold ten million requests, and lists of strings are large.
    left = iter(lines)
    while block := list(itertools.islice(left, BLOCK)):
        if filled := [line for line in block if line.strip()]:
            parts.append(_plain_block(filled, numbers) or _request_block(path, first, block, numbers))
        first += len(block)
    names = sorted(numbers)
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return RequestTrace((), np.zeros(0), nothing, nothing, nothing)
    arrival_s, index, tokens_in, tokens_out = (np.concatenate(part) for part in zip(*parts, strict=True))
    sorted_index = np.array([names.index(name) for name in numbers], dtype=np.int64)[index]
    order = np.argsort(arrival_s, kind="stable")
    return RequestTrace(tuple(names), arrival_s[order], sorted_index[order], tokens_in[order], tokens_out[order])


def _plain_block(lines: list[str], numbers: dict[str, int]) -> tuple[Floats, Integers, Integers, Integers] | None:
    """Lines without quotes and mistakes, ten times as fast as by the csv module; None for others."""
    try:
        table = np.loadtxt(lines, delimiter=",", usecols=(0, 2, 3), comments=None, ndmin=2)
        names = [line.split(",", 2)[1] for line in lines]
    except (ValueError, IndexError):
        return None
    distinct = dict.fromkeys(names)
    if any('"' in name for name in distinct) or not (np.isfinite(table) & (table >= 0)).all():
        return None
    for name in distinct:
        numbers.setdefault(name, len(numbers))
    index = np.fromiter((numbers[name] for name in names), dtype=np.int64, count=len(names))
    return table[:, 0].copy(), index, _whole(table[:, 1]), _whole(table[:, 2])


def _request_block(
    path: Path, first: int, lines: list[str], numbers: dict[str, int]
) -> tuple[Floats, Integers, Integers, Integers]:
    """The same for any CSV, line by line, with the line in the message of a mistake."""
    arrivals, index, tokens = [], [], []
    for number, line in enumerate(lines, start=first):
        values = next(csv.reader([line]), [])
        if not any(values):
            continue
        row: dict[str, str | None] = dict(zip(REQUEST_COLUMNS, values, strict=False))
        arrival_s, tokens_in, tokens_out = (_number(path, number, row, c) for c in REQUEST_COLUMNS if c != "class")
        if math.isnan(arrival_s + tokens_in + tokens_out) or len(values) < len(REQUEST_COLUMNS):
            raise TraceError(f"trace {path}, line {number}: a request needs all of {','.join(REQUEST_COLUMNS)}")
        arrivals.append(arrival_s)
        index.append(numbers.setdefault(values[1], len(numbers)))
        tokens.append((tokens_in, tokens_out))
    both = np.array(tokens, dtype=np.float64)
    return np.array(arrivals), np.array(index, dtype=np.int64), _whole(both[:, 0]), _whole(both[:, 1])


def _whole(tokens: Floats) -> Integers:
    """At least one."""
    return np.maximum(1, tokens.astype(np.int64))
