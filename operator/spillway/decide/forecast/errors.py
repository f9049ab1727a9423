"""The errors of past forecasts: their quantiles make the band, their joint ranks make the paths."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from spillway.decide.forecast.features import Seen
from spillway.decide.forecast.state import (
    EXPERTS,
    HORIZONS,
    RESIDUALS,
    SAMPLES,
    STARTS,
    Floats,
    Integers,
    Learned,
)

MIN_ERRORS = 12
RECENT_ERRORS = 432
"""Origins behind the errors of persistence and season: three days of 144 slots."""
PROBABILITIES = (np.arange(SAMPLES) + 0.5) / SAMPLES
NORMAL = np.array([NormalDist().inv_cdf(p) for p in PROBABILITIES]) / 0.798
"""Errors over their mean absolute value, where none are known."""
STRIDES = (1, 2, 4, 7)
"""Distances of the origins whose ranks make the paths, in slots; the last reaches back six days of 144."""


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """The slots that there are to learn from."""

    first: int
    values: Floats
    levels: Floats
    season: float
    slot_seconds: float

    @property
    def end(self) -> int:
        """The boundary behind the last slot."""
        return self.first + len(self.values)


def outcomes_of(
    shapes: Floats, offset: float, cap: float, regression: tuple[Floats, Floats], plain: tuple[float | Floats, Floats]
) -> Floats:
    """Outcomes of each expert in ascending order, from its error shapes: (experts, quantiles, ..., horizons).

    ``regression`` is the expected logarithm of demand plus ``offset`` and its scale; ``plain`` the level and the demand
    a season ago, in requests a second as the result.
    """
    expected, scale = regression
    level, season_ago = plain
    out = np.empty((EXPERTS, shapes.shape[1], *expected.shape))
    out[0] = np.exp(np.minimum(expected + scale * shapes[0], 60.0)) - offset
    out[1] = level + shapes[1]
    out[2] = season_ago + shapes[2]
    out[3] = level + (level + offset) * shapes[3]
    return np.clip(out, 0.0, 2 * np.maximum(cap, level), out=out)


def shapes_of(learned: Learned, past: Past, seen: Seen) -> Floats:
    """Quantiles of each expert's recent errors, (experts, SAMPLES, horizons); NaN where too few are known."""
    upto = learned.upto
    ends = np.arange(max(past.first + 1, upto - RECENT_ERRORS + 1), upto + 1)
    slots = ends - 1 - past.first
    actual = past.values[slots][:, None]
    origin = slots[:, None] - STARTS - 1
    level = np.where(origin >= 0, past.levels[np.maximum(origin, 0)], np.nan)
    back = past.season * np.ceil((STARTS + 2) / past.season)
    low = slots[:, None] - back
    ago = seen.demand.mean(low, low + 1)
    normal = np.broadcast_to(NORMAL[:, None], (SAMPLES, HORIZONS))
    return np.stack((
        _quantiles(learned.errors.astype(np.float64), normal),
        _quantiles(actual - level, np.full((SAMPLES, HORIZONS), np.nan)),
        _quantiles(actual - ago, np.full((SAMPLES, HORIZONS), np.nan)),
        _quantiles((actual - level) / (level + learned.offset), np.full((SAMPLES, HORIZONS), np.nan)),
    ))  # fmt: skip


def _quantiles(errors: Floats, otherwise: Floats) -> Floats:
    """Quantiles of each column at PROBABILITIES, gaps left out; ``otherwise`` where too few are known."""
    ordered = np.sort(errors, axis=0)
    number = np.isfinite(errors).sum(axis=0)
    place = np.clip(PROBABILITIES[:, None] * number - 0.5, 0.0, np.maximum(number - 1, 0))
    low = place.astype(np.int64)
    high = np.minimum(low + 1, np.maximum(number - 1, 0))
    column = np.arange(errors.shape[1])
    share = place - low
    found = ordered[low, column] * (1 - share) + ordered[high, column] * share
    return np.where(number >= MIN_ERRORS, found, otherwise)


def order_of(learned: Learned) -> Integers:
    """Ranks of the errors at common past origins: how horizons, and classes, go together (Schaake shuffle)."""
    stride = next((s for s in STRIDES if SAMPLES * s >= min(learned.count, SAMPLES * STRIDES[-1])), STRIDES[-1])
    newest = learned.upto // stride
    rows = (newest - np.arange(SAMPLES)) * stride
    fresh = rows[:, None] + STARTS + 1 <= learned.upto
    found = np.where(fresh, learned.errors[rows % RESIDUALS], np.nan)
    for k in range(1, HORIZONS):
        found[:, k] = np.where(np.isnan(found[:, k]), found[:, k - 1], found[:, k])
    for k in range(HORIZONS - 2, -1, -1):
        found[:, k] = np.where(np.isnan(found[:, k]), found[:, k + 1], found[:, k])
    spread = NORMAL[(np.arange(SAMPLES) * 79) % SAMPLES]
    found = np.where(np.isnan(found), spread[:, None], found)
    return np.argsort(np.argsort(found, axis=0, kind="stable"), axis=0, kind="stable")
