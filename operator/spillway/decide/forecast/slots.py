"""History in slots: new points are read once, averaged per slot, and the level at each slot's end is estimated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from spillway.decide.forecast.state import MAX_SLOTS, SLOTS_PER_SEASON, Floats, ForecastState
from spillway.decide.quantiles import quantiles
from spillway.decide.snapshot import Series

DAY_SECONDS = 86_400.0
PARTS = (8, 4, 2, 1)
"""The level is the mean over a slot length divided by the last of these that still agrees with the first."""
DISAGREES_SIGMAS = 5.0
NEW_EPSILON = 1e-6
WINDOW_POINTS = 4
"""A fine series holds means over so many steps (the rate window), so neighbours overlap."""
OVERLAP_STEP_SECONDS = 30.0
"""Coarser points don't overlap."""


def slot_seconds(season_seconds: float, step_seconds: float) -> float:
    """Length of a slot: 1/144 of the season, rounded to whole steps of the finest history."""
    return step_seconds * max(1, round(season_seconds / SLOTS_PER_SEASON / step_seconds))


Points = tuple[Floats, Floats, Floats]
"""Times, values and steps."""


def new_points(history: Sequence[Series], after: float) -> Points:
    """Times, values and steps of the known points after a moment, oldest first: the finest series where it reaches."""
    pieces: list[Points] = []
    until = math.inf
    for series in history:
        step = series.step_seconds
        first = 0 if math.isinf(after) else max(0, math.floor((after - series.start) / step + NEW_EPSILON) + 1)
        count = len(series.values)
        if not math.isinf(until):
            count = min(count, math.floor((until - series.start) / step + NEW_EPSILON) + 1)
        if first < count:
            values: Floats = np.array(series.values[first:count], dtype=np.float64)
            times: Floats = series.start + step * np.arange(first, count, dtype=np.float64)
            known = np.isfinite(values)
            pieces.append(
                (times[known], np.maximum(values[known], 0.0), np.full(int(known.sum()), step, dtype=np.float64))
            )
        until = min(until, series.start - step)
        if after >= until:
            break
    if not pieces:
        empty = np.empty(0)
        return empty, empty, empty
    times, values, steps = (np.concatenate([piece[i] for piece in reversed(pieces)]) for i in range(3))
    return times, values, steps


def level_of(times: Floats, values: Floats, step: float, slot: float) -> float:
    """Level at the last time: the longest mean back to a slot length whose parts agree within the counting noise.

    The noise of one point is estimated from the differences of neighbours that don't overlap, and is at least
    Poisson's.
    """
    if values.size <= 2:
        return float(values[-1]) if step > slot / 2 else float(values.mean())
    sums = np.cumsum(values[::-1])
    end = times[-1]
    numbers = np.maximum(2, values.size - np.searchsorted(times, [end - slot / part + step / 2 for part in PARTS]))
    numbers = np.minimum(numbers, values.size)
    means = sums[numbers - 1] / numbers
    apart = WINDOW_POINTS if step <= OVERLAP_STEP_SECONDS and values.size > 2 * WINDOW_POINTS else 1
    middle, upper = quantiles(np.abs(values[apart:] - values[:-apart]), 0.5, 0.8)
    # Spiky minutes are noise as well; a single step is in few of the differences.
    neighbours = max(middle / 0.954, upper / 1.812)
    first, taken = int(numbers[0]), 0
    for index in range(1, len(PARTS)):
        variance = apart * max(neighbours**2, float(means[index]) / (apart * step))
        older = int(numbers[index]) - first
        if older <= 0:
            continue
        before = (sums[numbers[index] - 1] - sums[first - 1]) / older
        if abs(before - means[0]) > DISAGREES_SIGMAS * math.sqrt(variance * (1 / first + 1 / older)):
            break
        taken = index
    return float(means[taken])


def closed(state: ForecastState, times: Floats, values: Floats, steps: Floats, end: int) -> tuple[int, Floats, Floats]:
    """``first``, slot means and levels with the slots up to boundary ``end`` closed from points, old ones dropped."""
    slot, start = state.slot_seconds, state.end
    parts = np.maximum(1, np.ceil(steps / slot - NEW_EPSILON)).astype(np.int64)
    if (parts > 1).any():
        repeat = np.repeat(np.arange(parts.size), parts)
        nth = np.arange(repeat.size) - np.repeat(np.cumsum(parts) - parts, parts)
        width = steps[repeat] / parts[repeat]
        middles, flat = times[repeat] - width * (nth + 0.5), values[repeat]
    else:
        middles, flat = times - steps / 2, values
    index = np.floor(middles / slot + NEW_EPSILON).astype(np.int64) - start
    inside = (index >= 0) & (index < end - start)
    counts = np.bincount(index[inside], minlength=end - start)
    sums = np.bincount(index[inside], weights=flat[inside], minlength=end - start)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counts > 0, sums / counts, np.nan)
    levels = means.copy()
    for k in np.flatnonzero(counts > 2):
        edge = (start + int(k) + 1) * slot + NEW_EPSILON * slot
        low, high = np.searchsorted(times, edge - slot, "right"), np.searchsorted(times, edge, "right")
        if high - low > 2:
            levels[k] = level_of(times[low:high], values[low:high], float(steps[high - 1]), slot)
    all_means, all_levels = np.concatenate((state.values, means)), np.concatenate((state.levels, levels))
    drop = max(0, all_means.size - MAX_SLOTS)
    return state.first + drop, all_means[drop:], all_levels[drop:]
