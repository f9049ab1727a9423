"""How uneven a class's arrivals are within minutes: short bursts, and a rate that itself jumps from minute to minute.

Rates are means over a window of w seconds, read every step of s seconds. With c the index of dispersion of counts (1:
Poisson; the squared coefficient of variation of inter-arrival times for a renewal stream) and j the relative standard
deviation of the rate from minute to minute, at a mean rate r:

    window dispersion = w * E[(r(t) - 2 r(t - w) + r(t - 2w))^2/6] / r    = c + k*w*r*j^2
    step dispersion   = w^2/s * E[(r(t) - r(t - s))^2/2] / r              = c + s*r*j^2

Second differences, so that a rate that rises steadily is no jitter. k is 23/48 where rates change each minute and a
window begins at any quarter of one: at u of it, windows in a row share minutes, and the mean of
((1-u)^2 + (3u-2)^2 + (1-3u)^2 + u^2)/6 over u = 0, 1/4, 1/2, 3/4 is that.
A hold absorbs bursts, but not a minute of more demand than there is capacity for. How the minutes spread is kept as it
is (rare spikes and steady unevenness of the same variance want different fleets): the rate of a window over the mean
of the last ten minutes, on a grid, less what chance alone spreads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spillway.decide.forecast import Floats
from spillway.decide.snapshot import Series

WINDOW_STEPS = 4
"""Steps that a rate is taken over."""
MEMORY_SECONDS = 3 * 3600.0
LONGEST_STEP_SECONDS = 60.0
"""Coarser series say nothing of bursts."""
HIGHEST_DISPERSION = 40.0
HIGHEST_JITTER = 1.0
OVERLAP = 23 / 48
"""k."""
RATIOS = (-1.2, -0.8, -0.55, -0.35, -0.22, -0.12, -0.05, 0.0, 0.05, 0.12, 0.22, 0.35, 0.55, 0.8, 1.2, 1.8)
"""Grid of the logarithm of a minute's rate over the mean around it."""
AROUND_STEPS = 40
JITTERS, SLOWLY = 1.5, 0.05
"""Factors spread by at most so many jitters, and a little."""
UNUSUAL = 25.0
"""A squared change beyond so many usual ones, and beyond the highest dispersion, counts as that."""
TRIMMED, FEWEST_TO_TRIM = 0.01, 50
"""Of many points seen at once, the wildest part says nothing of what is usual."""
FEWEST_RATIOS = 30.0
START_POINTS = 20.0
"""Weight of the assumption of a Poisson stream, in points."""


@dataclass(frozen=True, slots=True)
class Unevenness:
    """Of the arrivals of all classes of a lane; all of a lane's classes together."""

    dispersion: float = 1.0
    factors: tuple[float, ...] = (1.0,)
    """Of the load from minute to minute, mean 1."""
    weights: tuple[float, ...] = (1.0,)
    """Their probabilities."""
    jitter: float = 0.0
    """Relative standard deviation from minute to minute alone: without what moves more slowly."""

    @property
    def moments(self) -> tuple[float, float]:
        """Standard deviation of the factors, and mean excess over 1.5: what makes curves differ."""
        factors, weights = np.array(self.factors), np.array(self.weights)
        return float(np.sqrt(weights @ (factors - 1) ** 2)), float(weights @ np.maximum(factors - 1.5, 0.0))


@dataclass(frozen=True, slots=True)
class Burst:
    """Decayed sums over points of the series."""

    at: float
    """Unix time of the newest point looked at."""
    step_seconds: float = 15.0
    points: float = 0.0
    rates: float = 0.0
    short_squares: float = 0.0
    """Sum of half the squared changes over one step."""
    long_squares: float = 0.0
    """Sum of a sixth of the squared second differences over windows."""
    ratios: tuple[float, ...] = (0.0,) * len(RATIOS)
    """Weights of the grid."""

    @property
    def rate(self) -> float:
        """Mean requests a second."""
        return self.rates / self.points if self.points > 0 else 0.0

    def _dispersions(self) -> tuple[float, float]:
        window = WINDOW_STEPS * self.step_seconds
        weight, rate = self.points + START_POINTS, max(self.rate, 1e-9)
        short = (window**2 / self.step_seconds * self.short_squares / rate + START_POINTS) / weight
        return short, max(short, (window * self.long_squares / rate + START_POINTS) / weight)

    @property
    def jitter(self) -> float:
        """Relative standard deviation of the rate from minute to minute."""
        if self.rate <= 0:
            return 0.0
        short, long = self._dispersions()
        seconds = (OVERLAP * WINDOW_STEPS - 1) * self.step_seconds
        return min(HIGHEST_JITTER, math.sqrt((long - short) / (seconds * self.rate)))

    @property
    def dispersion(self) -> float:
        """Index of dispersion of short bursts, 1 for Poisson."""
        short, _ = self._dispersions()
        calm = short - self.step_seconds * self.rate * self.jitter**2
        return min(HIGHEST_DISPERSION, max(1.0, calm))

    def spread(self) -> tuple[Floats, Floats]:
        """Factors on the mean rate and their probabilities; mean 1."""
        weights = np.array(self.ratios)
        if weights.sum() < FEWEST_RATIOS or self.rate <= 0:
            return np.ones(1), np.ones(1)
        weights = weights / weights.sum()
        logs = np.array(RATIOS)
        variance = float(weights @ logs**2 - (weights @ logs) ** 2)
        chance = self.dispersion / (WINDOW_STEPS * self.step_seconds * self.rate)
        if variance <= chance:
            return np.ones(1), np.ones(1)
        # What moves more slowly than from minute to minute is the forecast's to follow.
        uneven = min(math.sqrt(variance - chance), JITTERS * self.jitter + SLOWLY)
        factors = np.exp(logs * uneven / math.sqrt(variance))
        return factors / float(weights @ factors), weights


