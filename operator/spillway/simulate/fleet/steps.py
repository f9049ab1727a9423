"""How long iterations take: the formula or a measured table, one at a time or many alike ones in closed form.

The i-th of a run of decode-only iterations with b sequences and k tokens held before it takes
step(b, k + b*i) = first + slope*i milliseconds, since every sequence adds one token a step. A table is linear in the
mean context between two of its points, so the same closed form holds from one point to the next and is exact there.
With noise every iteration has its own factor, and a run is added up one by one.
"""

from __future__ import annotations

import math
from typing import Any

from spillway.simulate.fleet import views
from spillway.simulate.fleet.draws import NOISE_STEPS, bits
from spillway.simulate.fleet.jit import compiled
from spillway.simulate.fleet.layout import Core

Record = Any

SHORTEST_MS = 0.01
"""No iteration is shorter, however a table is continued."""
_UNBOUNDED = 1 << 40
_NOISY_RUN = 32
"""Longest run with noise: what is looked ahead may have to be added up twice."""
_EPSILON = 1e-9


@compiled
def segment(points: Any, row: int, count: int, value: float) -> int:
    """The index j whose points j and j + 1 enclose the value, or the outermost pair; 0 for a single point."""
    j = 0
    while j < count - 2 and points[row, j + 1] <= value:
        j += 1
    return j


@compiled
def decode_line(core: Core, lane_index: int, batch: float, context: float) -> tuple[float, float, float]:
    """A table's (milliseconds at `context`, milliseconds per context token, context up to which that holds)."""
    lane = views.lanes(core)[lane_index]
    j = segment(views.table_batch(core), lane_index, lane.batches, batch)
    share = 0.0
    if lane.batches > 1:
        low = views.table_batch(core)[lane_index, j]
        share = (batch - low) / (views.table_batch(core)[lane_index, j + 1] - low)
    table = views.table_decode(core)
    upper = min(j + 1, lane.batches - 1)
    k = segment(views.table_context(core), lane_index, lane.contexts, context)
    at_low = table[lane_index, j, k] * (1.0 - share) + table[lane_index, upper, k] * share
    if lane.contexts == 1:
        return at_low, 0.0, math.inf
    low, high = views.table_context(core)[lane_index, k], views.table_context(core)[lane_index, k + 1]
    at_high = table[lane_index, j, k + 1] * (1.0 - share) + table[lane_index, upper, k + 1] * share
    slope = (at_high - at_low) / (high - low)
    return at_low + slope * (context - low), slope, (high if k < lane.contexts - 2 else math.inf)


@compiled
def prefill_ms(core: Core, lane_index: int, tokens: float) -> float:
    """What prompt tokens add to an iteration by a table: from (0, 0) through its points, linear beyond the last."""
    lane = views.lanes(core)[lane_index]
    first = views.table_prompt(core)[lane_index, 0]
    if tokens <= 0.0:
        return 0.0
    if lane.chunks == 1 or tokens <= first:
        return views.table_prefill(core)[lane_index, 0] * (tokens / first if first > 0.0 else 1.0)  # type: ignore[no-any-return]
    j = segment(views.table_prompt(core), lane_index, lane.chunks, tokens)
    low, high = views.table_prompt(core)[lane_index, j], views.table_prompt(core)[lane_index, j + 1]
    at_low, at_high = views.table_prefill(core)[lane_index, j], views.table_prefill(core)[lane_index, j + 1]
    return at_low + (at_high - at_low) * (tokens - low) / (high - low)  # type: ignore[no-any-return]


@compiled
def step_ms(core: Core, lane_index: int, batch: int, held: int, tokens: int) -> float:
    """Duration of one iteration without noise: `batch` sequences in it, `held` tokens held at its end."""
    lane = views.lanes(core)[lane_index]
    if lane.table == 0:
        return (  # type: ignore[no-any-return]
            lane.alpha + lane.beta * batch + lane.gamma * held / 1000.0 + lane.prefill * tokens / 1000.0
        )
    at, _, _ = decode_line(core, lane_index, batch, held / batch)
    return max(at + prefill_ms(core, lane_index, tokens), SHORTEST_MS)


@compiled
def run_line(core: Core, lane_index: int, batch: int, held: int) -> tuple[float, float, int]:
    """(first, slope) of a run of decode-only iterations and how many of them the line holds for, at least 1."""
    lane = views.lanes(core)[lane_index]
    if lane.table == 0:
        first = lane.alpha + lane.beta * batch + lane.gamma * held / 1000.0
        return first, lane.gamma * batch / 1000.0, _NOISY_RUN if lane.noisy else _UNBOUNDED
    context = held / batch
    at, slope, until = decode_line(core, lane_index, batch, context + 1.0)
    steps = _UNBOUNDED
    if until < math.inf:
        steps = max(int(until - context + _EPSILON), 1)
    if slope < 0.0:
        steps = min(steps, max(int((SHORTEST_MS - at) / slope), 1))
    if lane.noisy:
        steps = min(steps, _NOISY_RUN)
    return max(at, SHORTEST_MS) - slope, slope, steps


@compiled
def noise_factor(core: Core, replica: Record, step: int) -> float:
    """The factor of a replica's iteration."""
    return views.noise(core)[replica.lane, bits(replica.noise_key, step) % NOISE_STEPS]  # type: ignore[no-any-return]


@compiled
def run_seconds(core: Core, replica: Record, steps: int) -> float:
    """How long the first `steps` iterations of the run under way take, in seconds."""
    first, slope = replica.first_ms, replica.slope_ms
    if views.lanes(core)[replica.lane].noisy == 0:
        return (first * steps + slope * steps * (steps + 1) / 2.0) / 1000.0  # type: ignore[no-any-return]
    total = 0.0
    for i in range(1, steps + 1):
        total += (first + slope * i) * noise_factor(core, replica, replica.steps + i)
    return total / 1000.0


@compiled
def steps_until(core: Core, replica: Record, time: float, limit: int) -> int:
    """The fewest iterations of the run under way after which it is `time` or later: 1 to `limit`."""
    budget = (time - replica.clock) * 1000.0
    first, slope = replica.first_ms, replica.slope_ms
    if views.lanes(core)[replica.lane].noisy:
        steps = 1
        total = (first + slope) * noise_factor(core, replica, replica.steps + 1)
        while steps < limit and replica.clock + total / 1000.0 < time:
            steps += 1
            total += (first + slope * steps) * noise_factor(core, replica, replica.steps + steps)
        return steps
    linear = first + slope / 2.0
    inside = linear * linear + 2.0 * slope * budget
    if inside <= 0.0:
        return limit
    # The stable form of the quadratic's root: no cancellation for a small slope.
    guess = 2.0 * budget / (linear + math.sqrt(inside))
    steps = limit if guess >= limit else max(int(guess), 1)
    while steps < limit and replica.clock + run_seconds(core, replica, steps) < time:
        steps += 1
    while steps > 1 and replica.clock + run_seconds(core, replica, steps - 1) >= time:
        steps -= 1
    return steps
