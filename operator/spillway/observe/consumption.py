"""What classes have used, out of a plan's history: totals by class with the time that the data covers."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from spillway.advise.demand import Measured
from spillway.observe.history import Values
from spillway.observe.past import Past, PastDemand

DAY_SECONDS = 86_400
HOUR_SECONDS = 3600
WHOLE = 0.9
"""Share of a day's, or hour's, bins that must be known for it to count as one."""


def measured_by_class(past: Past, origin: str) -> dict[str, Measured]:
    """By class key; classes of which no bin is known are left out. ``origin``: such as the address asked."""
    found = {key: _measured(past, demand, origin) for key, demand in past.classes.items()}
    return {key: each for key, each in found.items() if each is not None}


def _measured(past: Past, demand: PastDemand, origin: str) -> Measured | None:
    known = np.isfinite(demand.requests) & np.isfinite(demand.input_tokens) & np.isfinite(demand.output_tokens)
    bins = np.flatnonzero(known)
    if not len(bins):
        return None
    first = datetime.fromtimestamp(past.start + float(bins[0]) * past.width_s, UTC)
    last = datetime.fromtimestamp(past.start + float(bins[-1] + 1) * past.width_s, UTC)
    return Measured(
        days=Decimal(int(len(bins) * past.width_s)) / DAY_SECONDS,
        requests=_total(demand.requests, known),
        input_tokens=_total(demand.input_tokens, known),
        output_tokens=_total(demand.output_tokens, known),
        cached_tokens=_cached(demand, known),
        daily_tokens=_spans(past, demand, known, DAY_SECONDS),
        busiest_hour_tokens=max(_spans(past, demand, known, HOUR_SECONDS), default=None),
        source=f"{origin}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC",
    )


def _total(values: Values, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Decimal:
    return Decimal(round(float(np.sum(values[known], dtype=np.float64))))


def _cached(demand: PastDemand, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Decimal | None:
    if demand.cached_tokens is None or not np.isfinite(demand.cached_tokens[known]).any():
        return None
    return Decimal(round(float(np.nansum(demand.cached_tokens[known], dtype=np.float64))))


def _spans(
    past: Past, demand: PastDemand, known: np.ndarray[tuple[int], np.dtype[np.bool_]], seconds: int
) -> tuple[Decimal, ...]:
    """Tokens of each day, or hour, counted back from the last known bin; of those of which most is known, scaled."""
    last = int(np.flatnonzero(known)[-1])
    index = ((last - np.arange(last + 1)) * past.width_s // seconds).astype(np.int64)
    known = known[: last + 1]
    both = demand.input_tokens.astype(np.float64) + demand.output_tokens
    tokens = np.where(known, both[: last + 1], 0.0)
    parts = np.bincount(index, weights=known.astype(np.float64)) * past.width_s / seconds
    sums = np.bincount(index, weights=tokens)
    return tuple(Decimal(round(float(sums[i] / parts[i]))) for i in np.flatnonzero(parts >= WHOLE))
