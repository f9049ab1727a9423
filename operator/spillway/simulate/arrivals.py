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

MAX_IAT_CV = 10.0


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
    parts = [
        (arrivals, np.full(len(arrivals), index, dtype=np.int64), tokens_in, tokens_out)
        for index, series in enumerate(trace.series)
        for arrivals, tokens_in, tokens_out in _bins(trace, series, options, rng)
    ]
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return RequestTrace(names, np.zeros(0), empty, empty, empty)
    arrival_s, class_index, tokens_in, tokens_out = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(arrival_s, kind="stable")
    return RequestTrace(names, arrival_s[order], class_index[order], tokens_in[order], tokens_out[order])


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
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]


def renewal_arrivals(count: int, width_s: float, cv: float, rng: np.random.Generator) -> Floats:
    """`count` sorted arrival times in [0, width_s): gamma gaps with the given CV, at a random phase."""
    if count <= 0:
        return np.zeros(0)
    if cv < 1e-3:
        gaps = np.ones(count)
    else:
        shape = 1.0 / (cv * cv)
        gaps = rng.gamma(shape, 1.0, count)
    total = float(gaps.sum())
    if total <= 0:  # gaps of a tiny shape can underflow to 0 all together: then the burst is one instant
        return np.full(count, rng.random() * width_s)
    times = np.cumsum(gaps) / total * width_s + rng.random() * width_s
    return np.sort(np.mod(times, width_s))


def lengths(mean: float, count: int, options: ArrivalOptions, rng: np.random.Generator) -> NDArray[np.int64]:
    """Token counts: lognormal, at most `length_cap`, at least 1, with the given mean."""
    cap, sigma = float(options.length_cap), options.length_sigma
    if mean >= cap:
        return np.full(count, options.length_cap, dtype=np.int64)
    if sigma <= 0:
        values = np.full(count, mean)
    else:
        mu = capped_lognormal_mu(mean, sigma, cap)
        values = np.minimum(rng.lognormal(mu, sigma, count), cap)
    # Stochastic rounding keeps the mean where lengths are a few tokens.
    whole = np.floor(values + rng.random(count)).astype(np.int64)
    return np.clip(whole, 1, options.length_cap)


def capped_lognormal_mu(mean: float, sigma: float, cap: float) -> float:
    """The mu for which min(lognormal(mu, sigma), cap) has the given mean; by bisection."""
    low = math.log(mean) - sigma * sigma / 2.0
    high = max(low, math.log(cap)) + 10.0 * sigma
    for _ in range(80):
        middle = (low + high) / 2.0
        if _capped_mean(middle, sigma, cap) < mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _capped_mean(mu: float, sigma: float, cap: float) -> float:
    edge = (math.log(cap) - mu) / sigma
    return math.exp(mu + sigma * sigma / 2.0) * _phi(edge - sigma) + cap * (1.0 - _phi(edge))


def _phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _bins(
    trace: BinTrace, series: BinSeries, options: ArrivalOptions, rng: np.random.Generator
) -> Iterator[tuple[Floats, NDArray[np.int64], NDArray[np.int64]]]:
    keep = options.demand_scale / options.length_scale
    expected = _filled(series.requests) * keep
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_in = _filled(_means(series.input_tokens, series.requests)) * options.length_scale
        mean_out = _filled(_means(series.output_tokens, series.requests)) * options.length_scale
    for index in range(trace.bins):
        count = int(expected[index] + rng.random())
        if count == 0:
            continue
        given = float(series.iat_cv[index])
        cv = options.default_iat_cv if math.isnan(given) else thinned_cv(given, keep)
        start_s = trace.start_s + index * trace.width_s
        yield (
            start_s + renewal_arrivals(count, trace.width_s, cv, rng),
            lengths(max(1.0, float(mean_in[index])), count, options, rng),
            lengths(max(1.0, float(mean_out[index])), count, options, rng),
        )


def thinned_cv(cv: float, keep: float) -> float:
    """CV of a renewal process of which each arrival is kept with probability `keep` (above 1: as it is)."""
    capped = min(cv, MAX_IAT_CV)
    return math.sqrt(max(0.0, 1.0 + min(1.0, keep) * (capped * capped - 1.0)))


def _means(totals: Floats, requests: Floats) -> Floats:
    """Tokens a request; NaN in bins without one."""
    return np.where(requests > 0, totals / requests, np.nan)


def _filled(values: Floats) -> Floats:
    """NaN replaced by linear interpolation, at the ends by the nearest value, all NaN by 0."""
    known = np.isfinite(values)
    if known.all():
        return values
    if not known.any():
        return np.zeros_like(values)
    positions = np.arange(len(values))
    return np.interp(positions, positions[known], values[known])
