"""How long requests are, and how many prompt tokens a replica works on while one request decodes.

Lengths are lognormal and cut off at the longest that the engine takes, min(lognormal(mu, sigma), longest), with mu such
that the mean is the measured one. Prompts come to a replica as a Poisson stream, so the prompt tokens of a stretch of
iterations are a compound Poisson sum. Its tail is computed once per shape (by FFT) and then looked up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from spillway.decide.service.model import Mix

Floats = NDArray[np.float64]

DEFAULT_SIGMA = 0.8
_RATES = np.geomspace(0.01, 4000.0, 44)
"""Expected numbers of prompts that the tail is tabled for."""
_POINTS = 1024
_MANY = 100.0
"""Sums of more prompts than this are described by their first three moments."""
_SOFT = 2.0
"""Where fewer than about ``_SOFT**2`` prompts are expected, tails are alike at equal sums; beyond, at equal z."""
_LARGEST_RATIO = 40.0
"""A longest prompt of more than this many means doesn't count: as good as none."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Lengths:
    """Spread of a class's request lengths around their means."""

    input_sigma: float = DEFAULT_SIGMA
    """Sigma of the lognormal input length."""
    output_sigma: float = DEFAULT_SIGMA
    longest_input: float = math.inf
    """Tokens; what the engine's context admits."""
    longest_output: float = math.inf


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of request on a replica: its share of the requests, what it is, how its lengths spread."""

    share: float
    mix: Mix
    lengths: Lengths = Lengths()


def normal_cdf(x: Floats) -> Floats:
    """The standard normal distribution function (Abramowitz and Stegun 26.2.17: error below 1e-7)."""
    away = np.abs(x)
    t = 1.0 / (1.0 + 0.2316419 * away)
    poly = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    upper = np.exp(-away * away / 2.0) / math.sqrt(2.0 * math.pi) * poly
    return np.where(x < 0, upper, 1.0 - upper)


@lru_cache(maxsize=4096)
def location(mean: float, sigma: float, longest: float) -> float:
    """The mu for which min(lognormal(mu, sigma), longest) has that mean."""
    plain = math.log(mean) - sigma * sigma / 2.0
    if sigma <= 0 or math.isinf(longest):
        return plain
    if mean >= longest:
        return math.log(longest) + 10.0 * sigma
    low, high = plain, max(plain, math.log(longest)) + 10.0 * sigma
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _capped_moment(1, middle, sigma, longest) < mean else (low, middle)
    return (low + high) / 2.0


def second_moment(mean: float, sigma: float, longest: float) -> float:
    """Mean square of a length, tokens squared."""
    if sigma <= 0 or mean <= 0 or mean >= longest:
        return mean * mean
    return _capped_moment(2, location(mean, sigma, longest), sigma, longest)


def _capped_moment(order: int, mu: float, sigma: float, longest: float) -> float:
    whole = math.exp(order * mu + order * order * sigma * sigma / 2.0)
    if math.isinf(longest):
        return whole
    edge = (math.log(longest) - mu) / sigma
    return float(whole * _phi(edge - order * sigma) + longest**order * (1.0 - _phi(edge)))


def _phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def output_nodes(mean: float, sigma: float, longest: float) -> tuple[Floats, Floats]:
    """Output lengths with their probabilities: each one up to 16 tokens, then in steps of a fifth. Sums to 1."""
    if sigma <= 0 or mean <= 0 or mean >= longest:
        return np.array([min(mean, longest)]), np.ones(1)
    mu = location(mean, sigma, longest)
    top = min(longest, math.exp(mu + 4.0 * sigma))
    steps = max(2, math.ceil(math.log(max(top, 20.0) / 16.5) / math.log(1.2)) + 1)
    edges = np.concatenate((np.arange(1.5, 16.0), np.geomspace(16.5, max(top, 20.0), steps)))
    below = normal_cdf((np.log(edges) - mu) / sigma)
    below[-1] = 1.0
    chance = np.diff(below, prepend=0.0)
    middle = np.sqrt(edges[1:] * edges[:-1])
    middle[:15] = np.arange(2, 17)
    return np.minimum(np.concatenate((np.ones(1), middle)), longest), chance


@dataclass(frozen=True, slots=True, eq=False)
class _Tail:
    """log P(sum > s), rows by rate, columns by the coordinate u = (s - rate) / sqrt(rate * m2 + soft^2)."""

    square: float
    """Second moment of a prompt's length in units of its mean squared."""
    low: Floats
    step: Floats
    log_tail: Floats


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths of the prompts that come: mean, sigma and the longest, in tokens."""

    mean: float
    sigma: float
    longest: float


def sum_exceeds(rate: Floats, tokens: Floats, sizes: Sizes, dispersion: Floats | float = 1.0) -> Floats:
    """P(prompt tokens > ``tokens``) where ``rate`` prompts are expected; arrays broadcast. Below 0 tokens it is 1.

    ``dispersion`` is the variance of the number of prompts over its mean: 1 for Poisson. For others the sum is taken
    for a Poisson one whose deviations from the mean are shrunk to its variance.
    """
    sigma, mean = max(sizes.sigma, 0.02), sizes.mean
    ratio = min(_LARGEST_RATIO, sizes.longest / mean)
    table = _tail(round(sigma, 2), round(1.05 ** round(math.log(max(ratio, 1.0)) / math.log(1.05)), 4))
    rate, sums = np.broadcast_arrays(np.maximum(rate, _TINY), tokens / mean)
    shrunk = np.sqrt((table.square - 1.0 + dispersion) / table.square)
    sums = np.where(sums < 0, sums, np.maximum(rate + (sums - rate) / shrunk, 0.0))
    u = (sums - rate) / np.sqrt(rate * table.square + _SOFT**2)
    place = np.log(rate / _RATES[0]) / math.log(_RATES[1] / _RATES[0])
    row = np.clip(np.floor(place), 0, len(_RATES) - 2).astype(np.int64)
    weight = np.minimum(place - row, 1.0)
    found = (1.0 - weight) * _look(table, row, u) + weight * _look(table, row + 1, u)
    # Below the first row only the chance of a single prompt changes, in proportion; weight is negative there. Far below
    # it the rows' rounding would tell: no sum is larger than none unless a prompt comes.
    return np.where(sums < 0, 1.0, np.minimum(np.exp(np.minimum(found, 0.0)), -np.expm1(-rate)))


def _look(table: _Tail, row: NDArray[np.int64], u: Floats) -> Floats:
    column = np.clip((u - table.low[row]) / table.step[row], 0.0, _POINTS - 2.001)
    whole = column.astype(np.int64)
    part = column - whole
    return (1.0 - part) * table.log_tail[row, whole] + part * table.log_tail[row, whole + 1]


def renewal_dispersion(means: Floats, sigma: float) -> Floats:
    """Variance over mean of the renewals of lognormal lifetimes, over a stretch of that many mean lifetimes.

    Below 1: a slot that was renewed just now is not renewed again at once.
    """
    sigma = max(0.2, sigma)
    grid, values = _dispersion(round(sigma, 2))
    return np.interp(means, grid, values)


@lru_cache(maxsize=64)
def _dispersion(sigma: float) -> tuple[Floats, Floats]:
    """Of a stationary renewal process: Var N(t) = t - t^2 + 2 * integral of m, m = F + m * dF (mean lifetime 1)."""
    step, count = 0.04, 200
    grid = step * np.arange(1, count + 1)
    below = normal_cdf((np.log(grid) + sigma * sigma / 2.0) / sigma)
    density = np.diff(below, prepend=0.0)
    renewals = np.zeros(count + 1)
    for index in range(1, count + 1):
        # A life that ends inside a step leaves the rest of it: the mean of both ends, of which one is yet unknown.
        known = density[:index] @ renewals[:index][::-1] + density[1:index] @ renewals[1:index][::-1]
        renewals[index] = (below[index - 1] + known / 2.0) / (1.0 - density[0] / 2.0)
    integral = step * np.cumsum((renewals[:-1] + renewals[1:]) / 2.0)
    variance = grid - grid * grid + 2.0 * integral
    return np.append(0.0, grid), np.append(1.0, np.clip(variance / grid, 0.05, None))


@lru_cache(maxsize=256)
def _tail(sigma: float, ratio: float) -> _Tail:
    longest = math.inf if ratio >= _LARGEST_RATIO * 0.95 else ratio
    mu = location(1.0, sigma, longest)
    square, cube = (_capped_moment(order, mu, sigma, longest) for order in (2, 3))
    low, step, rows = [], [], []
    for rate in _RATES.tolist():
        width = (min(longest * 3, 24.0) + rate + 8.0 * math.sqrt(rate * square)) / _POINTS
        if rate > _MANY:
            tail = _skewed_tail((np.arange(_POINTS) + 0.5) * width, rate, square, cube)
        else:
            tail = _summed_tail(width, rate, mu, sigma, longest)
        soft = math.sqrt(rate * square + _SOFT**2)
        low.append((0.5 * width - rate) / soft)
        step.append(width / soft)
        rows.append(np.log(np.maximum(tail, _TINY)))
    return _Tail(square, np.array(low), np.array(step), np.array(rows))


def _summed_tail(width: float, rate: float, mu: float, sigma: float, longest: float) -> Floats:
    """P(sum > (i + 1/2) * width): sizes rounded to multiples of ``width``, summed by the Poisson's transform."""
    edges = (np.arange(2 * _POINTS) + 0.5) * width
    below = np.where(edges >= longest, 1.0, normal_cdf((np.log(edges) - mu) / sigma))
    below[-1] = 1.0
    size = np.diff(below, prepend=0.0)
    # Rounding shifts the mean a little where bins are coarse; the rate makes up for it.
    exact = rate / max(float(size @ (np.arange(2 * _POINTS) * width)), _TINY)
    sums = np.fft.irfft(np.exp(exact * (np.fft.rfft(size, 4 * _POINTS) - 1.0)), 4 * _POINTS)
    return np.asarray(np.cumsum(sums[::-1])[::-1][1 : _POINTS + 1])


def _skewed_tail(sums: Floats, rate: float, square: float, cube: float) -> Floats:
    """P(sum > s) of many prompts: a Pearson III law with their first three moments (Wilson and Hilferty's cube)."""
    z = (sums - rate) / math.sqrt(rate * square)
    skew = cube / (square**1.5 * math.sqrt(rate))
    root = np.cbrt(np.maximum(1.0 + skew * z / 2.0, 0.0))
    return normal_cdf(-(6.0 / skew * (root - 1.0) + skew / 6.0))
