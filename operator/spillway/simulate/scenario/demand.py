"""The scenario's traces as demand of the plan's classes, and the requests that a seed makes of it.

Randomness depends on the seed, the trace's file name and the trace class alone: another class, trace or lane beside
them leaves a stream's requests as they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spillway.simulate.arrivals import ArrivalOptions, Drawn, expected_requests, mean_lengths, realise_series
from spillway.simulate.scenario.errors import ScenarioError
from spillway.simulate.scenario.model import ScenarioFile
from spillway.simulate.traces import BinTrace, RequestTrace, TraceError, read_trace
from spillway.simulate.world import Interval, Workload

MAX_REQUESTS = 20_000_000
JITTER_SECONDS = 30.0
"""A request duplicated by a demand scale above 1 arrives up to this long before or after the original."""
COVERED_SHARE = 0.9
"""A trace of single requests has no end of its own: its last request must lie beyond this share of the span."""
WAYS_OUT = (
    "raise demandScale or move offsetSeconds",
    "lower demandScale, raise lengthScale or shorten time.durationSeconds",
)


@dataclass(frozen=True, slots=True)
class MeanRequest:
    """What one request of a class is like, and how many are expected over the span."""

    requests: float
    input_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True)
class Stream:
    """One class of one trace, cut to the scenario's span and moved to its time."""

    key: str
    """What its randomness is drawn from, beside the seed."""
    class_index: int
    trace: BinTrace | RequestTrace
    """With this one class only."""
    options: ArrivalOptions

    def mean(self) -> MeanRequest:
        """Expected requests and tokens over the span."""
        if isinstance(self.trace, RequestTrace):
            keep = self.options.demand_scale / self.options.length_scale
            scale = self.options.length_scale
            count = len(self.trace.arrival_s)
            sums = (float(self.trace.input_tokens.sum()), float(self.trace.output_tokens.sum()))
            return MeanRequest(count * keep, *(scale * total / max(1, count) for total in sums))
        series = self.trace.series[0]
        requests = expected_requests(series, self.options)
        total = float(requests.sum())
        tokens = (float(requests @ means) / max(total, 1e-12) for means in mean_lengths(series, self.options))
        return MeanRequest(total, *tokens)

    def draw(self, seed: int, duration_s: float) -> Drawn:
        """The requests of one seed inside [0, duration), in order of arrival."""
        words = np.frombuffer(hashlib.sha256(self.key.encode()).digest(), dtype="<u4")
        rng = np.random.default_rng(np.random.SeedSequence([seed, *words.tolist()]))
        if isinstance(self.trace, RequestTrace):
            return _scaled(self.trace, self.options, rng, duration_s)
        drawn = realise_series(self.trace, self.trace.series[0], self.options, rng)
        inside = (drawn.arrival_s >= 0) & (drawn.arrival_s < duration_s)
        if inside.all():
            return drawn
        return Drawn(drawn.arrival_s[inside], drawn.input_tokens[inside], drawn.output_tokens[inside])

    def gaps(self, duration_s: float) -> list[Interval]:
        """Where nothing was observed."""
        if isinstance(self.trace, RequestTrace):
            return []
        trace = self.trace
        missing = np.flatnonzero(np.isnan(trace.series[0].requests))
        starts = trace.start_s + missing * trace.width_s
        return [(max(0.0, float(s)), min(duration_s, float(s) + trace.width_s)) for s in starts]


@dataclass(frozen=True, slots=True)
class Demand:
    """All streams of a scenario."""

    streams: tuple[Stream, ...]
    duration_s: float

    def workload(self, seed: int) -> Workload:
        """The requests of one seed. Times are whole microseconds, so that a CSV holds them exactly."""
        drawn = [stream.draw(seed, self.duration_s) for stream in self.streams]
        arrival_s = np.concatenate([part.arrival_s for part in drawn])
        np.round(arrival_s, 6, out=arrival_s)
        np.clip(arrival_s, 0.0, self.duration_s - 1e-6, out=arrival_s)
        owners = np.concatenate([np.full(d.size, s.class_index) for s, d in zip(self.streams, drawn, strict=True)])
        tokens_in = np.concatenate([part.input_tokens for part in drawn])
        tokens_out = np.concatenate([part.output_tokens for part in drawn])
        if (arrival_s[1:] >= arrival_s[:-1]).all():  # as those of a single stream are
            return Workload(arrival_s, owners, tokens_in, tokens_out)
        order = np.argsort(arrival_s, kind="stable")
        return Workload(arrival_s[order], owners[order], tokens_in[order], tokens_out[order])

    def gaps(self) -> tuple[Interval, ...]:
        """Collection gaps: where any stream was not observed; merged, in order."""
        merged: list[Interval] = []
        for start, end in sorted(gap for stream in self.streams for gap in stream.gaps(self.duration_s)):
            if end <= start:
                continue
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return tuple(merged)

    def mean_request(self, class_index: int) -> MeanRequest:
        """The mean over the span of one class; without traffic: 1 token in and out."""
        parts = [stream.mean() for stream in self.streams if stream.class_index == class_index]
        total = sum(part.requests for part in parts)
        if total <= 0:
            return MeanRequest(0.0, 1.0, 1.0)
        return MeanRequest(
            total,
            sum(part.requests * part.input_tokens for part in parts) / total,
            sum(part.requests * part.output_tokens for part in parts) / total,
        )


def load_demand(
    file: ScenarioFile,
    folder: Path,
    class_numbers: Mapping[str, int],
    origin: str,
    ways_out: tuple[str, str] = WAYS_OUT,
) -> Demand:
    """Read the traces and map their classes. `class_numbers`: class names as a scenario may write them.

    `ways_out`: what to do where there are no requests, and where there are too many. Raises ScenarioError.
    """
    demand = read_demand(file, folder, class_numbers, origin)
    _check_size(demand, origin, ways_out)
    return demand


