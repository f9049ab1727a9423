"""What the regression looks at, for many origins and all horizons at once.

Everything is the logarithm of a ratio to the level at the origin, so that what is learned holds at any size: short
momentum, growth from the same time of past seasons, how far today is off them, and the pull of the season's mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spillway.decide.forecast.state import HORIZONS, STARTS, Floats, Integers

SEASONS_BACK = 7
FEATURES = 13
SCALES = 9
UNKNOWN_JUMP = 0.5
"""Change from slot to slot where none is known yet."""
LEAST = 1e-3
"""A window with a smaller part of a slot known is unknown."""


class Cumulated:
    """Means of a gapped series over any window of slot positions; NaN where nothing is known inside."""

    __slots__ = ("counts", "sums")

    def __init__(self, values: Floats) -> None:
        known = np.isfinite(values)
        # Up to each slot's start, and once more at the end: a position there is in no slot.
        self.sums = np.zeros(values.size + 2)
        self.counts = np.zeros(values.size + 2)
        np.cumsum(np.where(known, values, 0.0), out=self.sums[1:-1])
        np.cumsum(known, out=self.counts[1:-1])
        self.sums[-1], self.counts[-1] = self.sums[-2], self.counts[-2]

    def mean(self, low: Floats, high: Floats) -> Floats:
        """Mean between two positions (slots from the first value), elementwise."""
        both = np.minimum(np.maximum(np.stack((low, high)), 0.0), len(self.sums) - 2.0)
        slot = both.astype(np.int64)
        part = np.asarray(both - slot, dtype=np.float64)
        (count_low, count_high), (low_sum, high_sum) = _upto(self.counts, slot, part), _upto(self.sums, slot, part)
        number, total = count_high - count_low, high_sum - low_sum
        return np.where(number > LEAST, np.maximum(total, 0.0) / np.maximum(number, LEAST), np.nan)


def _upto(cumulated: Floats, slot: Integers, part: Floats) -> Floats:
    """At some part of a slot, by a straight line."""
    before = cumulated[slot]
    return (cumulated[slot + 1] - before) * part + before


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """Moments to forecast from: arrays (n, horizons)."""

    position: Floats
    """Slots from the first value to the origin; may lie inside a slot."""
    level: Floats
    mean: Floats
    """Mean over the slot length before."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """History prepared for looking back, at one offset of the logarithm."""

    demand: Cumulated
    jumps: Cumulated
    """Absolute changes of the logarithm from slot to slot."""
    season: float
    """In slots."""
    offset: float
    slot_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Regressors of one set of origins."""

    level: Floats
    """Logarithm of the level, (n, horizons)."""
    change: Floats
    """(n, horizons, FEATURES) regressors of the change; unknown ones are 0."""
    scale: Floats
    """(n, horizons, SCALES) regressors of its mean absolute error; unknown ones are 0."""
    season_ago: Floats
    """Demand of the target's slot a season earlier, (n, horizons), requests a second; NaN: not known."""


def lookback(season: float) -> int:
    """Slots before an origin that ``look`` needs."""
    return math.ceil(season * (SEASONS_BACK - 1 + math.ceil((int(STARTS[-1]) + 2) / season))) + 8


def prepare(values: Floats, season: float, offset: float, slot_seconds: float) -> Seen:
    """History ready for ``look``."""
    logs = np.log(values + offset)
    jumps = np.full(values.size, np.nan)
    np.abs(logs[1:] - logs[:-1], out=jumps[1:])
    return Seen(Cumulated(values), Cumulated(jumps), season, offset, slot_seconds)


def look(seen: Seen, origins: Origins) -> View:
    """The regressors at each origin, from what was known there."""
    x, start = origins.position, STARTS.astype(np.float64)
    shape = (x.shape[0], HORIZONS)
    multiples = np.ceil((start + 2) / seen.season)
    back = seen.season * (multiples + np.arange(SEASONS_BACK)[:, None])[:, None, :]
    then = x - back
    ahead = then + start
    # Windows one below the other: base and target of each past season, the hour before the base, then single ones.
    low = np.concatenate((
        then - 2, ahead - 1, then - 7,
        np.stack((x - seen.season, x - 7, x - 2, x - 4, x - 13)), ahead[:1],
    ))  # fmt: skip
    high = np.concatenate((
        then + 1, ahead + 2, then - 1,
        np.stack((x, x - 1, x - 1, x - 1, x - 1)), ahead[:1] + 1,
    ))  # fmt: skip
    means = seen.demand.mean(low, high)
    logs = np.log(means[:-1] + seen.offset)
    base, target, hour_before = logs[:SEASONS_BACK], logs[SEASONS_BACK : 2 * SEASONS_BACK], logs[14:21]
    day, hour, before, before3, before12 = logs[21:]
    level, mean = np.log(origins.level + seen.offset), np.log(origins.mean + seen.offset)
    growth, away = target - base, base - level
    (growth_mean, away_mean, hour_then), growth_spread = _moments(np.stack((growth, away, base - hour_before)))
    last = level - before
    change = (
        1.0,
        mean - level,
        last,
        level - before3,
        level - before12,
        growth[0],
        growth_mean,
        away[0],
        away_mean,
        growth[6],
        away[6],
        day - level,
        level - hour - hour_then,
    )
    jumps = seen.jumps.mean(np.stack((x - 6, x - seen.season, ahead[0] - 2)), np.stack((x, x, ahead[0] + 2)))
    jumps[:2] = np.where(np.isnan(jumps[:2]), UNKNOWN_JUMP, jumps[:2])
    scale = (
        1.0,
        jumps[0],
        jumps[1],
        np.abs(growth[0]),
        np.abs(growth_mean),
        growth_spread,
        np.abs(last),
        1 / np.sqrt(origins.level * seen.slot_seconds + 1),
        jumps[2],
    )
    return View(level, _stacked(change, shape), _stacked(scale, shape), means[-1])


def _moments(values: Floats) -> tuple[Floats, Floats]:
    """Means over the second axis, and the first group's standard deviation; gaps are left out, 0 where all are."""
    known = values == values  # noqa: PLR0124 - NaN is a gap
    number = np.maximum(known.sum(axis=1), 1)
    filled = np.where(known, values, 0.0)
    mean = filled.sum(axis=1) / number
    square = (filled[0] * filled[0]).sum(axis=0) / number[0]
    return mean, np.sqrt(np.maximum(square - mean[0] * mean[0], 0.0))


def _stacked(columns: tuple[float | Floats, ...], shape: tuple[int, int]) -> Floats:
    out = np.empty((*shape, len(columns)))
    for index, column in enumerate(columns):
        out[:, :, index] = column
    out[np.isnan(out)] = 0.0
    return out
