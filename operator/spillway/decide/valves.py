"""How an own lane's gateway should let work in: the in-flight cap and the hold, from learned service and objectives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillway.decide.forecast import Floats
from spillway.decide.response import Valve
from spillway.decide.service import Coefficients, Mix
from spillway.decide.service.latency import itl_miss, ttft_miss
from spillway.decide.service.lengths import Lengths, Stream

LEVELS = 48
HOSTED_TAIL = 3.0
"""The slow tail of a hosted lane's first token over its typical one (p99 over p50)."""
HOSTED_TTFT_MS = 1500.0
"""Slow tail where the lane declares no latency."""
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


def opening(model: Coefficients, objectives: Mapping[str, Objective]) -> Opening:
    """The largest cap at which every class keeps its allowance, and the longest holds that leave time to serve."""
    traffic = streams(objectives)
    levels = _levels(model, traffic)
    over = np.max([_misses(model, item, levels, traffic) / item.allowance for item in objectives.values()], axis=0)
    cap = _crossing(levels, over)
    holds = {key: _hold(model, item, cap, traffic) for key, item in objectives.items()}
    shares = np.array([stream.share for stream in traffic])
    mean = float(shares @ np.array(list(holds.values())) / shares.sum())
    return Opening(Valve(cap, mean), holds, bool(over[0] <= 1.0))


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


def _levels(model: Coefficients, traffic: Sequence[Stream]) -> Floats:
    total = sum(stream.share for stream in traffic)
    held = sum(s.share * (s.mix.input_tokens + s.mix.output_tokens) for s in traffic) / total
    most = model.max_sequences
    if model.kv_cache_tokens is not None:
        most = min(most, model.kv_cache_tokens / max(held, 1.0))
    return np.unique(np.round(np.geomspace(1.0, max(1.0, most), LEVELS)))


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
    hosted = HOSTED_TTFT_MS if item.hosted_ttft_ms is None else HOSTED_TAIL * item.hosted_ttft_ms
    at_cap = np.array([cap])
    for share in (MOST_HOLD_SHARE, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1):
        left_ms = (1 - share) * item.ttft_ms
        late = ttft_miss(model, item.mix, item.lengths, at_cap, left_ms, traffic=traffic)[0]
        if hosted <= left_ms and late <= item.allowance:
            return share * item.ttft_ms / 1000.0
    return 0.0