def read_demand(file: ScenarioFile, folder: Path, class_numbers: Mapping[str, int], origin: str) -> Demand:
    """As `load_demand`, however little or much it is. Raises ScenarioError."""
    streams: list[Stream] = []
    used: dict[str, int] = {}
    for position, entry in enumerate(file.traces):
        path = folder / entry.file
        try:
            trace = read_trace(path)
        except TraceError as error:
            raise ScenarioError(f"{origin}: traces.{position}: {error}") from error
        where = f"{origin}: traces.{position}: trace {path}"
        cut = _window(trace, entry.offset_seconds, file.time.duration_seconds, where)
        repeat = used[entry.file.name] = used.get(entry.file.name, 0) + 1
        for source, name in entry.classes.items():
            if name not in class_numbers:
                known = ", ".join(sorted(class_numbers)) or "none"
                raise ScenarioError(f"{where}: classes.{source}: there is no WorkloadClass {name!r}; known: {known}")
            key = f"{entry.file.name}\n{source}" + (f"\n{repeat}" if repeat > 1 else "")
            streams.append(Stream(key, class_numbers[name], _only(cut, source, where), file.arrivals.options(entry)))
    return Demand(tuple(streams), file.time.duration_seconds)


def _check_size(demand: Demand, origin: str, ways_out: tuple[str, str]) -> None:
    expected = sum(stream.mean().requests for stream in demand.streams)
    if expected < 1:
        raise ScenarioError(f"{origin}: traces: no request falls into the span; {ways_out[0]}")
    if expected > MAX_REQUESTS:
        raise ScenarioError(
            f"{origin}: traces: {expected / 1e6:.1f} million requests are too many (at most {MAX_REQUESTS / 1e6:g}); "
            f"{ways_out[1]}"
        )


def _window(trace: BinTrace | RequestTrace, offset_s: float, duration_s: float, where: str) -> BinTrace | RequestTrace:
    """The part of the trace in [offset, offset + duration) of it, moved to the scenario's time."""
    if isinstance(trace, RequestTrace):
        last = float(trace.arrival_s[-1]) if len(trace.arrival_s) else 0.0
        if not len(trace.arrival_s):
            raise ScenarioError(f"{where}: is empty; it needs requests")
        if last < offset_s + COVERED_SHARE * duration_s:
            raise ScenarioError(_too_short(where, last, offset_s, duration_s))
        inside = (trace.arrival_s >= offset_s) & (trace.arrival_s < offset_s + duration_s)
        return RequestTrace(
            trace.classes,
            trace.arrival_s[inside] - offset_s,
            trace.class_index[inside],
            trace.input_tokens[inside],
            trace.output_tokens[inside],
        )
    first = math.floor(offset_s / trace.width_s + 1e-9)
    last_bin = math.ceil((offset_s + duration_s) / trace.width_s - 1e-9)
    if last_bin > trace.bins:
        raise ScenarioError(_too_short(where, trace.duration_s, offset_s, duration_s))
    cut = BinTrace(0.0, trace.width_s, trace.series).window(first * trace.width_s, (last_bin - first) * trace.width_s)
    return replace(cut, start_s=first * trace.width_s - offset_s)


def _too_short(where: str, length_s: float, offset_s: float, duration_s: float) -> str:
    return (
        f"{where}: is {length_s:g} s long, shorter than offsetSeconds {offset_s:g} + time.durationSeconds "
        f"{duration_s:g}; shorten the span"
    )


def _only(trace: BinTrace | RequestTrace, source: str, where: str) -> BinTrace | RequestTrace:
    """The trace with one of its classes."""
    known: Sequence[str]
    if isinstance(trace, RequestTrace):
        known = trace.classes
        if source in known:
            own = trace.class_index == known.index(source)
            return RequestTrace(
                (source,),
                trace.arrival_s[own],
                np.zeros(int(own.sum()), dtype=np.int64),
                trace.input_tokens[own],
                trace.output_tokens[own],
            )
    else:
        known = [series.class_name for series in trace.series]
        if source in known:
            return replace(trace, series=(trace.series[known.index(source)],))
    raise ScenarioError(f"{where}: classes: the trace has no class {source!r}; it has {', '.join(known)}")


def _scaled(trace: RequestTrace, options: ArrivalOptions, rng: np.random.Generator, duration_s: float) -> Drawn:
    """Single requests as they are; the demand scale leaves some out or repeats some a little earlier or later."""
    keep = options.demand_scale / options.length_scale
    copies = np.floor(keep + rng.random(len(trace.arrival_s))).astype(np.int64)
    source = np.repeat(np.arange(len(copies)), copies)
    repeated = np.concatenate((np.zeros(1, dtype=bool), source[1:] == source[:-1]))[: len(source)]
    shifts = np.where(repeated, rng.uniform(-JITTER_SECONDS, JITTER_SECONDS, len(source)), 0.0)
    # Reflected at both ends of the span, so that none is lost.
    arrival_s = np.abs(trace.arrival_s[source] + shifts)
    arrival_s = np.where(arrival_s >= duration_s, np.maximum(0.0, 2 * duration_s - arrival_s - 1e-6), arrival_s)
    order = np.argsort(arrival_s, kind="stable")
    tokens = (
        np.maximum(1, np.rint(column[source] * options.length_scale).astype(np.int64))
        for column in (trace.input_tokens, trace.output_tokens)
    )
    tokens_in, tokens_out = (column[order] for column in tokens)
    return Drawn(arrival_s[order], tokens_in, tokens_out)
