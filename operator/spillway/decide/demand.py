"""What each class asks for: measured rate, token mix and the forecast of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillway.decide.decision import Reason
from spillway.decide.forecast import SAMPLES, Floats, ForecastState, paths, updated
from spillway.decide.memory import Memory
from spillway.decide.reasons import Code, because
from spillway.decide.service import Mix
from spillway.decide.snapshot import ClassSnapshot, Confidence, Demand, PlanSnapshot, Reading, Series

ANNOUNCED_WINDOW_SECONDS = 600.0
"""Announced demand is averaged over at most this long, as a forecast is."""
NEAR_SLOTS = 0.25
RATE_WINDOW_STEPS = 4
"""Steps of the finest history that a rate is taken over."""
MIX_REQUESTS = 200.0
"""Requests of a tick that weigh as much as all that is known of the token mix."""
CHANCE_SIGMAS = 3.0
TINY_RATE = 1e-3


class ClassDemand:
    """One class's demand at one tick; forecasts are made once for each horizon."""

    def __init__(
        self, item: ClassSnapshot, now: Reading | None, mix: Mix | None, state: ForecastState | None, at: float
    ):
        self.key = item.key
        self.item = item
        self.now = now
        """Requests a second, fresh; None where not known."""
        self.mix = mix
        self.state = state
        """What the forecast remembers; None where nothing was ever measured."""
        self.moment = at
        """Unix time of the tick."""
        self._made: dict[float, Floats] = {}

    @property
    def current(self) -> float | None:
        """Requests a second now."""
        return None if self.now is None else self.now.value

    def at(self, horizon_seconds: float) -> Floats:
        """(SAMPLES,) equally likely rates at this horizon; raises ``ValueError`` where the class is not known."""
        if horizon_seconds not in self._made:
            self._made[horizon_seconds] = joint_paths([self], (horizon_seconds,), self.moment)[self.key][:, 0]
        return self._made[horizon_seconds]

    @property
    def counted_elsewhere(self) -> bool:
        """Whether its traffic can't be told from another class's and is counted there."""
        return self.item.demand is None and self.item.attribution is Confidence.AMBIGUOUS

    def problem(self) -> Reason | None:
        """Why the class can't be sized, if it can't."""
        demand = self.item.demand
        if self.counted_elsewhere:
            message = f"The traffic of class {self.key} is counted with that of a class that it can't be told from."
            return because(Code.COUNTED_ELSEWHERE, message)
        if demand is None:
            return because(
                Code.DEMAND_UNKNOWN, f"No metric tells the demand of class {self.key}; check spec.match of the class."
            )
        if self.state is None or self.now is None:
            return because(Code.DEMAND_STALE, f"The demand of class {self.key} was last measured too long ago.")
        if self.mix is None:
            return because(Code.MIX_UNKNOWN, f"The tokens per request of class {self.key} are not known yet.")
        return None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Joint outcomes of several classes' demand over a window: equally likely columns, requests a second."""

    rates: Mapping[str, Floats]

    def total(self) -> Floats:
        """Requests a second of all classes together."""
        return np.asarray(sum(self.rates.values(), np.zeros(SAMPLES)), dtype=np.float64)


def max_age_seconds(snapshot: PlanSnapshot) -> float:
    """A reading older than this is stale."""
    return max(4 * snapshot.scrape_seconds, 2 * snapshot.tick_seconds)


def fresh(reading: Reading | None, snapshot: PlanSnapshot) -> float | None:
    """The value of a reading that is not stale."""
    if reading is None or snapshot.at - reading.at > max_age_seconds(snapshot):
        return None
    return reading.value


def class_demands(snapshot: PlanSnapshot, memory: Memory) -> dict[str, ClassDemand]:
    """The demand of every class, by class key."""
    return {item.key: _class_demand(snapshot, memory, item) for item in snapshot.classes}


def _class_demand(snapshot: PlanSnapshot, memory: Memory, item: ClassSnapshot) -> ClassDemand:
    demand, before = item.demand, memory.forecasts.get(item.key)
    if demand is None:
        return ClassDemand(item, None, memory.mixes.get(item.key), before, snapshot.at)
    value = fresh(demand.requests_per_second, snapshot)
    now = None if value is None else demand.requests_per_second
    state = before
    if value is not None:
        state = updated(before, demand.history, snapshot.plan.spec.forecast.seasonality_seconds, snapshot.at)
    arrived = 0.0 if value is None else value * snapshot.tick_seconds
    mix = _blended(memory.mixes.get(item.key), _mix(demand), arrived)
    return ClassDemand(item, now, mix, state, snapshot.at)


