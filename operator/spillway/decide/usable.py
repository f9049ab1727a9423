"""What an own lane takes within its objectives where no gateway caps it: what is in flight is then left to chance.

With N replicas and a balancer that evens them out, the number in flight is the diffusion of `response` without its
upper boundary: each replica finishes X(n) requests a second with n in flight up to what the engine runs at once, and
what comes beyond waits there. A request that finds x in flight misses its objective as often as at a level of x/N; the
usable load of N replicas is the largest at which the mean of that over the stationary density stays within the
allowance. Larger fleets need less headroom. Weights follow demand within a tick or two, not within a minute: the rate
varies around what they are set for, and the mean is over that as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spillway.decide.bursts import Unevenness
from spillway.decide.forecast import Floats
from spillway.decide.response import RequestModel, edges, whole_rate

POINTS = 96
"""Of the density."""
HIGHEST_LOAD = 0.95
"""Of what replicas finish at their most: nearer to it queues last for hours."""
CLEARLY_OVER = 30.0
"""Levels that miss so many allowances are as good as full."""
BISECTIONS = 14
OWN_HALF = 0.5
"""A request is one of those in flight, and the one of them that has more on some replicas than on others."""
MINUTES = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
"""Of a normal distribution, in standard deviations; a minute's rate is lognormal."""
CHANCES = np.exp(-(MINUTES**2) / 2)
UNREACHABLE = 1.5
"""Where a single request misses more than allowed, so many times as much is put up with: someone must serve."""


@dataclass(frozen=True, slots=True)
class Misses:
    """How often objectives are missed, in allowances of the class that is worst off."""

    levels: Floats
    """(L,) in flight per replica, ascending; the last is what an engine runs at once."""
    over: Floats
    """(L,)"""
    waiting: float
    """Where requests wait for a free sequence."""


def usable(request: RequestModel, misses: Misses, counts: Floats, uneven: Unevenness) -> Floats:
    """Requests a second that so many replicas take, by ``counts`` (N,)."""
    counts = np.asarray(counts, dtype=np.float64)
    found = np.zeros(counts.size)
    some = counts > 0
    if some.any():
        found[some] = _usable(request, misses, counts[some], uneven)
    return found


def _usable(request: RequestModel, misses: Misses, counts: Floats, uneven: Unevenness) -> Floats:
    levels, over = misses.levels, misses.over
    most = float(levels[-1])
    clear = np.nonzero(over > CLEARLY_OVER)[0]
    top = most if clear.size == 0 else float(levels[clear[0]])
    # A few replicas spread wider for their size.
    top = min(1.3 * most, 1.3 * top) + 3.0
    n = counts[:, None]
    at = n * top * (np.arange(POINTS) + 0.5) / POINTS
    departs = n * whole_rate(request, most, at / n)
    missed = np.interp(np.maximum(at / n + OWN_HALF, 1.0), levels, over)
    missed = np.where(at / n > most, np.maximum(missed, misses.waiting), missed)
    allowed = max(1.0, UNREACHABLE * float(over[0]))
    full = counts * float(request.rate(np.array(most)))
    factors = np.exp(uneven.jitter * MINUTES - uneven.jitter**2 / 2)
    weights = CHANCES / float(CHANCES @ factors)
    low, high = np.zeros(counts.size), np.full(counts.size, HIGHEST_LOAD)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        arrives = (middle * full)[:, None] * factors
        found = _mean_over(arrives, departs, missed, n * top / POINTS, uneven.dispersion)
        # A fuller minute has more requests.
        fine = found @ (weights * factors) <= allowed
        low, high = np.where(fine, middle, low), np.where(fine, high, middle)
    return np.asarray(low * full)


def _mean_over(arrives: Floats, departs: Floats, missed: Floats, width: Floats, dispersion: float) -> Floats:
    """Misses that (N, F) arrivals meet: the mean of (N, G) ``missed`` over the stationary density."""
    rate, leaves = arrives[:, :, None], departs[:, None, :]
    variance = rate * dispersion + leaves
    steps = 2.0 * (rate - leaves) / variance * width[:, :, None]
    half = steps / 2
    exponent = np.cumsum(steps, axis=2) - half
    density = np.exp(exponent - exponent.max(axis=2, keepdims=True)) * edges(half) / variance
    return np.asarray((density * missed[:, None, :]).sum(axis=2) / density.sum(axis=2))
