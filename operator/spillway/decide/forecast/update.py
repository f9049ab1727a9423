"""Taking in new history: cheap when nothing new has come, a block of learning every few slots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spillway.decide.forecast.errors import Past
from spillway.decide.forecast.learning import learn, unlearned
from spillway.decide.forecast.slots import DAY_SECONDS, NEW_EPSILON, Points, closed, level_of, new_points, slot_seconds
from spillway.decide.forecast.state import MAX_SLOTS, ForecastState
from spillway.decide.snapshot import Series


def updated(
    state: ForecastState | None, history: Sequence[Series], seasonality_seconds: Sequence[int], now: float
) -> ForecastState | None:
    """The state with all points of ``history`` up to ``now`` that it has not seen; None while none is known.

    ``history`` is ordered finest first; old parts need not be sent again. A point is the mean over the step before
    it. Another season, a coarser step, a clock set back or an absence of fifteen seasons starts anew.
    """
    history = [series for series in history if series.values]
    if not history:
        return state
    step, season = history[0].step_seconds, float(min(seasonality_seconds, default=DAY_SECONDS))
    if state is not None and _outdated(state, season, step, now):
        state = None
    after = -math.inf if state is None else state.seen
    if history[0].end <= after + NEW_EPSILON * step:
        return state
    times, values, steps = new_points(history, after)
    visible = times <= now + NEW_EPSILON
    if not visible.any():
        return state
    if not visible.all():
        times, values, steps = times[visible], values[visible], steps[visible]
    if state is None:
        state = _started(season, slot_seconds(season, step), float(times[0] - steps[0]))
    return _advanced(state, (times, values, steps))


def _outdated(state: ForecastState, season: float, step: float, now: float) -> bool:
    """Whether nothing can be added: other settings, a clock set back, or all that is kept lies too far back."""
    other = state.season_seconds != season or step > state.slot_seconds * (1 + NEW_EPSILON)
    age_slots = (now - state.seen) / state.slot_seconds
    return other or age_slots < -1 or age_slots > MAX_SLOTS


def _started(season: float, slot: float, start: float) -> ForecastState:
    empty = np.empty(0)
    return ForecastState(
        season_seconds=season,
        slot_seconds=slot,
        first=math.floor(start / slot + NEW_EPSILON),
        values=empty,
        levels=empty,
        recent_times=empty,
        recent_values=empty,
        seen=-math.inf,
        step_seconds=0.0,
        level=0.0,
        mean=0.0,
        learned=None,
    )


def _advanced(state: ForecastState, points: Points) -> ForecastState:
    times, values, steps = points
    slot, seen, step = state.slot_seconds, float(times[-1]), float(steps[-1])
    all_times = np.concatenate((state.recent_times, times))
    all_values = np.concatenate((state.recent_values, values))
    end = math.floor(seen / slot + NEW_EPSILON)
    first, means, levels, learned = state.first, state.values, state.levels, state.learned
    if end > state.end:
        older = np.full(len(state.recent_times), state.step_seconds)
        first, means, levels = closed(state, all_times, all_values, np.concatenate((older, steps)), end)
        past = Past(first, means, levels, state.season_slots, slot)
        learned = learn(unlearned(first) if learned is None else learned, past)
    recent = all_times > seen - slot + NEW_EPSILON * slot
    recent_times, recent_values = all_times[recent], all_values[recent]
    return replace(
        state,
        first=first,
        values=means,
        levels=levels,
        recent_times=recent_times,
        recent_values=recent_values,
        seen=seen,
        step_seconds=step,
        level=level_of(recent_times, recent_values, step, slot),
        mean=float(recent_values.mean()),
        learned=learned,
    )
