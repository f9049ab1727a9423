"""Joint sample paths of demand from what was learned: equally likely rows over all horizons and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spillway.decide.forecast.errors import NORMAL, outcomes_of
from spillway.decide.forecast.features import Origins, Seen, look, lookback, prepare
from spillway.decide.forecast.learning import expect, unlearned
from spillway.decide.forecast.state import HORIZONS, SAMPLES, STARTS, Floats, ForecastState
from spillway.decide.recalled import recalled

WIDE_SIGMA = 0.35
"""Of the logarithm, where nothing but the present demand is known."""


def paths(
    states: Mapping[str, ForecastState | None],
    now: float,
    offsets_seconds: Sequence[float],
    current: Mapping[str, float] | None = None,
) -> Mapping[str, Floats]:
    """Mean demand in the slot length around ``now + offset``: (SAMPLES, offsets) in requests a second, by class.

    Row i of all classes belongs to the same outcome. ``current`` (requests a second) is used for classes without a
    state; a class with neither is left out.
    """
    made: dict[str, Floats] = {}
    offsets = np.asarray(offsets_seconds, dtype=np.float64)
    for key, state in states.items():
        if state is not None:
            made[key] = _class_paths(state, now, offsets)
        elif current is not None and key in current:
            wide = current[key] * np.exp(WIDE_SIGMA * 0.798 * NORMAL)
            made[key] = np.repeat(wide[:, None], offsets.size, axis=1)
    return made


def quantile(rows: Floats, probability: float) -> Floats:
    """Demand at each offset that is not exceeded with this probability, from the rows that ``paths`` gives."""
    return np.asarray(np.quantile(rows, probability, axis=0), dtype=np.float64)


def _class_paths(state: ForecastState, now: float, offsets: Floats) -> Floats:
    ahead = (np.maximum(0.0, now - state.seen) + offsets) / state.slot_seconds
    knots = np.concatenate(([0.0], STARTS + 0.5))
    right = np.clip(np.searchsorted(knots, ahead), 1, HORIZONS)
    share = np.clip((ahead - knots[right - 1]) / (knots[right] - knots[right - 1]), 0.0, 1.0)
    furthest = int(right.max(initial=1))
    rows = np.empty((SAMPLES, furthest + 1))
    rows[:, 0] = state.level
    rows[:, 1:] = _outcomes(state, furthest)
    return np.asarray(rows[:, right - 1] * (1 - share) + rows[:, right] * share, dtype=np.float64)


def _outcomes(state: ForecastState, horizons: int) -> Floats:
    """(SAMPLES, horizons) of the first so many, in the order of the common past origins."""
    learned = state.learned or unlearned(state.end)
    offset = learned.offset or 0.1 * state.level + 0.5 / state.slot_seconds
    level = np.full((1, HORIZONS), state.level)
    skipped = _too_old(state.values, state.season_slots)
    position = np.full((1, HORIZONS), state.seen / state.slot_seconds - state.first - skipped)
    seen = _prepared(state.values, state.season_slots, offset, state.slot_seconds)
    view = look(seen, Origins(position, level, np.full((1, HORIZONS), state.mean)))
    expected = expect(learned, view)
    near = slice(horizons)
    regression = (view.level[0, near] + expected.change[0, near], expected.scale[0, near])
    plain = (state.level, view.season_ago[0, near])
    made = outcomes_of(learned.shapes[:, :, near], offset, learned.cap, regression, plain)
    unknown = np.isnan(made)
    weights = np.where(unknown[:, 0], 0.0, learned.weights[:, near])
    weights[2] *= np.exp(-expected.surprise[0, near] / learned.typical_error[near])
    total = weights.sum(axis=0)
    shares = weights / np.where(total > 0, total, 1.0)
    mixed = (np.where(unknown, 0.0, made) * shares[:, None, :]).sum(axis=0)
    mixed = np.where(total > 0, mixed, made[0])
    return np.take_along_axis(mixed, learned.order[:, near], axis=0)


def _too_old(values: Floats, season: float) -> int:
    """How many of the first slots are never looked at."""
    return max(0, len(values) - lookback(season))


@recalled(64)
def _prepared(values: Floats, season: float, offset: float, slot_seconds: float) -> Seen:
    """The slots ready to be looked at: they change when one closes, forecasts are made many times in between."""
    return prepare(values[_too_old(values, season) :], season, offset, slot_seconds)
