"""How many requests met a bound, from cumulative buckets whatever their bounds are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def rate_within(buckets: Sequence[tuple[float, float]], bound: float) -> tuple[float, float] | None:
    """(Observations within ``bound``, all observations), each a second; None when nothing was observed.

    ``buckets`` are (upper bound, cumulative rate), ascending. Between two bounds the distribution is taken as uniform;
    what lies above the last finite bound counts as not within. Rates of neighbouring buckets may be out of order by
    rounding: the running maximum is used.
    """
    lower_bound, lower, running = 0.0, 0.0, 0.0
    within: float | None = None
    for upper_bound, rate in buckets:
        running = max(running, rate)
        if within is None and bound < upper_bound:
            if math.isinf(upper_bound):
                within = lower
            else:
                share = max(0.0, bound - lower_bound) / max(upper_bound - lower_bound, 1e-12)
                within = lower + (running - lower) * min(1.0, share)
        lower_bound, lower = upper_bound, running
    if running <= 0:
        return None
    return (lower if within is None else within), running


def share_within(histograms: Iterable[Sequence[tuple[float, float]]], bound: float) -> float | None:
    """Share of all histograms' observations within ``bound``, 0 to 1; None when there are none."""
    parts = [found for buckets in histograms if (found := rate_within(buckets, bound)) is not None]
    total = sum(all_of for _, all_of in parts)
    return sum(within for within, _ in parts) / total if total > 0 else None