def _blended(before: Mix | None, measured: Mix | None, arrived: float) -> Mix | None:
    """The mix after ``arrived`` more requests.

    Tokens are counted as answers end: when traffic stops only the longest are still to end, when it begins only the
    shortest have ended. A mix that few requests tell is believed accordingly.
    """
    if before is None or measured is None:
        return measured or before
    share = arrived / (arrived + MIX_REQUESTS)
    return Mix(
        before.input_tokens + share * (measured.input_tokens - before.input_tokens),
        before.output_tokens + share * (measured.output_tokens - before.output_tokens),
        before.cached_share + share * (measured.cached_share - before.cached_share),
    )


def _mix(demand: Demand) -> Mix | None:
    tokens_in, tokens_out = demand.input_tokens_per_request, demand.output_tokens_per_request
    if tokens_in is None or tokens_out is None or tokens_out.value <= 0:
        return None
    cached = 0.0 if demand.cached_input_share is None else demand.cached_input_share.value
    return Mix(max(tokens_in.value, 0.0), tokens_out.value, min(1.0, max(0.0, cached)))


def joint_paths(demands: Sequence[ClassDemand], offsets_seconds: Sequence[float], now: float) -> Mapping[str, Floats]:
    """Joint paths of several classes, (samples, offsets) requests a second by class key.

    Demand that is announced for all offsets is certain: every sample is the same. Raises ``ValueError`` where nothing
    is known of a class.
    """
    states = {d.key: d.state for d in demands if d.state is not None}
    missing = next((d.key for d in demands if d.state is None), None)
    if missing is not None:
        raise ValueError(f"class {missing}: no demand to forecast from")
    current = {d.key: d.now.value for d in demands if d.now is not None}
    certain = {
        d.key: np.tile(rates, (SAMPLES, 1))
        for d in demands
        if d.item.announced is not None and (rates := announced(d.item.announced, offsets_seconds, now)) is not None
    }
    made = paths({key: state for key, state in states.items() if key not in certain}, now, offsets_seconds, current)
    offsets = np.asarray(offsets_seconds, dtype=np.float64)
    uncertain = {d.key: made[d.key] * _right_now(d, offsets) for d in demands if d.key not in certain}
    return {key: certain[key] if key in certain else uncertain[key] for key in states}


def _right_now(demand: ClassDemand, offsets_seconds: Floats) -> Floats | float:
    """(offsets,) factors that bring the next moments to the rate of now, where it is far off the forecast's level.

    The level waits for as much as an eighth of a slot before it believes a jump: too long for the weights of the next
    ticks. What is chance alone changes nothing, and beyond a quarter of a slot the forecast stands as it is.
    """
    state, series = demand.state, demand.item.demand
    if state is None or demand.now is None or series is None or not series.history:
        return 1.0
    window = RATE_WINDOW_STEPS * series.history[0].step_seconds
    level, now = max(state.level, TINY_RATE), max(demand.now.value, TINY_RATE)
    if abs(now - level) <= CHANCE_SIGMAS * math.sqrt(max(now, level) / window):
        return 1.0
    share = np.clip(1.0 - offsets_seconds / (NEAR_SLOTS * state.slot_seconds), 0.0, 1.0)
    return np.asarray((now / level) ** share, dtype=np.float64)


def announced(series: Series, offsets_seconds: Sequence[float], now: float) -> Floats | None:
    """(offsets,) announced requests a second, None unless all offsets are covered.

    Each is the mean around ``now + offset``, over twice the way to the nearest of the offsets.
    """
    values = np.array([np.nan if value is None else value for value in series.values])
    offsets = np.asarray(offsets_seconds, dtype=np.float64)
    half = min(max(float(offsets.min()), series.step_seconds / 2), ANNOUNCED_WINDOW_SECONDS / 2)
    edges = series.start + series.step_seconds * np.arange(values.size + 1)
    low, high = now + offsets - half, now + offsets + half
    if low.min() < edges[0] - 1e-6 or high.max() > edges[-1] + 1e-6:
        return None
    upto = np.concatenate(([0.0], np.cumsum(values) * series.step_seconds))
    rates = (np.interp(high, edges, upto) - np.interp(low, edges, upto)) / (2 * half)
    return None if np.isnan(rates).any() else rates


def outcomes(demands: Sequence[ClassDemand], horizons: Sequence[float]) -> Outcomes:
    """Joint outcomes of several classes over the window that the horizons span: the mean over them, path by path."""
    if not demands:
        return Outcomes({})
    made = joint_paths(demands, tuple(horizons), demands[0].moment)
    return Outcomes({key: np.asarray(value.mean(axis=1), dtype=np.float64) for key, value in made.items()})