def seen(burst: Burst | None, series: Series) -> Burst | None:
    """With the points that have come since the last look."""
    if series.step_seconds > LONGEST_STEP_SECONDS or len(series.values) <= 2 * WINDOW_STEPS:
        return burst
    values = np.array([math.nan if value is None else value for value in series.values])
    if burst is None or burst.step_seconds != series.step_seconds:
        burst = Burst(series.start, series.step_seconds)
    new = min(len(values) - 2 * WINDOW_STEPS, round((series.end - burst.at) / series.step_seconds))
    if new <= 0:
        return burst
    at = np.arange(len(values) - new, len(values))
    known = np.isfinite(values[at]) & np.isfinite(values[at - 1])
    known &= np.isfinite(values[at - WINDOW_STEPS]) & np.isfinite(values[at - 2 * WINDOW_STEPS])
    at = at[known]
    now, before, window, first = (values[at - back] for back in (0, 1, WINDOW_STEPS, 2 * WINDOW_STEPS))
    decay = math.exp(-max(0.0, series.end - burst.at) / MEMORY_SECONDS)
    mean = _around(values, AROUND_STEPS)[at]
    return Burst(
        series.end,
        series.step_seconds,
        decay * burst.points + now.size,
        decay * burst.rates + float(now.sum()),
        decay * burst.short_squares + _clipped((now - before) ** 2 / 2, now + before, burst.short_squares, burst, 1),
        decay * burst.long_squares
        + _clipped((now - 2 * window + first) ** 2 / 6, now + window, burst.long_squares, burst, WINDOW_STEPS),
        _on_grid(burst.ratios, decay, now[mean > 0] / mean[mean > 0]),
    )


def _clipped(squares: Floats, sums: Floats, before: float, burst: Burst, steps: int) -> float:
    """Sum of the squares, none of them far beyond what is usual: a jump of demand is no burstiness.

    ``sums``: of two rates, ``steps`` apart.
    """
    usual = before / burst.points if burst.points > START_POINTS else 0.0
    if squares.size >= FEWEST_TO_TRIM:
        usual = max(usual, float(squares[squares <= np.quantile(squares, 1.0 - TRIMMED)].mean()))
    # The square is rate*dispersion*apart/window^2 in the mean.
    wild = HIGHEST_DISPERSION * sums / 2 * steps / (WINDOW_STEPS**2 * burst.step_seconds)
    return float(np.minimum(squares, np.maximum(wild, UNUSUAL * usual)).sum())


def _around(values: Floats, points: int) -> Floats:
    """The mean of so many values up to each one, as far as there are any."""
    finite = np.isfinite(values)
    sums = np.concatenate(([0.0], np.cumsum(np.where(finite, values, 0.0))))
    counts = np.concatenate(([0], np.cumsum(finite)))
    last = np.arange(1, values.size + 1)
    first = np.maximum(last - points, 0)
    return np.asarray((sums[last] - sums[first]) / np.maximum(counts[last] - counts[first], 1))


def _on_grid(before: tuple[float, ...], decay: float, ratios: Floats) -> tuple[float, ...]:
    """The decayed grid with new ratios, each split between its two neighbours."""
    grid = np.array(RATIOS)
    logs = np.clip(np.log(np.maximum(ratios, 1e-3)), grid[0], grid[-1])
    right = np.clip(np.searchsorted(grid, logs), 1, grid.size - 1)
    share = (logs - grid[right - 1]) / (grid[right] - grid[right - 1])
    added = np.bincount(right, share, grid.size) + np.bincount(right - 1, 1.0 - share, grid.size)
    return tuple((decay * np.array(before) + added).tolist())
