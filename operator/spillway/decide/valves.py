"""How an own lane's gateway should let work in: the in-flight cap and the hold, from learned service and objectives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from spillway.decide.forecast import Floats
from spillway.decide.response import Valve
from spillway.decide.service import Coefficients, Mix
from spillway.decide.service.latency import itl_miss, ttft_miss
from spillway.decide.service.lengths import Lengths, Stream, second_moment
from spillway.decide.usable import Misses

LEVELS = 48
HOSTED_TAIL = 3.0
"""The slow tail of a hosted lane's first token over its typical one (p99 over p50)."""
TAIL_SIGMAS = 2.326
"""Standard deviations of the p99 of a normal distribution."""
HOSTED_TTFT_MS = 500.0
"""Typical time to first token where the lane declares no latency."""
MILLISECOND = 1.0
"""Nothing is known more exactly."""
KV_SIGMAS = 2.0
MOST_HOLD_SHARE = 0.8
"""Share of the TTFT objective that a request is held at most."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One class on a lane: what it asks for, and how many misses it may have at the cap."""

    mix: Mix
    lengths: Lengths
    requests_per_second: float
    ttft_ms: float | None
    itl_ms: float | None
    allowance: float
    """Share of misses that is allowed at a full cap, 0 to 1."""
    hosted_ttft_ms: float | None
    """Typical time to first token of the hosted lane that it spills to; None: not known."""
    hosted_late: float = 0.01
    """Share of the requests that go there after a hold which may come late."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The valve of a lane, and each class's own hold."""

    valve: Valve
    hold_seconds: Mapping[str, float]
    reachable: bool
    """False where even a single request misses an objective more often than allowed."""


def streams(objectives: Mapping[str, Objective]) -> tuple[Stream, ...]:
    """The lane's traffic; classes without any count a little, so that they are not forgotten."""
    total = sum(item.requests_per_second for item in objectives.values())
    floor = 1e-3 * total if total > 0 else 1.0
    return tuple(Stream(max(item.requests_per_second, floor), item.mix, item.lengths) for item in objectives.values())


def opening(model: Coefficients, objectives: Mapping[str, Objective], held_tokens: float | None = None) -> Opening:
    """The largest cap at which every class keeps its allowance, and the longest holds that leave time to serve.

    ``held_tokens``: KV tokens of a request in flight as the engines show them, where they do.
    """
    traffic = streams(objectives)
    missed = misses(model, objectives, held_tokens)
    cap = _crossing(missed.levels, missed.over)
    holds = {key: _hold(model, item, cap, traffic) for key, item in objectives.items()}
    shares = np.array([stream.share for stream in traffic])
    mean = float(shares @ np.array(list(holds.values())) / shares.sum())
    return Opening(Valve(cap, mean), holds, bool(missed.over[0] <= 1.0))


def misses(model: Coefficients, objectives: Mapping[str, Objective], held_tokens: float | None = None) -> Misses:
    """How often the class that is worst off misses its objectives, by level in flight per replica."""
    traffic = streams(objectives)
    levels = _levels(model, traffic, held_tokens)
    over = np.max([_misses(model, item, levels, traffic) / item.allowance for item in objectives.values()], axis=0)
    late = [1.0 / item.allowance for item in objectives.values() if item.ttft_ms is not None]
    return Misses(levels, np.asarray(over), max(late, default=0.0))


def _crossing(levels: Floats, over: Floats) -> float:
    """The level at which ``over`` passes 1, between levels by line: a cap of 2.5 is 2 and 3 in turn."""
    bad = np.nonzero(over > 1.0)[0]
    if bad.size == 0:
        return float(levels[-1])
    first = int(bad[0])
    if first == 0:
        return float(levels[0])
    low, high = over[first - 1], over[first]
    return float(levels[first - 1] + (levels[first] - levels[first - 1]) * (1.0 - low) / (high - low))


def _levels(model: Coefficients, traffic: Sequence[Stream], held_tokens: float | None) -> Floats:
    """Levels to choose a cap from, up to what sequences and KV cache admit."""
    most = model.max_sequences
    if model.kv_cache_tokens is not None:
        most = min(most, _fitting(model.kv_cache_tokens, *_reserved(traffic, held_tokens)))
    return np.unique(np.round(np.geomspace(1.0, max(1.0, math.floor(most)), LEVELS)))


def _reserved(traffic: Sequence[Stream], held_tokens: float | None) -> tuple[float, float]:
    """Mean and standard deviation of the KV tokens of a request in flight.

    Long answers stay longer, so what is seen in flight is longer than what arrives: a request counts by its output.
    """
    slots = first = second = 0.0
    for stream in traffic:
        mix, spread = stream.mix, stream.lengths
        outputs = max(mix.output_tokens, 1.0)
        longer = second_moment(outputs, spread.output_sigma, spread.longest_output) / outputs
        wide = math.expm1(spread.output_sigma**2) * longer**2
        wide += second_moment(max(mix.input_tokens, 1.0), spread.input_sigma, spread.longest_input)
        wide -= max(mix.input_tokens, 1.0) ** 2
        mean = mix.input_tokens + longer
        slots += stream.share * outputs
        first += stream.share * outputs * mean
        second += stream.share * outputs * (wide + mean * mean)
    mean = first / slots
    deviation = math.sqrt(max(second / slots - mean * mean, 0.0))
    if held_tokens is not None and held_tokens > mean:
        return held_tokens, deviation * held_tokens / mean
    return mean, deviation


def reserved_tokens(traffic: Sequence[Stream]) -> float:
    """Mean KV tokens of a request in flight, from the mix alone."""
    return max(_reserved(traffic, None)[0], 1.0)


def _fitting(room: float, mean: float, deviation: float) -> float:
    """Requests whose tokens fit the cache nearly always: n*mean + KV_SIGMAS*sqrt(n)*deviation <= room."""
    half = KV_SIGMAS * deviation / (2 * mean)
    return max(1.0, (math.sqrt(half * half + room / mean) - half) ** 2)


def _misses(
    model: Coefficients,
    item: Objective,
    levels: Floats,
    traffic: Sequence[Stream],
) -> Floats:
    missed = np.zeros(levels.size)
    if item.itl_ms is not None:
        missed += itl_miss(model, item.mix, item.lengths, levels, item.itl_ms, traffic=traffic)
    if item.ttft_ms is not None:
        missed += ttft_miss(model, item.mix, item.lengths, levels, item.ttft_ms, traffic=traffic)
    return missed


def _hold(model: Coefficients, item: Objective, cap: float, traffic: Sequence[Stream]) -> float:
    """Longest hold after which both the own lane and the hosted one still meet the TTFT objective."""
    if item.ttft_ms is None or math.isinf(item.ttft_ms):
        return 0.0
    typical = HOSTED_TTFT_MS if item.hosted_ttft_ms is None else item.hosted_ttft_ms
    sigma = math.log(HOSTED_TAIL) / TAIL_SIGMAS
    hosted = typical * math.exp(sigma * NormalDist().inv_cdf(1.0 - item.hosted_late))
    at_cap = np.array([cap])
    for share in (MOST_HOLD_SHARE, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1):
        left_ms = (1 - share) * item.ttft_ms
        late = ttft_miss(model, item.mix, item.lengths, at_cap, left_ms, traffic=traffic)[0]
        if hosted <= left_ms + MILLISECOND and late <= item.allowance:
            return share * item.ttft_ms / 1000.0
    return 0.0
