"""How uneven a class's arrivals are within minutes: short bursts, and a rate that itself jumps from minute to minute.

Rates are means over a window of w seconds, read every step of s seconds. With c the index of dispersion of counts (1:
Poisson; the squared coefficient of variation of inter-arrival times for a renewal stream) and j the relative standard
deviation of the rate from minute to minute, at a mean rate r:

    window dispersion = w * E[(r(t) - r(t - w))^2/2] / r          = c + k*w*r*j^2
    step dispersion   = w^2/s * E[(r(t) - r(t - s))^2/2] / r      = c + s*r*j^2

k is 17/32 where rates change each minute and a window begins at any quarter of one: at u of it, two windows in a row
share a minute, 1 - 3u(1 - u) in the mean over u = 0, 1/4, 1/2, 3/4.
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
OVERLAP = 17 / 32
"""k."""
RATIOS = (-1.2, -0.8, -0.55, -0.35, -0.22, -0.12, -0.05, 0.0, 0.05, 0.12, 0.22, 0.35, 0.55, 0.8, 1.2, 1.8)
"""Grid of the logarithm of a minute's rate over the mean around it."""
FEWEST_RATIOS = 30.0
START_POINTS = 20.0
"""Weight of the assumption of a Poisson stream, in points."""


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
    """Sum of half the squared changes over one window."""
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
        factors = np.exp(logs * math.sqrt(1.0 - chance / variance))
        return factors / float(weights @ factors), weights


def seen(burst: Burst | None, series: Series) -> Burst | None:
    """With the points that have come since the last look."""
    if series.step_seconds > LONGEST_STEP_SECONDS or len(series.values) <= WINDOW_STEPS:
        return burst
    values = np.array([math.nan if value is None else value for value in series.values])
    if burst is None or burst.step_seconds != series.step_seconds:
        burst = Burst(series.start, series.step_seconds)
    new = min(len(values) - WINDOW_STEPS, round((series.end - burst.at) / series.step_seconds))
    if new <= 0:
        return burst
    now, before, window = values[-new:], values[-new - 1 : -1], values[-new - WINDOW_STEPS : -WINDOW_STEPS]
    known = np.isfinite(now) & np.isfinite(before) & np.isfinite(window)
    now, before, window = now[known], before[known], window[known]
    decay = math.exp(-max(0.0, series.end - burst.at) / MEMORY_SECONDS)
    around = values[np.isfinite(values)]
    mean = float(around.mean()) if around.size else 0.0
    return Burst(
        series.end,
        series.step_seconds,
        decay * burst.points + now.size,
        decay * burst.rates + float(now.sum()),
        decay * burst.short_squares + float(((now - before) ** 2).sum()) / 2,
        decay * burst.long_squares + float(((now - window) ** 2).sum()) / 2,
        _on_grid(burst.ratios, decay, now / mean if mean > 0 else now[:0]),
    )


def _on_grid(before: tuple[float, ...], decay: float, ratios: Floats) -> tuple[float, ...]:
    """The decayed grid with new ratios, each split between its two neighbours."""
    grid = np.array(RATIOS)
    logs = np.clip(np.log(np.maximum(ratios, 1e-3)), grid[0], grid[-1])
    right = np.clip(np.searchsorted(grid, logs), 1, grid.size - 1)
    share = (logs - grid[right - 1]) / (grid[right] - grid[right - 1])
    added = np.bincount(right, share, grid.size) + np.bincount(right - 1, 1.0 - share, grid.size)
    return tuple((decay * np.array(before) + added).tolist())
