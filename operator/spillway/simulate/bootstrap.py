"""Paired day-block bootstrap: how sure a cost, or a ratio of costs, is.

Seeds alone are few and share one trace; days differ far more. Blocks are (seed, day): a draw takes as many blocks as
there are, with replacement, and takes the same blocks of every policy, so that what is common to a day cancels out of
a ratio. The same blocks give the same interval: the generator is seeded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from spillway.simulate.score import SeedScore
from spillway.simulate.world import Floats, Integers

DRAWS = 2_000
SEED = 20_260
Bounds = tuple[float, float]
"""Lower and upper end of a 95% interval."""


def day_costs(scores: Sequence[SeedScore], miss_factor: float = 0.0) -> Floats:
    """(S, D) dollars of each seed and day, misses charged at `miss_factor` times their hosted price.

    Raises ValueError without scores, or where seeds differ in their number of days.
    """
    if not scores or len({len(s.days) for s in scores}) != 1:
        raise ValueError("day blocks: needs one seed or more, all with the same number of days")
    return np.array([[day.cost_usd + miss_factor * day.miss_price_usd for day in s.days] for s in scores])


def cost_interval(costs: Floats) -> Bounds:
    """95% interval of the mean over seeds of a seed's dollars; costs: (S, D)."""
    blocks = costs.ravel()
    totals = blocks[_draws(len(blocks))].sum(axis=1) / len(costs)
    return _bounds(totals)


def ratio_interval(costs: Floats, reference: Floats) -> Bounds:
    """95% interval of a policy's dollars over a reference's on the same seeds and days; both (S, D).

    Raises ValueError where the shapes differ. Draws in which the reference costs nothing count as infinite.
    """
    _check_paired(costs, reference)
    draws = _draws(costs.size)
    return _bounds(_ratio(costs.ravel()[draws].sum(axis=1), reference.ravel()[draws].sum(axis=1)))


def geometric_mean_ratio_interval(pairs: Sequence[tuple[Floats, Floats]]) -> Bounds:
    """95% interval of the geometric mean over scenarios of (costs, reference); blocks are drawn in each scenario.

    Raises ValueError without pairs, or where shapes in a pair differ.
    """
    if not pairs:
        raise ValueError("geometric mean of ratios: needs one scenario or more")
    logs = np.zeros(DRAWS)
    for number, (costs, reference) in enumerate(pairs):
        _check_paired(costs, reference)
        draws = _draws(costs.size, number)
        logs += np.log(_ratio(costs.ravel()[draws].sum(axis=1), reference.ravel()[draws].sum(axis=1)))
    return _bounds(np.exp(logs / len(pairs)))


def _draws(blocks: int, stream: int = 0) -> Integers:
    return np.random.default_rng((SEED, stream)).integers(0, blocks, size=(DRAWS, blocks))


def _ratio(above: Floats, below: Floats) -> Floats:
    ratio: Floats = np.divide(above, below, out=np.full(len(above), math.inf), where=below > 0)
    return ratio


def _bounds(values: Floats) -> Bounds:
    low, high = np.quantile(values, (0.025, 0.975), method="inverted_cdf")
    return float(low), float(high)


def _check_paired(costs: Floats, reference: Floats) -> None:
    if costs.shape != reference.shape or not costs.size:
        raise ValueError(f"paired days: shapes {costs.shape} and {reference.shape} must be the same and not empty")
