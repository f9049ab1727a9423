"""Single requests realised from a binned trace: counts, arrival times, lengths, all from one generator.

Counts are rounded stochastically. Arrivals inside a bin are a gamma renewal process with random phase.
Lengths are lognormal around the bin's mean, cut off at a cap, the mean preserved. In a collection gap demand
and lengths are interpolated: the load goes on, only nobody has seen it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillway.simulate.replica import Request
from spillway.simulate.traces import BinSeries, BinTrace, Floats, RequestTrace

Integers = NDArray[np.int64]

MAX_IAT_CV = 10.0
REGULAR_CV = 1e-3
"""Below it gaps are taken as all alike."""
CHUNK = 1_000_000
"""Requests drawn at once."""
NO_CAP_SIGMAS = 8.0
"""A cap this many sigmas above takes less from the mean than a float can tell."""


@dataclass(frozen=True, slots=True)
class ArrivalOptions:
    """How a trace becomes requests. Scales are factors; lengthCap is in tokens."""

    demand_scale: float = 1.0
    """Factor on the trace's work; with a length scale the number of requests falls as lengths grow."""
    length_scale: float = 1.0
    default_iat_cv: float = 1.0
    """Coefficient of variation of inter-arrival times where the trace gives none (1: Poisson)."""
    length_sigma: float = 0.8
    """Sigma of the lognormal lengths inside a bin; 0: all alike."""
    length_cap: int = 16_000


def realise(trace: BinTrace, options: ArrivalOptions, rng: np.random.Generator) -> RequestTrace:
    """Draw the requests of every class, merged in order of arrival (seconds from the trace's 0)."""
    names = tuple(series.class_name for series in trace.series)
    parts = []
    for index, series in enumerate(trace.series):
        drawn = realise_series(trace, series, options, rng)
        parts.append((drawn.arrival_s, np.full(drawn.size, index), drawn.input_tokens, drawn.output_tokens))
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return RequestTrace(names, np.zeros(0), empty, empty, empty)
    arrival_s, class_index, tokens_in, tokens_out = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(arrival_s, kind="stable")
    return RequestTrace(names, arrival_s[order], class_index[order], tokens_in[order], tokens_out[order])


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Requests of one class in order of arrival."""

    arrival_s: Floats
    input_tokens: Integers
    output_tokens: Integers

    @property
    def size(self) -> int:
        """Number of requests."""
        return len(self.arrival_s)


def realise_series(trace: BinTrace, series: BinSeries, options: ArrivalOptions, rng: np.random.Generator) -> Drawn:
    """Draw the requests of one class (seconds from the trace's 0)."""
    keep = options.demand_scale / options.length_scale
    counts = np.floor(expected_requests(series, options) + rng.random(trace.bins)).astype(np.int64)
    given = np.minimum(series.iat_cv, MAX_IAT_CV)
    cvs = np.where(
        np.isnan(given), options.default_iat_cv, np.sqrt(np.maximum(0.0, 1.0 + min(1.0, keep) * (given * given - 1.0)))
    )
    mean_in, mean_out = mean_lengths(series, options)
    total = int(counts.sum())
    drawn = Drawn(np.empty(total), np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64))
    done = 0
    for first, last in _chunks(counts):
        number = counts[first:last]
        part = slice(done, done + int(number.sum()))
        starts = trace.start_s + trace.width_s * np.arange(first, last, dtype=np.float64)
        drawn.arrival_s[part] = _arrivals(number, starts, trace.width_s, cvs[first:last], rng)
        drawn.input_tokens[part] = _lengths(mean_in[first:last], number, options, rng)
        drawn.output_tokens[part] = _lengths(mean_out[first:last], number, options, rng)
        done = part.stop
    return drawn


def expected_requests(series: BinSeries, options: ArrivalOptions) -> Floats:
    """Requests by bin after scaling, gaps interpolated; not rounded."""
    return filled(series.requests) * (options.demand_scale / options.length_scale)


def mean_lengths(series: BinSeries, options: ArrivalOptions) -> tuple[Floats, Floats]:
    """Mean input and output tokens a request by bin, after scaling; interpolated where nothing was observed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        both = (_means(tokens, series.requests) for tokens in (series.input_tokens, series.output_tokens))
        mean_in, mean_out = (np.maximum(1.0, filled(means) * options.length_scale) for means in both)
    return mean_in, mean_out


def to_requests(
    trace: RequestTrace, class_names: dict[str, str], priorities: dict[str, int] | None = None
) -> list[Request]:
    """Requests of the trace classes named in `class_names` (trace class -> class), others dropped."""
    wanted = [class_names.get(name) for name in trace.classes]
    order = priorities or {}
    requests: list[Request] = []
    for arrival, index, tokens_in, tokens_out in zip(
        trace.arrival_s.tolist(),
        trace.class_index.tolist(),
        trace.input_tokens.tolist(),
        trace.output_tokens.tolist(),
        strict=True,
    ):
        name = wanted[index]
        if name is not None:
            number = len(requests)
            requests.append(Request(number, arrival, name, tokens_in, tokens_out, order.get(name, 0)))
    return requests


def requests_hash(trace: RequestTrace) -> str:
    """A short fingerprint of the realised requests: equal hashes, equal load."""
    digest = hashlib.sha256("\n".join(trace.classes).encode())
    for column in (trace.arrival_s, trace.class_index, trace.input_tokens, trace.output_tokens):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()[:16]


def renewal_arrivals(count: int, width_s: float, cv: float, rng: np.random.Generator) -> Floats:
    """`count` sorted arrival times in [0, width_s): gamma gaps with the given CV, at a random phase."""
    return _arrivals(np.array([count]), np.zeros(1), width_s, np.array([cv]), rng)


def lengths(mean: float, count: int, options: ArrivalOptions, rng: np.random.Generator) -> Integers:
    """Token counts: lognormal, at most `length_cap`, at least 1, with the given mean."""
    return _lengths(np.array([mean]), np.array([count]), options, rng)


def capped_lognormal_mu(mean: float, sigma: float, cap: float) -> float:
    """The mu for which min(lognormal(mu, sigma), cap) has the given mean."""
    return float(_capped_mu(np.array([mean]), sigma, cap)[0])


def thinned_cv(cv: float, keep: float) -> float:
    """CV of a renewal process of which each arrival is kept with probability `keep` (above 1: as it is)."""
    capped = min(cv, MAX_IAT_CV)
    return math.sqrt(max(0.0, 1.0 + min(1.0, keep) * (capped * capped - 1.0)))


def filled(values: Floats) -> Floats:
    """NaN replaced by linear interpolation, at the ends by the nearest value, all NaN by 0."""
    known = np.isfinite(values)
    if known.all():
        return values
    if not known.any():
        return np.zeros_like(values)
    positions = np.arange(len(values))
    return np.interp(positions, positions[known], values[known])


def _chunks(counts: Integers) -> Iterator[tuple[int, int]]:
    """Ranges of bins with about CHUNK requests each: what is drawn at once is bounded."""
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + CHUNK, side="right")))
        yield first, last
        first = last


def _arrivals(counts: Integers, starts_s: Floats, width_s: float, cvs: Floats, rng: np.random.Generator) -> Floats:
    """Arrival times of all bins: `counts[i]` sorted ones in [starts_s[i], starts_s[i] + width_s)."""
    counts = np.maximum(0, counts)
    total = int(counts.sum())
    phases = rng.random(len(counts))
    if total == 0:
        return np.zeros(0)
    bins = np.repeat(np.arange(len(counts)), counts)
    gaps = _gaps(cvs[bins], total, rng)
    sums = np.bincount(bins, weights=gaps, minlength=len(counts))
    # Gaps of a tiny shape can underflow to 0 all together: then the burst is one instant.
    gaps /= np.where(sums > 0, sums, 1.0)[bins]
    within = np.cumsum(gaps)
    firsts = np.cumsum(counts) - counts
    offsets = np.concatenate(([0.0], within))[firsts]
    within -= offsets[bins]
    times: Floats = starts_s[bins] + np.mod(within + phases[bins], 1.0) * width_s
    # Nearly sorted already (each bin is two rising runs), and bins don't overlap: cheap for a merge sort.
    times.sort(kind="stable")
    return times


def _gaps(cvs: Floats, total: int, rng: np.random.Generator) -> Floats:
    """Gamma gaps of mean 1, one for each request."""
    if (cvs == 1.0).all():
        return rng.standard_exponential(total)
    regular = cvs < REGULAR_CV
    shapes = 1.0 / np.square(np.where(regular, 1.0, cvs))
    gaps: Floats = rng.standard_gamma(shapes)
    gaps[regular] = 1.0
    return gaps


def _lengths(means: Floats, counts: Integers, options: ArrivalOptions, rng: np.random.Generator) -> Integers:
    """Token counts of all bins, in order of the bins: `counts[i]` with mean `means[i]`."""
    cap, sigma = float(options.length_cap), options.length_sigma
    total = int(counts.sum())
    capped = np.minimum(means, cap)
    if sigma <= 0:
        values = np.repeat(capped, counts)
    else:
        mus = _capped_mu(capped, sigma, cap)
        values = np.minimum(np.exp(np.repeat(mus, counts) + sigma * rng.standard_normal(total)), cap)
        if (full := means >= cap).any():
            values[np.repeat(full, counts)] = cap
    # Stochastic rounding keeps the mean where lengths are a few tokens.
    whole = np.floor(values + rng.random(total)).astype(np.int64)
    return np.clip(whole, 1, options.length_cap, out=whole)


def _capped_mu(means: Floats, sigma: float, cap: float) -> Floats:
    """By mean: the mu for which min(lognormal(mu, sigma), cap) has it; by bisection where the cap matters."""
    distinct, back = np.unique(means, return_inverse=True)
    mus = np.log(distinct) - sigma * sigma / 2.0
    near = (math.log(cap) - mus) / sigma - sigma < NO_CAP_SIGMAS
    low = mus[near]
    high = np.maximum(low, math.log(cap)) + 10.0 * sigma
    for _ in range(60):
        middle = (low + high) / 2.0
        below = _capped_mean(middle, sigma, cap) < distinct[near]
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    mus[near] = (low + high) / 2.0
    return mus[back]


def _capped_mean(mus: Floats, sigma: float, cap: float) -> Floats:
    edges = (math.log(cap) - mus) / sigma
    mean: Floats = np.exp(mus + sigma * sigma / 2.0) * _phi(edges - sigma) + cap * (1.0 - _phi(edges))
    return mean


def _phi(values: Floats) -> Floats:
    """The standard normal distribution function."""
    return np.array([0.5 * math.erfc(-x) for x in (values / math.sqrt(2.0)).tolist()])


def _means(totals: Floats, requests: Floats) -> Floats:
    """Tokens a request; NaN in bins without one."""
    return np.where(requests > 0, totals / requests, np.nan)
